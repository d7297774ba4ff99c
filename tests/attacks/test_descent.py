"""Descent: what it minimises, what it keeps, and the ball that it stays in."""

import pytest
import torch
from torch import Tensor

from fl_crafter.attacks.descent import descend, into_ball, relative_distance, total_variation
from tests.world import seeded


def same(value: Tensor) -> Tensor:
    return value


def test_total_variation_of_a_step() -> None:
    image = torch.zeros(1, 3, 4, 4)
    image[..., 2:] = 1.0  # one of three neighbours across differs, none down
    assert float(total_variation(image)) == pytest.approx(1 / 3)


def test_the_nearest_is_kept_not_the_last() -> None:
    """Far too long steps: what is returned is no worse than the start."""
    start = torch.full((2, 3, 4, 4), 0.5)
    found = descend(
        same,
        start,
        start=start,
        draw=same,
        project=same,
        steps=3,
        rate=10.0,
        variation_weight=0.0,
    )
    assert torch.equal(found.value, start) and float(found.distance.max()) == 0
    assert bool(found.still.all())  # nothing pulls at the goal itself


def test_the_curve_ends_with_what_is_returned() -> None:
    goal, start = (torch.rand(2, 3, 4, 4, generator=seeded(seed)) for seed in range(2))
    found = descend(
        same,
        goal,
        start=start,
        draw=same,
        project=same,
        steps=6,
        rate=3.0,
        variation_weight=0.1,
    )
    assert len(found.curve) == 6 + 2  # the start, each step, what is returned
    assert found.curve[-1] == min(found.curve)
    assert found.curve[-1] == pytest.approx(float(found.distance.mean()))
    assert found.curve[-2] > 1.1 * found.curve[-1]  # where the last step led


def test_the_better_of_two_is_so_row_by_row() -> None:
    goal = torch.rand(4, 3, 4, 4, generator=seeded())
    near = goal + torch.tensor([0.1, 0.4, 0.1, 0.4]).view(4, 1, 1, 1)
    far = goal + torch.tensor([0.4, 0.1, 0.4, 0.1]).view(4, 1, 1, 1)
    how = {"draw": same, "project": same, "steps": 0, "rate": 0.1, "variation_weight": 0.0}
    one, other = (descend(same, goal, start=start, **how) for start in (near, far))
    best = one.better_of(other)
    assert torch.equal(best.value[::2], near[::2]) and torch.equal(best.value[1::2], far[1::2])
    assert torch.equal(best.distance, torch.minimum(one.distance, other.distance))
    assert best.curve[:-1] == one.curve[:-1]
    assert best.curve[-1] == float(best.distance.mean()) < one.curve[-1]


def test_each_row_descends_by_itself() -> None:
    goal = torch.rand(3, 3, 4, 4, generator=seeded())
    start = torch.rand(3, 3, 4, 4, generator=seeded(1))
    how = {"draw": same, "project": same, "steps": 20, "rate": 0.05, "variation_weight": 0.01}
    together = descend(same, goal, start=start, **how)
    alone = descend(same, goal[1:2], start=start[1:2], **how)
    torch.testing.assert_close(together.value[1:2], alone.value)


def test_into_the_ball_is_the_nearest_point_of_it() -> None:
    centre = torch.rand(4, 10, generator=seeded(), dtype=torch.float64) + 0.5
    outside = centre + torch.randn(4, 10, generator=seeded(1), dtype=torch.float64)
    inside = into_ball(outside, centre, radius=0.1)
    norm = (inside - centre).abs().sum(1)
    torch.testing.assert_close(norm, 0.1 * centre.sum(1))
    # no point of the ball is nearer: the corners decide, as the distance is convex
    gap = outside - inside
    corner = 0.1 * centre.sum(1) * gap.abs().amax(1)
    torch.testing.assert_close((gap * (inside - centre)).sum(1), corner)
    near = centre + 1e-3
    assert torch.equal(into_ball(near, centre, radius=0.1), centre + (near - centre))


def test_an_offset_of_all_features_hardly_shrinks_their_distance() -> None:
    feature, other = (torch.rand(4, 8, 4, 4, generator=seeded(seed)) for seed in (1, 2))
    near, far = (relative_distance(other + shift, feature + shift) for shift in (0.0, 100.0))
    assert bool((far > 0.5 * near).all())
    still = torch.ones(2, 8, 4, 4)
    assert bool(relative_distance(still, 2 * still).isfinite().all()), "without any variance too"
