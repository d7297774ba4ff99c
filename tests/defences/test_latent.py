"""Crafter-z: whatever it releases is the feature of a face that the generator drew."""

from dataclasses import replace

import torch

from fl_crafter.defences.base import Defence, Protected, Status
from fl_crafter.defences.crafter.crafter import CrafterSettings
from fl_crafter.defences.crafter.distance import CriticSettings
from fl_crafter.defences.crafter.latent import CrafterLatent
from fl_crafter.inversion.inverters import LevenbergMarquardt
from tests.defences.contract import DefenceContract
from tests.world import World, seeded

CRITIC = CriticSettings(widths=(4, 8), warm_up=3, steps=1, batch_size=8)
QUICK = CrafterSettings(steps=3, prior_images=16, distance=CRITIC)


def crafter(world: World, settings: CrafterSettings = QUICK) -> CrafterLatent:
    return CrafterLatent(world.encoder, world.generator, world.amortiser, settings=settings)


class TestCrafterLatent(DefenceContract):
    def build(self, world: World) -> Defence:
        return crafter(world)

    def test_the_release_lies_on_the_generators_range(
        self, protected: Protected, world: World
    ) -> None:
        problem = crafter(world).problem
        inverter = LevenbergMarquardt(steps=80, inner_iterations=6)
        start = world.amortiser(protected.feature)
        found = inverter.invert(problem, protected.feature, start=start).latent
        with torch.no_grad():
            again = world.encoder(world.generator(found))
        distance = (again - protected.feature).square().mean((1, 2, 3))
        assert float(distance.median()) < 0.05 * float(world.feature.var())


def test_a_large_utility_weight_stays_with_the_inversion(world: World) -> None:
    still = crafter(world, replace(QUICK, steps=0)).protect(world.feature, random=seeded())
    kept, free = (
        crafter(world, replace(QUICK, steps=30, utility_weight=weight, rate=0.02)).protect(
            world.feature, random=seeded()
        )
        for weight in (1e6, 0.0)
    )
    assert kept.figures["utility_loss"] <= still.figures["utility_loss"] * 1.01
    assert free.figures["utility_loss"] > kept.figures["utility_loss"]


def test_a_feature_that_is_not_finite_is_not_released(world: World) -> None:
    feature = world.feature.clone()
    feature[0, 0, 0, 0] = float("nan")
    assert crafter(world).protect(feature, random=seeded()).status == Status.DIVERGED


def test_latents_that_run_away_are_not_released(world: World) -> None:
    wild = replace(QUICK, rate=50.0, steps=10)
    assert crafter(world, wild).protect(world.feature, random=seeded()).status == Status.DIVERGED


def test_a_batch_is_crafted_in_micro_batches(world: World) -> None:
    parted = replace(QUICK, micro_batch=3)
    random, again = seeded(), seeded()
    whole = crafter(world, parted).protect(world.feature[:6], random=random)
    parts = [
        crafter(world).protect(part, random=again).feature for part in world.feature[:6].split(3)
    ]
    torch.testing.assert_close(whole.feature, torch.cat(parts))
    together = crafter(world).protect(world.feature[:6], random=seeded())
    assert not torch.allclose(together.feature, whole.feature)


def test_the_privacy_gap_is_told(world: World) -> None:
    figures = crafter(world).protect(world.feature[:6], random=seeded()).figures
    assert {"latent_privacy_gap", "latent_privacy_gap_standard_error"} < figures.keys()
