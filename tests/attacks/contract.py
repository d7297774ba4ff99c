"""What every attack must do, and what none may know; inherited by the tests of each."""

import dataclasses
import inspect
from abc import ABC, abstractmethod

import pytest
import torch

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from tests.world import SIZE, World, pictures, seeded


def knowledge_of(world: World) -> AttackerKnowledge:
    return AttackerKnowledge(
        encoder=world.encoder,
        public_image=pictures(24, seed=1),
        generator=world.generator,
        amortiser=world.amortiser,
        decoder=world.decoder,
        cloud=world.cloud,
    )


class AttackContract(ABC):
    """Inherit and say how to build the attack."""

    draws_nothing = False  # an attack in closed form

    @abstractmethod
    def build(self) -> Attack: ...

    def knowledge(self, world: World) -> AttackerKnowledge:
        return knowledge_of(world)

    @pytest.fixture
    def attack(self) -> Attack:
        return self.build()

    @pytest.fixture
    def result(self, attack: Attack, world: World) -> Reconstruction:
        return attack.reconstruct(world.feature, self.knowledge(world), random=seeded())

    def test_one_image_for_each_feature(self, result: Reconstruction, world: World) -> None:
        assert result.image.shape == (len(world.feature), 3, SIZE, SIZE)
        assert float(result.image.min()) >= 0 and float(result.image.max()) <= 1
        assert not result.image.requires_grad

    def test_the_curve_is_of_finite_numbers(self, result: Reconstruction) -> None:
        assert all(type(value) is float for value in result.loss_curve)
        assert bool(torch.isfinite(torch.tensor(result.loss_curve)).all())

    def test_the_best_counts(self, result: Reconstruction) -> None:
        """Not the last: an attacker that got worse as it ran keeps what it had."""
        for value in result.loss_curve:
            assert result.loss_curve[-1] <= value * (1 + 1e-6)

    def test_the_seed_decides(self, attack: Attack, result: Reconstruction, world: World) -> None:
        torch.manual_seed(77)  # torch's own generator has no say
        again = attack.reconstruct(world.feature, self.knowledge(world), random=seeded())
        assert torch.equal(again.image, result.image)
        assert again.loss_curve == result.loss_curve
        other = attack.reconstruct(world.feature, self.knowledge(world), random=seeded(1))
        assert torch.equal(other.image, result.image) == self.draws_nothing

    def test_nothing_known_is_modified(self, attack: Attack, world: World) -> None:
        knowledge, feature = self.knowledge(world), world.feature.clone()
        public = knowledge.public_image.clone()
        before = [{k: v.clone() for k, v in each.state_dict().items()} for each in world.networks()]
        attack.reconstruct(feature, knowledge, random=seeded())
        assert torch.equal(feature, world.feature)
        assert torch.equal(knowledge.public_image, public)
        for network, state in zip(world.networks(), before, strict=True):
            assert not any(weight.requires_grad for weight in network.parameters())
            for key, value in network.state_dict().items():
                assert torch.equal(value, state[key]), key

    def test_truth_never_enters(self, attack: Attack) -> None:
        parameters = inspect.signature(type(attack).reconstruct).parameters
        assert list(parameters) == ["self", "feature", "knowledge", "random"]
        known = {each.name for each in dataclasses.fields(AttackerKnowledge)}
        networks = {"encoder", "generator", "amortiser", "decoder", "defence_decoder", "cloud"}
        public = {"public_image", "query_image", "public_labels"}
        assert known == networks | public | {"release", "batch", "memory", "labels"}

    def test_preparing_first_changes_nothing(
        self, attack: Attack, result: Reconstruction, world: World
    ) -> None:
        random, knowledge = seeded(), self.knowledge(world)
        prepared = attack.prepare(knowledge, random=random)
        found = prepared.reconstruct(world.feature, knowledge, random=random)
        assert torch.equal(found.image, result.image)
        assert found.loss_curve == result.loss_curve
