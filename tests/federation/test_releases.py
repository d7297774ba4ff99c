"""Each photograph leaves a client once, however it is asked for, and nothing is lost by it."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from flwr.app import Context, RecordDict

from simulations import client_data, task
from simulations.config import SimulationConfig
from simulations.in_process import flower_identity
from simulations.releases import Releases
from tests.federation.test_client_app import Server, payload_in

MakeConfig = Callable[..., SimulationConfig]


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with flower_identity():
        yield


@pytest.fixture
def server(make_config: MakeConfig) -> Server:
    return Server(make_config())


def test_the_same_photographs_are_never_shared_twice(server: Server) -> None:
    assert server.ask().has_content()
    again = server.ask()
    assert "shared before" in (again.error.reason or "")
    assert server.ask(round=2).has_content()
    assert server.ask("evaluate.craft").has_content()
    assert server.ask("evaluate.craft", round=2).has_error()
    assert server.ask(client=1).has_content()


def test_what_fails_after_protecting_costs_no_photograph(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the agreed cloud model cannot be had: nothing has left."""
    own = {"own-process": True, "released": str(tmp_path / "released")}
    deployed = Server(make_config(scenario="deployment"), **own)

    def fail(config: SimulationConfig) -> None:
        raise RuntimeError("no memory is left")

    with monkeypatch.context() as patch:
        patch.setattr(task, "deployed_cloud", fail)
        assert deployed.ask("query.craft").error.reason == "The client failed with RuntimeError."
    assert not (tmp_path / "released").exists()
    assert deployed.ask("query.craft").has_content()


def test_no_other_kind_of_request_gets_the_same_photographs(make_config: MakeConfig) -> None:
    """Each release, with noise and flipped labels drawn anew, would tell more of them."""
    developing = Server(make_config())
    refusal = developing.ask("query.craft").error
    assert "A development run has no query.craft requests" in (refusal.reason or "")
    deployed = Server(make_config(scenario="deployment"))
    assert deployed.ask("query.craft").has_content()
    for kind in ("train.craft", "evaluate.craft"):
        assert "has no" in (deployed.ask(kind).error.reason or "")


def test_a_deployed_client_forgets_nothing_when_it_starts_anew(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    released = tmp_path / "released"
    own = {"own-process": True, "released": str(released)}
    assert Server(make_config(), **own).ask().has_content()
    larger = Server(make_config(image_size=48), **own)
    assert "shared before" in (larger.ask().error.reason or ""), "in another size they are the same"
    overlapping = Server(make_config(rounds=1), **own)
    assert len(payload_in(overlapping.ask()).feature) == 12, "of 25 photographs 13 have left"
    assert "shared before" in (Server(make_config(), **own).ask(round=2).error.reason or "")
    assert {len(path.stem) for path in released.iterdir()} == {64}
    assert len([path for path in released.iterdir() if not path.suffix]) == 25


def test_a_server_that_went_down_is_sent_the_same_bytes_again(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    """They tell nothing new; drawn anew, they would."""
    own = {"own-process": True, "released": str(tmp_path)}
    noisy = make_config(defence="noise", label_flip=0.3, generated_images=0)
    first = Server(noisy, **own).ask(round=2).content
    elsewhere = dataclasses.replace(noisy, cache=str(tmp_path / "new"), threads=1)
    again = Server(elsewhere, **own).ask(round=2).content
    for name, array in first.array_records["features"].items():
        assert again.array_records["features"][name].data == array.data
    assert again == first
    other = make_config(defence="noise", label_flip=0.3, generated_images=0, deviation=9.0)
    assert "shared before" in (Server(other, **own).ask(round=2).error.reason or "")


def test_one_photograph_under_two_names_leaves_once_and_takes_no_other_along(
    make_config: MakeConfig, photographs: Path, tmp_path: Path
) -> None:
    root = tmp_path / "faces"
    shutil.copytree(photographs, root)
    for person in root.iterdir():
        shutil.copy(person / "1.pgm", person / "2.pgm")
    server = Server(make_config(data_root=str(root), rounds=1, wire_dtype="float32"))
    feature = torch.cat(
        [payload_in(server.ask(kind)).feature for kind in ("train.craft", "evaluate.craft")]
    )
    assert len(feature) == len(feature.flatten(1).unique(dim=0)) == 45


def test_of_two_requests_at_once_one_is_answered(tmp_path: Path) -> None:
    context = Context(1, 1, {}, RecordDict(), {})
    with ThreadPoolExecutor(8) as pool:
        claims = [
            pool.submit(Releases(context, tmp_path).claim, [f"{i:064}" for i in range(50)])
            for _ in range(8)
        ]
    assert sum(claim.result() for claim in claims) == 1


def test_what_failed_may_be_asked_for_again(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"own-process": True, "released": str(tmp_path)}
    server = Server(make_config(), **own)

    def fail(*_: object, **__: object) -> None:
        raise OSError("no room in /data/anna")

    with monkeypatch.context() as broken:
        broken.setattr(client_data, "encode", fail)
        assert server.ask().error.reason == "The client failed with OSError."
    assert server.ask().has_content()
