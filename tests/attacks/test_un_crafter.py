"""The un-crafter: what a defence only mixes or stains is undone from the attacker's own faces."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fl_crafter.attacks.base import Attack, AttackerKnowledge
from fl_crafter.attacks.queries import Queries
from fl_crafter.attacks.un_crafter import (
    NetworkRegression,
    Regression,
    RidgeRegression,
    UnCrafter,
    relative_error,
    split_faces,
)
from tests.attacks.contract import AttackContract, knowledge_of
from tests.attacks.planted import Mixing
from tests.world import World, pictures, seeded

NETWORK = NetworkRegression(steps=6, batch_size=8, width=8, checks=3)


def knowing(world: World) -> AttackerKnowledge:
    return replace(knowledge_of(world), release=Mixing())


class TestUnCrafterByNetwork(AttackContract):
    def knowledge(self, world: World) -> AttackerKnowledge:
        return knowing(world)

    def build(self) -> Attack:
        return UnCrafter(regression=NETWORK, draws=2)


class TestUnCrafterByRidge(AttackContract):
    draws_nothing = True

    def knowledge(self, world: World) -> AttackerKnowledge:
        return knowing(world)

    def build(self) -> Attack:
        return UnCrafter()


def queries_of(world: World, release, count: int, *, seed: int) -> Queries:
    knowledge = replace(
        knowledge_of(world), release=release, public_image=pictures(count, seed=seed)
    )
    return knowledge.query(images=count)


def test_a_mixed_feature_is_unmixed(world: World) -> None:
    estimate, errors = RidgeRegression().fit(
        queries_of(world, Mixing(), 400, seed=4), random=seeded()
    )
    fresh = queries_of(world, Mixing(), 20, seed=5)
    mean = fresh.clean.mean(0)
    assert relative_error(estimate(fresh.released), fresh.clean, mean) < 0.05
    assert min(errors) < 0.05


def test_a_fold_that_no_line_undoes_is_learnt(world: World) -> None:
    """The sign of the first channel is lost but for its neighbour's; a line can only average."""

    def fold(feature: Tensor) -> Tensor:
        return (feature - feature.mean((2, 3), keepdim=True)).abs()

    queries = queries_of(world, fold, 300, seed=4)
    linear = min(RidgeRegression().fit(queries, random=seeded())[1])
    network = NetworkRegression(steps=200, batch_size=16, width=32)
    assert min(network.fit(queries, random=seeded())[1]) < linear


def test_large_features_are_undone_as_well_as_small_ones(world: World) -> None:
    """Encoders that were trained against an eavesdropper let their features grow."""
    network = NetworkRegression(steps=100, batch_size=16, width=32)
    usual, large = (
        min(
            network.fit(
                queries_of(world, lambda feature, by=by: by * (feature + 3), 200, seed=4),
                random=seeded(),
            )[1]
        )
        for by in (1, 200)
    )
    assert usual < 0.4
    assert large == pytest.approx(usual, rel=0.02)


@pytest.mark.parametrize("regression", [RidgeRegression(), NETWORK])
def test_one_feature_for_all_tells_nothing(world: World, regression: Regression) -> None:
    queries = queries_of(world, torch.ones_like, 60, seed=4)
    estimate, errors = regression.fit(queries, random=seeded())
    assert min(errors) > 0.9
    assert estimate(queries.released).flatten(1).std(0).max() < 1e-4


def test_faces_held_out_are_in_no_draw_learnt_from(world: World) -> None:
    knowledge = replace(knowledge_of(world), release=Mixing())
    train, held_out = split_faces(knowledge.query(images=24, draws=3))
    assert not set(train.face.tolist()) & set(held_out.face.tolist())
    assert len(train) == 3 * 19 and len(held_out) == 3 * 5


def test_one_face_is_too_few(world: World) -> None:
    knowledge = replace(knowledge_of(world), release=Mixing())
    with pytest.raises(ValueError, match="two public faces or more"):
        UnCrafter(images=1).reconstruct(world.feature, knowledge, random=seeded())
