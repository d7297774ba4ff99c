"""The papers' own attackers: what they find with no defence, and with one that tells nothing."""

import dataclasses

import pytest
import torch
from torch import Tensor

from fl_crafter.assets.trained import ADVLEARN, TIPRDC, TrainedParts, TrainedShape
from fl_crafter.defences.base import Protected
from fl_crafter.defences.trained import Retrained
from fl_crafter.faces.record import Faces, Role
from fl_crafter.models.split import SplitModel, freeze
from fl_crafter.study.own_attacker import OwnAttacker, own_attacker, released
from tests.world import SHAPE, SIZE, World, build_world, pictures, seeded

PEOPLE, EACH, PUBLIC = 4, 9, 24


@pytest.fixture(scope="module")
def world() -> World:
    return build_world()


@pytest.fixture(scope="module")
def faces() -> Faces:
    """Four private people, each a picture under changing light, and a public crowd."""
    person = torch.arange(PEOPLE).repeat_interleave(EACH)
    light = 0.6 + 0.4 * torch.rand(len(person), 1, 1, 1, generator=seeded(5))
    image = torch.cat([pictures(PEOPLE, seed=7)[person] * light, pictures(PUBLIC, seed=8)])
    role = [Role.EVAL_TEST if i % EACH < 3 else Role.EVAL_TRAIN for i in range(len(person))]
    labels = (image.mean((2, 3)) > image.mean((0, 2, 3))).float()
    return Faces(
        "toy",
        image,
        torch.cat([person + 50, torch.arange(PUBLIC)]),
        labels,
        ("red", "green", "blue"),
        (*role, *[Role.PUBLIC] * PUBLIC),
    )


class Silent(Retrained):
    """Tells nothing: every feature is zero."""

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        return Protected(torch.zeros_like(feature))


def parts(defence: str, world: World) -> TrainedParts:
    """Networks of a defence whose model is the victim's own."""
    torch.manual_seed(0)
    built = TrainedShape(defence, 3, (SHAPE[0], 6, 8, 8), (2, 2, 2), 0.5, 0.0, SIZE).build()
    freeze(built.module())
    model = SplitModel(world.encoder, world.cloud)
    return dataclasses.replace(built, model=model)


def found(kind: type[Retrained], name: str, world: World, faces: Faces) -> dict[str, float]:
    how = OwnAttacker(steps=120, batch_size=16, learning_rate=5e-3)
    victim = SplitModel(world.encoder, world.cloud)
    return own_attacker(kind(parts(name, world)), victim, faces, how=how)


def test_a_decoder(world: World, faces: Faces) -> None:
    nothing = found(Retrained, ADVLEARN, world, faces)
    assert nothing["error_new"] == nothing["error_clean"] < 0.7 * nothing["error_mean_face"]
    assert nothing["auc_defended"] == nothing["auc_clean"]
    assert nothing.keys() >= {"error_own"}
    silent = found(Silent, ADVLEARN, world, faces)
    assert silent["error_clean"] == nothing["error_clean"]
    assert silent["error_new"] > 0.8 * silent["error_mean_face"]
    assert silent["auc_defended"] == 0.5


def test_a_classifier(world: World, faces: Faces) -> None:
    nothing = found(Retrained, TIPRDC, world, faces)
    assert nothing["named_new"] == nothing["named_clean"] > 0.6
    assert nothing["named_chance"] == 1 / PEOPLE
    silent = found(Silent, TIPRDC, world, faces)
    assert silent["named_new"] == 1 / PEOPLE, "always the same person"


def test_a_defence_encodes_with_its_own_encoder(world: World, faces: Faces) -> None:
    torch.manual_seed(1)
    other = TrainedShape(ADVLEARN, 3, (SHAPE[0], 6, 8, 8), (2, 2, 2), 0.5, 0.0, SIZE).build()
    freeze(other.module())
    victim = SplitModel(world.encoder, world.cloud)
    feature = released(Retrained(other), victim, faces.image[:3], random=seeded())
    assert torch.equal(feature, other.model.encoder(faces.image[:3]))
