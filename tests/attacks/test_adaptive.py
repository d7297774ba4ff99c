"""Adaptive inversion: a defence that only hides from a fixed decoder does not hide from this."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fl_crafter.attacks.adaptive import AdaptiveDecoder, fresh_decoder
from fl_crafter.attacks.base import Attack, AttackerKnowledge
from fl_crafter.attacks.black_box import BlackBoxDecoder
from tests.attacks.contract import AttackContract, knowledge_of
from tests.world import SIZE, World, pictures, seeded


def scramble(feature: Tensor) -> Tensor:
    """False security: a fixed decoder is lost, nothing is."""
    return feature.roll(1, 1).flip(3)


def knowing(world: World) -> AttackerKnowledge:
    return replace(knowledge_of(world), release=scramble)


class TestAdaptiveDecoder(AttackContract):
    def knowledge(self, world: World) -> AttackerKnowledge:
        return knowing(world)

    def build(self) -> Attack:
        return AdaptiveDecoder(steps=3, batch_size=4, learning_rate=1e-2)


class TestFromScratch(TestAdaptiveDecoder):
    def build(self) -> Attack:
        return AdaptiveDecoder(steps=3, batch_size=4, start="convolutional", draws=2)


class TestDense(TestAdaptiveDecoder):
    def build(self) -> Attack:
        return AdaptiveDecoder(steps=3, batch_size=4, start="dense")


class TestReTunedGenerator(TestAdaptiveDecoder):
    def build(self) -> Attack:
        return AdaptiveDecoder(steps=3, batch_size=4, start="generator")


def error(attack: Attack, feature: Tensor, image: Tensor, knowledge: AttackerKnowledge) -> float:
    found = attack.reconstruct(feature, knowledge, random=seeded()).image
    return float(F.mse_loss(found, image))


def test_it_sees_through_a_defence_that_it_knows(world: World) -> None:
    image = pictures(12, seed=3)
    with torch.no_grad():
        protected = scramble(world.encoder(image))
    knowledge = replace(knowing(world), public_image=pictures(300, seed=4))
    settings = {"steps": 400, "batch_size": 16, "learning_rate": 2e-2}
    fixed = error(BlackBoxDecoder(**settings), protected, image, knowledge)
    adaptive = error(AdaptiveDecoder(**settings), protected, image, knowledge)

    assert adaptive < 0.85 * fixed


def test_it_goes_on_with_the_better_of_its_own_decoder_and_the_one_of_a_trained_defence(
    world: World,
) -> None:
    bad = fresh_decoder(world.feature.shape[1:], SIZE, dense=False).requires_grad_(False)
    still = AdaptiveDecoder(steps=1, learning_rate=1e-9)
    for knowledge in (
        replace(knowing(world), defence_decoder=bad),
        replace(knowing(world), decoder=bad, defence_decoder=world.decoder),
    ):
        found = still.reconstruct(world.feature, knowledge, random=seeded()).image
        torch.testing.assert_close(found, world.decoder(world.feature), atol=1e-4, rtol=0)
    knowledge = replace(knowing(world), defence_decoder=bad)
    black_box = BlackBoxDecoder(steps=0).reconstruct(world.feature, knowledge, random=seeded())
    torch.testing.assert_close(black_box.image, world.decoder(world.feature))


def test_a_feature_a_hundred_times_as_large_is_no_protection(world: World) -> None:
    """Encoders trained against a decoder grow so; unscaled, a decoder learns nothing."""
    image = pictures(12, seed=3)
    with torch.no_grad():
        feature = world.encoder(image)
    learn = AdaptiveDecoder(start="convolutional", steps=60, batch_size=8, learning_rate=1e-2)
    errors = []
    for size in (1.0, 300.0):
        encoder = torch.nn.Sequential(world.encoder, _Times(size))
        knowledge = replace(knowing(world), encoder=encoder, release=lambda each: each)
        errors.append(error(learn, size * feature, image, knowledge))
    assert errors[1] == pytest.approx(errors[0], rel=0.02)


def test_a_defence_that_only_rescales_is_none(world: World) -> None:
    """The encoder is as usual, and what is released two hundred times as large and shifted."""
    image = pictures(12, seed=3)
    with torch.no_grad():
        feature = world.encoder(image)
    learn = AdaptiveDecoder(steps=20, batch_size=8)
    plain = replace(knowing(world), release=lambda each: each)
    large = replace(knowing(world), release=lambda each: 200 * each + 50)
    wanted = error(learn, feature, image, plain)
    assert error(learn, 200 * feature + 50, image, large) == pytest.approx(wanted, rel=0.05)


class _Times(torch.nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, value: Tensor) -> Tensor:
        return self.factor * value


def test_a_generator_without_an_amortiser_is_not_re_tuned(world: World) -> None:
    knowledge = replace(knowing(world), amortiser=None)
    assert not AdaptiveDecoder(start="generator").applies(knowledge)
    assert AdaptiveDecoder().applies(knowledge)


def test_it_takes_no_more_faces_than_asked(world: World) -> None:
    seen = []

    def release(feature: Tensor) -> Tensor:
        seen.append(len(feature))
        return feature

    knowledge = replace(knowledge_of(world), release=release, batch=5)
    AdaptiveDecoder(images=10, steps=1).reconstruct(world.feature, knowledge, random=seeded())
    assert sum(seen) == 10


def test_without_a_defence_to_know_it_refuses(world: World) -> None:
    with pytest.raises(ValueError, match="must know the defence"):
        AdaptiveDecoder().reconstruct(world.feature, knowledge_of(world), random=seeded())


@pytest.mark.parametrize("side", [64, 96, 112, 128])
@pytest.mark.parametrize("dense", [False, True])
def test_fresh_decoders_fit_every_size_that_evaluations_take(side: int, dense: bool) -> None:
    shape = torch.Size((4, side // 4, side // 4))
    decoder = fresh_decoder(shape, side, dense=dense)
    assert decoder(torch.randn(2, *shape)).shape == (2, 3, side, side)


@pytest.mark.parametrize("dense", [False, True])
def test_fresh_decoders_draw_large_images_whole(dense: bool) -> None:
    decoder = fresh_decoder(torch.Size((1, 8, 8)), 512, dense=dense)
    assert decoder(torch.randn(1, 1, 8, 8)).shape == (1, 3, 512, 512)
