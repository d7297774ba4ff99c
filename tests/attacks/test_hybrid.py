"""Hybrid inversion: it leaves the generator's range, and only towards the feature."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fl_crafter.attacks.base import Attack, Reconstruction
from fl_crafter.attacks.descent import relative_distance
from fl_crafter.attacks.hybrid import WhiteBoxHybrid, blocks_of
from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.inversion.inverters import LevenbergMarquardt
from tests.attacks.contract import AttackContract, knowledge_of
from tests.world import LATENT, World, pictures, seeded

LATENTS = WhiteBoxLatent(
    inverter=LevenbergMarquardt(steps=3, inner_iterations=4), restarts=1, latent_weight=0.0
)


class TestWhiteBoxHybrid(AttackContract):
    def build(self) -> Attack:
        return WhiteBoxHybrid(latent=LATENTS, steps=3, micro_batch=3)

    def test_it_has_gradients(self, result: Reconstruction) -> None:
        assert result.zero_gradients == 0


def distance(world: World, attack: Attack, feature: Tensor) -> Tensor:
    found = attack.reconstruct(feature, knowledge_of(world), random=seeded()).image
    with torch.no_grad():
        return (world.encoder(found) - feature).square().mean((1, 2, 3))


def test_the_further_it_may_leave_the_nearer_it_comes(world: World) -> None:
    with torch.no_grad():
        feature = world.encoder(pictures(6, seed=9))
    latent = distance(world, LATENTS, feature)
    hybrid = WhiteBoxHybrid(latent=LATENTS, steps=8, radius=0.01, variation_weight=0.0)
    narrow = distance(world, hybrid, feature)
    wide = distance(world, replace(hybrid, radius=0.5), feature)
    assert bool((narrow <= latent * (1 + 1e-4)).all())
    assert float(wide.mean()) < 0.9 * float(narrow.mean())


def test_the_blocks_together_are_the_generator(world: World) -> None:
    latent = torch.randn(3, LATENT, generator=seeded())
    value = latent
    blocks = blocks_of(world.generator)
    for block in blocks:
        value = block(value)
    torch.testing.assert_close(value, world.generator(latent))
    assert len(blocks) == 4  # behind the linear layer, and behind each doubling


def test_the_curve_joins_all_stages_and_ends_with_what_is_returned(world: World) -> None:
    hybrid = WhiteBoxHybrid(latent=LATENTS, steps=3, variation_weight=0.0, micro_batch=4)
    found = hybrid.reconstruct(world.feature, knowledge_of(world), random=seeded())
    # the start and each step of every block, and at last the nearest
    assert len(found.loss_curve) == 4 * (3 + 1) + 1
    with torch.no_grad():
        reached = relative_distance(world.encoder(found.image), world.feature)
    assert found.loss_curve[-1] == pytest.approx(float(reached.mean()), rel=1e-4)
