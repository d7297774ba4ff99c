"""Inversion by a decoder: it learns from public faces and their features."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from fl_crafter.attacks.base import Attack
from fl_crafter.attacks.black_box import AdversarialDecoder, BlackBoxDecoder
from tests.attacks.contract import AttackContract, knowledge_of
from tests.world import World, pictures, seeded


class TestBlackBoxDecoder(AttackContract):
    def build(self) -> Attack:
        return BlackBoxDecoder(steps=3, batch_size=4, learning_rate=1e-2)


class TestAdversarialDecoder(AttackContract):
    def build(self) -> Attack:
        return AdversarialDecoder(steps=3, batch_size=4, learning_rate=1e-2)


def test_the_critic_has_a_say(world: World) -> None:
    known, how = knowledge_of(world), {"steps": 3, "batch_size": 4, "learning_rate": 1e-2}
    one, other = (
        kind(**how).reconstruct(world.feature, known, random=seeded()).image
        for kind in (BlackBoxDecoder, AdversarialDecoder)
    )
    assert not torch.equal(one, other)


def test_without_steps_the_prepared_decoder_is_used(world: World) -> None:
    attack = BlackBoxDecoder(steps=0)
    result = attack.reconstruct(world.feature, knowledge_of(world), random=seeded())
    torch.testing.assert_close(result.image, world.decoder(world.feature))
    assert result.loss_curve == []


def loss(world: World, attack: BlackBoxDecoder, image: Tensor) -> float:
    """What the decoder's training minimises, on pictures of its own choice."""
    with torch.no_grad():
        feature = world.encoder(image)
    rebuilt = attack.reconstruct(feature, knowledge_of(world), random=seeded()).image
    return float(F.l1_loss(rebuilt, image) + F.mse_loss(rebuilt, image))


def test_training_lowers_the_loss_on_public_and_other_faces(world: World) -> None:
    attack = BlackBoxDecoder(steps=0, batch_size=8, learning_rate=2e-2)
    for image in (pictures(24, seed=1), pictures(24, seed=8)):
        untrained, short, long = (
            loss(world, replace(attack, steps=steps), image) for steps in (0, 10, 120)
        )
        assert long < 0.9 * untrained and long < short


def test_more_steps_end_with_a_lower_loss_of_its_own(world: World) -> None:
    attack = BlackBoxDecoder(batch_size=8, learning_rate=1e-2)
    curves = [
        replace(attack, steps=steps)
        .reconstruct(world.feature, knowledge_of(world), random=seeded())
        .loss_curve[-1]
        for steps in (2, 80)
    ]
    assert curves[1] < curves[0]
