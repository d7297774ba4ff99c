"""Queries of a defence: asked once, and never of another one."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.attacks.contract import knowledge_of
from tests.world import World, pictures


class Counting:
    """Adds one for every face that it was asked about before."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, feature: Tensor) -> Tensor:
        self.asked += len(feature)
        return feature + self.asked


def test_what_was_asked_is_not_asked_again(world: World) -> None:
    release = Counting()
    knowledge = replace(knowledge_of(world), release=release, batch=5)
    few = knowledge.query(images=10)
    more = knowledge.query(images=15, draws=2)
    assert release.asked == 30
    assert torch.equal(more.released[:10], few.released)
    assert more.face.tolist() == [*range(15), *range(15)]
    again = knowledge.query(images=10, draws=2)
    assert release.asked == 30
    assert torch.equal(again.released[10:], more.released[15:25])


def test_every_row_is_the_feature_of_its_image(world: World) -> None:
    knowledge = replace(knowledge_of(world), release=lambda feature: 2 * feature)
    asked = knowledge.query(images=6, draws=2)
    torch.testing.assert_close(asked.clean, world.encoder(asked.image))
    torch.testing.assert_close(asked.released, 2 * asked.clean)
    assert torch.equal(asked.image[6:], asked.image[:6].flip(3))


def test_another_defence_or_other_faces_are_asked_anew(world: World) -> None:
    knowledge = replace(knowledge_of(world), release=lambda feature: feature)
    first = knowledge.query(images=4)
    other = replace(knowledge, release=lambda feature: feature + 1)
    torch.testing.assert_close(other.query(images=4).released, first.clean + 1)
    apart = replace(knowledge, query_image=pictures(4, seed=9))
    assert torch.equal(apart.query(images=4).image, pictures(4, seed=9))


def test_faces_are_asked_about_in_the_batches_that_the_victim_protects(world: World) -> None:
    sizes: list[int] = []

    def release(feature: Tensor) -> Tensor:
        sizes.append(len(feature))
        return feature

    knowledge = replace(knowledge_of(world), release=release, batch=5)
    assert len(knowledge.query(images=12)) == 12
    assert sizes == [5, 5, 5]
    assert knowledge.query(images=14).face.tolist() == [*range(14)]
    assert sizes == [5, 5, 5, 5]


def test_a_batch_larger_than_all_faces_is_filled_with_them_again(world: World) -> None:
    shown: list[Tensor] = []

    def release(feature: Tensor) -> Tensor:
        shown.append(feature)
        return feature

    faces = pictures(4, seed=3)
    knowledge = replace(knowledge_of(world), release=release, batch=10, public_image=faces)
    assert len(knowledge.query(images=4)) == 4
    (batch,) = shown
    torch.testing.assert_close(batch, world.encoder(faces)[torch.arange(10) % 4])


def test_no_defence_to_ask(world: World) -> None:
    with pytest.raises(ValueError, match="must know the defence"):
        knowledge_of(world).query(images=1)
