"""An attack cannot reach private images or identities: nothing that it is handed holds any."""

import dataclasses
import importlib
import inspect
import pkgutil
import typing
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

import fl_crafter.attacks
from fl_crafter.attacks.base import Attack, AttackerKnowledge
from fl_crafter.attacks.suite import run_suite, standard
from fl_crafter.transcript import Transcript
from tests.attacks.contract import knowledge_of
from tests.world import World, pictures, seeded


def all_attacks(kind: type = Attack) -> set[type]:
    """Every attack of the package."""
    for module in pkgutil.iter_modules(fl_crafter.attacks.__path__):
        importlib.import_module(f"fl_crafter.attacks.{module.name}")
    below = {each for each in kind.__subclasses__() if each.__module__.startswith("fl_crafter")}
    return below.union(*(all_attacks(each) for each in below))


def test_no_attack_takes_more_than_the_contract_names() -> None:
    assert len(all_attacks()) >= 12
    for attack in all_attacks():
        for method, wanted in (
            ("reconstruct", ["self", "feature", "knowledge", "random"]),
            ("prepare", ["self", "knowledge", "random"]),
        ):
            assert list(inspect.signature(getattr(attack, method)).parameters) == wanted, attack


def test_what_is_known_is_public_or_was_shared() -> None:
    known = {each.name for each in dataclasses.fields(AttackerKnowledge)}
    networks = {"encoder", "generator", "amortiser", "decoder", "defence_decoder", "cloud"}
    public = {"public_image", "public_labels", "query_image"}
    assert known == networks | public | {"release", "batch", "memory", "labels"}


def test_the_transcript_on_disk_holds_no_image_and_no_identity(
    world: World, tmp_path: Path
) -> None:
    image = pictures(5, seed=2)  # whose features the world holds
    identity = torch.tensor([70_001, 70_002, 70_003, 70_004, 70_005])
    count = len(image)
    Transcript(
        feature=world.feature,
        labels=torch.zeros(count, 3),
        client=torch.zeros(count, dtype=torch.int64),
        round=torch.ones(count, dtype=torch.int64),
        purpose=torch.ones(count, dtype=torch.int64),
        row=torch.arange(count),
    ).save(tmp_path / "transcript.safetensors")

    stored = load_file(tmp_path / "transcript.safetensors")
    assert set(stored) == {"feature", "labels", "client", "round", "purpose", "row"}
    content = (tmp_path / "transcript.safetensors").read_bytes()
    for part in (image, (image * 255).byte(), identity, identity.int()):
        for row in part:
            assert row.numpy().tobytes() not in content
    assert world.feature[0].numpy().tobytes() in content  # what is searched for would be found


def test_all_that_a_suite_hands_on_is_in_the_transcript_or_public(world: World) -> None:
    """No tensor that any attack of a run is given is a private image."""
    image, given = pictures(5, seed=2), []
    knowledge = dataclasses.replace(knowledge_of(world), release=lambda feature: feature)

    class Looking(Attack):
        name = "looking"

        def reconstruct(self, feature, knowledge, *, random):
            given.append(feature)
            for each in dataclasses.fields(knowledge):
                value = getattr(knowledge, each.name)
                given.extend([value] if isinstance(value, Tensor) else [])
            return standard("smoke")[0].reconstruct(feature, knowledge, random=random)

    list(run_suite([Looking()], world.feature, knowledge, random=seeded()))
    assert len(given) == 2
    for tensor in given:
        for row in tensor:
            assert not any(row.shape == own.shape and torch.equal(row, own) for own in image)


def test_linkers_see_rows_and_candidates_alone() -> None:
    from fl_crafter.attacks.linking import Linker, Linking

    assert list(inspect.signature(Linker.fit).parameters) == [
        "self",
        "evidence",
        "person",
        "random",
    ]
    assert list(inspect.signature(Linking.score).parameters) == ["self", "evidence"]
    assert set(typing.get_type_hints(Linking)) == {"people", "scorer"}
