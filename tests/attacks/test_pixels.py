"""White-box inversion over pixels: what a feature still holds is drawn."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.pixels import AdaptivePixels, WhiteBoxChannels, WhiteBoxPixels
from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.models.split import Encoder, freeze
from tests.attacks.contract import AttackContract, knowledge_of
from tests.world import SIZE, World, pictures, seeded


class TestWhiteBoxPixels(AttackContract):
    def build(self) -> Attack:
        return WhiteBoxPixels(steps=5, restarts=1, micro_batch=3)

    def test_it_has_gradients(self, result: Reconstruction) -> None:
        assert result.zero_gradients == 0


def distance(world: World, attack: WhiteBoxPixels, feature: Tensor) -> Tensor:
    found = attack.reconstruct(feature, knowledge_of(world), random=seeded()).image
    with torch.no_grad():
        return (world.encoder(found) - feature).square().mean((1, 2, 3))


def test_more_steps_and_restarts_come_nearer(world: World) -> None:
    with torch.no_grad():
        feature = world.encoder(pictures(6, seed=9))
    attack = WhiteBoxPixels(steps=5, variation_weight=0.0)
    few = distance(world, attack, feature)
    assert float(distance(world, replace(attack, steps=60), feature).mean()) < 0.5 * float(
        few.mean()
    )
    restarted = distance(world, replace(attack, restarts=3), feature)
    assert bool((restarted <= few * (1 + 1e-5)).all()) and bool((restarted < few).any())


def test_planted_pictures_are_found(world: World) -> None:
    """A feature from which the picture follows, and a decoder that only knows grey."""
    torch.manual_seed(0)
    encoder = freeze(Encoder(nn.Conv2d(3, 16, 4, stride=2, padding=1)))
    grey = nn.Sequential(nn.Conv2d(16, 3, 1), nn.Upsample(scale_factor=2), nn.Sigmoid())
    knowledge = replace(knowledge_of(world), encoder=encoder, decoder=grey)
    image = pictures(6, seed=5)
    found = WhiteBoxPixels(steps=200).reconstruct(encoder(image), knowledge, random=seeded()).image

    error, spread = (found - image).square().mean((1, 2, 3)), (image - image.mean(0)).square()
    assert float(error.max()) < 0.01 * float(spread.mean())


def test_hidden_gradients_are_told(world: World) -> None:
    class Hiding(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return (world.encoder(image) * 4).round() / 4

    knowledge = replace(knowledge_of(world), encoder=Hiding())
    for attack in (WhiteBoxPixels(steps=1), WhiteBoxLatent(probes=32)):
        result = attack.reconstruct(world.feature, knowledge, random=seeded())
        assert result.zero_gradients == 1
        assert result.image.shape == (len(world.feature), 3, SIZE, SIZE)
    open_ = WhiteBoxLatent(probes=32).reconstruct(
        world.feature, knowledge_of(world), random=seeded()
    )
    assert open_.zero_gradients == 0


class TestAdaptivePixels(AttackContract):
    def knowledge(self, world: World) -> AttackerKnowledge:
        return replace(knowledge_of(world), release=lambda feature: feature.flip(3))

    def build(self) -> Attack:
        return AdaptivePixels(WhiteBoxPixels(steps=3))


def test_a_defence_with_gradients_is_seen_through(world: World) -> None:
    image = pictures(6, seed=9)

    def release(feature: Tensor) -> Tensor:
        return feature.roll(1, 1).flip(3)

    with torch.no_grad():
        clean = world.encoder(image)
    knowledge = replace(knowledge_of(world), release=release)
    static, adaptive = (
        attack.reconstruct(release(clean), knowledge, random=seeded()).image
        for attack in (WhiteBoxPixels(steps=40), AdaptivePixels(WhiteBoxPixels(steps=40)))
    )
    blind, seeing = ((world.encoder(each) - clean).square().mean() for each in (static, adaptive))
    assert float(seeing) < 0.2 * float(blind)


def test_features_are_taken_together_as_the_victim_protects_them(world: World) -> None:
    sizes: set[int] = set()

    def release(feature: Tensor) -> Tensor:
        sizes.add(len(feature))
        return 2 * feature

    knowledge = replace(knowledge_of(world), release=release, batch=4)
    AdaptivePixels(WhiteBoxPixels(steps=1, micro_batch=3)).reconstruct(
        world.feature[:4], knowledge, random=seeded()
    )
    assert sizes == {4}


class TestWhiteBoxChannels(AttackContract):
    def build(self) -> Attack:
        return WhiteBoxChannels(WhiteBoxPixels(steps=5, micro_batch=3))


@pytest.mark.parametrize("damped", [0.0, 0.01])
def test_pruned_and_damped_channels_do_not_hide_the_others(world: World, damped: float) -> None:
    """Most channels of each photograph blanked, or as good as, and the others scaled."""
    torch.manual_seed(0)
    encoder = freeze(Encoder(nn.Conv2d(3, 32, 4, stride=2, padding=1)))
    grey = nn.Sequential(nn.Conv2d(32, 3, 1), nn.Upsample(scale_factor=2), nn.Sigmoid())
    knowledge = replace(knowledge_of(world), encoder=encoder, decoder=grey)
    image = pictures(6, seed=5)
    factor = 3 * torch.rand(6, 32, 1, 1, generator=seeded(1))
    released = encoder(image) * torch.where(factor < 2, damped * factor, factor)

    def error(attack: Attack) -> float:
        found = attack.reconstruct(released, knowledge, random=seeded()).image
        return float((found - image).square().mean() / image.var(0).mean())

    blind = WhiteBoxPixels(steps=200)
    assert error(WhiteBoxChannels(blind)) < 0.3 * error(blind)


def test_where_every_channel_is_pruned_a_picture_is_drawn(world: World) -> None:
    nothing = torch.zeros_like(world.feature)
    attack = WhiteBoxChannels(WhiteBoxPixels(steps=5))
    found = attack.reconstruct(nothing, knowledge_of(world), random=seeded())
    assert bool(found.image.isfinite().all())
    assert found.zero_gradients == 1
