"""What is kept of a clean feature, and that nothing else reaches the release."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fl_crafter.defences.base import Defence, Status, utility_loss
from fl_crafter.defences.configured import build_defence
from fl_crafter.defences.crafter.crafter import Crafter, CrafterSettings
from fl_crafter.defences.crafter.utility import FeatureUtility, TaskUtility, Utility
from fl_crafter.defences.substitution import Substitution
from tests.defences.contract import DefenceContract
from tests.world import World, seeded

SETTINGS = CrafterSettings(steps=20)


def means(feature: Tensor) -> Tensor:
    """A task that sees the channels' means only."""
    return feature.mean((2, 3))


def crafter(world: World, settings: CrafterSettings = SETTINGS) -> Crafter:
    utility = TaskUtility(means, world.public_feature)
    start = Substitution(world.public_feature, neighbours=4, embedding=utility)
    return Crafter(utility=utility, start=start, settings=settings)


class TestCrafterFromPublicFaces(DefenceContract):
    def build(self, world: World) -> Defence:
        return build_defence(
            "crafter", encoder=world.encoder, cloud=world.cloud, public_feature=world.public_feature
        )


def test_what_the_task_does_not_see_never_reaches_the_release(world: World) -> None:
    # another person for all that an eavesdropper could tell, and the same for the task
    other = world.feature + torch.randn(world.feature.shape, generator=seeded())
    other = other - means(other - world.feature)[:, :, None, None]
    assert float(utility_loss(other, world.feature).mean()) > 0.5
    one, two = (
        crafter(world).protect(feature, random=seeded()).feature
        for feature in (world.feature, other)
    )
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)
    moved = crafter(world).protect(world.feature + 1, random=seeded()).feature
    assert float((moved - one).abs().max()) > 0.1, "what the task sees does"


def test_a_person_does_not_depend_on_the_batch(world: World) -> None:
    together = crafter(world).protect(world.feature, random=seeded()).feature
    alone = crafter(world).protect(world.feature[2:3], random=seeded(5)).feature
    torch.testing.assert_close(alone, together[2:3], rtol=1e-4, atol=1e-4)


def test_parts_are_joined_as_if_they_had_been_one(world: World) -> None:
    whole = crafter(world).protect(world.feature, random=seeded())
    parts = crafter(world, replace(SETTINGS, micro_batch=2)).protect(world.feature, random=seeded())
    torch.testing.assert_close(parts.feature, whole.feature, rtol=1e-4, atol=1e-4)
    assert parts.status == whole.status
    assert parts.figures == pytest.approx(whole.figures, rel=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.5, 1e4])
def test_a_feature_without_any_face_ends_with_a_status(value: float, world: World) -> None:
    feature = torch.full_like(world.feature, value)
    result = crafter(world).protect(feature, random=seeded())
    assert result.status in (Status.OK, Status.NOT_CONVERGED)
    assert bool(torch.isfinite(result.feature).all())


def test_a_rate_that_is_far_too_large_never_releases_nan(world: World) -> None:
    settings = replace(SETTINGS, rate=1e30, steps=5)
    result = crafter(world, settings).protect(world.feature, random=seeded())
    assert result.status == Status.DIVERGED
    assert bool(torch.isfinite(result.feature).all())


def test_a_model_with_a_broken_weight_never_releases_nan(world: World) -> None:
    def broken(feature: Tensor) -> Tensor:
        return means(feature) * float("nan")

    defence = Crafter(
        utility=TaskUtility(broken, world.public_feature),
        start=Substitution(world.public_feature),
        settings=SETTINGS,
    )
    result = defence.protect(world.feature, random=seeded())
    assert result.status == Status.DIVERGED
    assert bool(torch.isfinite(result.feature).all())


def test_the_utility_weight_trades_the_public_face_for_the_task(world: World) -> None:
    found = []
    for weight in (0.0, 0.1, 1.0, 100.0):
        settings = replace(SETTINGS, utility_weight=weight, steps=60, rate=0.02)
        defence = crafter(world, settings)
        assert defence.start is not None
        start = defence.start.protect(world.feature, random=seeded()).feature
        result = defence.protect(world.feature, random=seeded())
        away = float(utility_loss(result.feature, start).mean())
        found.append((away, -result.figures["task_loss"]))
    assert found == sorted(found)
    assert found[0][0] == 0, "of weight nothing, the public face itself"
    assert found[-1][1] > 0.1 * found[0][1], "of a large weight, nearly all of the task"


@pytest.mark.parametrize("kind", ["feature", "task"])
def test_the_loss_is_of_each_sample_and_vanishes_at_the_clean_feature(
    kind: str, world: World
) -> None:
    utility: Utility = (
        FeatureUtility() if kind == "feature" else TaskUtility(world.cloud, world.public_feature)
    )
    target = utility.target(world.feature)
    assert not target.requires_grad
    assert float(utility.loss(world.feature, target).abs().max()) < 1e-8
    changed = world.feature.clone()
    changed[1] += 1
    loss = utility.loss(changed, target)
    assert loss.shape == (len(changed),)
    assert float(loss[1]) > 1e-3 and float(loss[[0, 2, 3, 4]].abs().max()) < 1e-8


def test_task_outputs_are_compared_in_units_of_their_spread(world: World) -> None:
    def stretched(feature: Tensor) -> Tensor:
        return means(feature) * torch.tensor([1.0, 10.0, 100.0, 1000.0])

    one, other = (TaskUtility(task, world.public_feature) for task in (means, stretched))
    crafted = world.feature.flip(0)
    torch.testing.assert_close(
        one.loss(crafted, one.target(world.feature)),
        other.loss(crafted, other.target(world.feature)),
    )
