"""Floors: an average, a neighbour, and what the labels alone say."""

from dataclasses import replace

import pytest
import torch

from fl_crafter.attacks.base import Attack, AttackerKnowledge
from fl_crafter.attacks.floors import (
    AttributeMeanFace,
    AverageFace,
    NearestPublicFace,
    NearestReleasedFace,
)
from tests.attacks.contract import AttackContract, knowledge_of
from tests.attacks.planted import Mixing
from tests.world import World, seeded


class TestAverageFace(AttackContract):
    draws_nothing = True

    def build(self) -> Attack:
        return AverageFace()


class TestNearestPublicFace(AttackContract):
    draws_nothing = True

    def build(self) -> Attack:
        return NearestPublicFace()


class TestNearestReleasedFace(AttackContract):
    draws_nothing = True

    def knowledge(self, world: World) -> AttackerKnowledge:
        return replace(knowledge_of(world), release=Mixing())

    def build(self) -> Attack:
        return NearestReleasedFace(draws=2)


class TestAttributeMeanFace(AttackContract):
    draws_nothing = True

    def knowledge(self, world: World) -> AttackerKnowledge:
        labels = torch.randint(2, (24 + len(world.feature), 9), generator=seeded()).float()
        return replace(knowledge_of(world), public_labels=labels[:24], labels=labels[24:])

    def build(self) -> Attack:
        return AttributeMeanFace(neighbours=3)


def test_a_public_face_is_its_own_nearest(world: World) -> None:
    knowledge = knowledge_of(world)
    found = NearestPublicFace().reconstruct(
        world.encoder(knowledge.public_image[3:6]), knowledge, random=seeded()
    )
    assert torch.equal(found.image, knowledge.public_image[3:6])


def test_behind_a_defence_that_is_known_a_public_face_is_found_again(world: World) -> None:
    knowledge = replace(knowledge_of(world), release=Mixing())
    released = Mixing()(world.encoder(knowledge.public_image[3:6]))
    found = NearestReleasedFace().reconstruct(released, knowledge, random=seeded())
    assert torch.equal(found.image, knowledge.public_image[3:6])
    fooled = NearestPublicFace().reconstruct(released, knowledge, random=seeded())
    assert not torch.equal(fooled.image, knowledge.public_image[3:6])


def test_the_labels_choose_and_the_feature_has_no_say(world: World) -> None:
    labels = torch.eye(24)
    labels[0, 5] = torch.nan
    shared = labels[3:8]
    knowledge = replace(knowledge_of(world), public_labels=labels, labels=shared)
    attack = AttributeMeanFace(neighbours=1)
    found = attack.reconstruct(torch.rand_like(world.feature), knowledge, random=seeded())
    assert torch.equal(found.image, knowledge.public_image[3:8])


def test_without_labels_it_says_what_is_missing(world: World) -> None:
    with pytest.raises(ValueError, match=r"AttackerKnowledge.labels and public_labels"):
        AttributeMeanFace().reconstruct(world.feature, knowledge_of(world), random=seeded())
