"""A deployed client with a folder of its own, and a server that opens no dataset."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fl_crafter.errors import InputError
from fl_crafter.faces import lfw
from fl_crafter.flower import PayloadTerms
from simulations import client_data, task
from simulations.config import SimulationConfig
from simulations.in_process import flower_identity
from simulations.pins import node_settings
from tests.federation.test_client_app import Server, payload_in

MakeConfig = Callable[..., SimulationConfig]
TERMS = PayloadTerms(feature_shape=(8, 8, 8), attributes=10, clients=4)


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with flower_identity():
        yield


def lfw_folder(folder: Path, people: dict[str, str], *, seed: int, count: int = 6) -> Path:
    """Photographs of invented people in LFW's labelled layout, each with the role that is given."""
    draw = np.random.default_rng(seed)
    roles, labels = ["image,identity,role"], ["image," + ",".join(lfw.ATTRIBUTES)]
    for name, role in people.items():
        own = folder / "images" / name
        own.mkdir(parents=True)
        for number in range(1, count + 1):
            image = f"{name}_{number:04}.jpg"
            Image.fromarray(draw.integers(0, 256, (148, 148, 3), dtype=np.uint8)).save(own / image)
            half = {"private": "eval_train" if number <= count // 2 else "eval_test"}
            roles.append(f"{image},{name},{half.get(role, role)}")
            labels.append(image + "," + ",".join(map(str, draw.integers(0, 2, 10))))
    (folder / "roles.csv").write_text("\n".join(roles) + "\n")
    (folder / "attributes.csv").write_text("\n".join(labels) + "\n")
    return folder


@pytest.fixture
def config(make_config: MakeConfig, tmp_path: Path) -> SimulationConfig:
    everybody = {f"Citizen_{i}": "public" for i in range(4)} | {
        f"Participant_{i}": "private" for i in range(4)
    }
    shared = lfw_folder(tmp_path / "shared", everybody, seed=0)
    return make_config(dataset="lfw", data_root=str(shared), rounds=1)


def deployed(config: SimulationConfig, own: Path, tmp_path: Path) -> Server:
    released = str(tmp_path / "released")
    return Server(config, **{"own-process": True, "photographs": str(own), "released": released})


def test_its_own_photographs_leave_and_no_others(config: SimulationConfig, tmp_path: Path) -> None:
    own = lfw_folder(tmp_path / "anna", {"Anna": "private"}, seed=1)
    server = deployed(config, own, tmp_path)
    faces = lfw.read(own, size=config.image_size)
    encoder = client_data.model(config.weights).encoder
    for kind, rows in (("train.craft", slice(0, 3)), ("evaluate.craft", slice(3, 6))):
        payload = payload_in(server.ask(kind, client=2), TERMS)
        assert payload.client == 2
        known = client_data.encode(encoder, faces.image[rows])
        distance = torch.cdist(payload.feature.flatten(1), known.flatten(1))
        order = distance.argmin(1)
        assert sorted(order.tolist()) == [0, 1, 2]
        assert float(distance.amin(1).max()) < 0.1 < float(distance.topk(2, 1).values.max())
        assert torch.equal(payload.labels, faces.attributes[rows][order])
    new = lfw_folder(tmp_path / "new", {"Anna": "private"}, seed=1, count=8)
    grown = deployed(config, new, tmp_path)
    assert "shared before" in (grown.ask(client=2).error.reason or "")
    left = payload_in(grown.ask("evaluate.craft", client=2), TERMS)
    assert len(left.feature) == 2, "of a folder that has grown, what is new leaves"


def test_the_defence_draws_on_the_public_photographs_of_the_run(
    config: SimulationConfig, tmp_path: Path
) -> None:
    defended = SimulationConfig(
        **vars(config) | {"defence": "substitution", "generated_images": 0, "neighbours": 1}
    )
    own = lfw_folder(tmp_path / "anna", {"Anna": "private", "Ben": "public"}, seed=1)
    payload = payload_in(deployed(defended, own, tmp_path).ask(client=1), TERMS)
    public = [client_data.faces(defended).role[i].name == "PUBLIC" for i in range(48)]
    image = client_data.faces(defended).image[torch.tensor(public)]
    known = client_data.encode(client_data.model(config.weights).encoder, image)
    distance = torch.cdist(payload.feature.flatten(1), known.flatten(1))
    assert float(distance.amin(1).max()) < 0.1, "somebody else's folder is no public knowledge"


def test_other_labels_than_the_runs_are_named_to_the_client_alone(
    config: SimulationConfig, tmp_path: Path
) -> None:
    people = {f"Person_{i}": "private" for i in range(2)}
    own = lfw_folder(tmp_path / "anna", people, seed=1)
    for name in ("roles.csv", "attributes.csv"):
        (own / name).unlink()
    (own / "images").rename(own / "plain")  # LFW as it is published: no labels
    server = deployed(config, own, tmp_path)
    assert server.ask().error.reason == "The client failed with InputError."


def test_a_server_needs_no_dataset_where_the_attributes_are_named(make_config: MakeConfig) -> None:
    named = make_config(data_root="/data/nowhere", attributes="Smiling, Male")
    assert task.names(named) == ("Smiling", "Male")
    for wrong in ("", "Smiling,Smiling"):
        with pytest.raises(InputError, match="/data/nowhere"):
            task.names(make_config(data_root="/data/nowhere", attributes=wrong))


def test_the_node_configuration_names_the_folder(config: SimulationConfig) -> None:
    settings = node_settings(config, client=1, released="/data/anna/released")
    assert "photographs" not in settings
    settings = node_settings(
        config, client=1, released="/data/anna/released", photographs="/data/anna/camera"
    )
    assert 'photographs="/data/anna/camera"' in settings
