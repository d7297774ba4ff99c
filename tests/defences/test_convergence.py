"""When crafting stops, sample by sample."""

import torch
from torch import Tensor

from fl_crafter.defences.crafter.convergence import Convergence


def steps_until_done(curve: Tensor, convergence: Convergence) -> list[int | None]:
    """For each column of objectives, the row at which it was done."""
    active = torch.stack([convergence.active(row) for row in curve])
    assert bool((active[1:] <= active[:-1]).all()), "what is done stays done"
    done = (~active).int()
    return [int(column.argmax()) if bool(column.any()) else None for column in done.T]


def test_each_sample_stops_when_it_no_longer_changes() -> None:
    time = torch.arange(100.0)
    curve = torch.stack([0.5**time, 0.9**time, 1 - time / 100], 1)
    fast, slow, falling = steps_until_done(curve, Convergence(tolerance=0.01))
    assert fast is not None and slow is not None and falling is None
    assert fast < slow
    # .9^t averaged over five steps falls by .01 in five steps near t = 38, and five steps more
    assert abs(slow - 43) < 6


def test_a_sample_does_not_depend_on_the_others() -> None:
    time = torch.arange(60.0)
    curve = torch.stack([0.7**time, 0.95**time], 1)
    together = steps_until_done(curve, Convergence(tolerance=0.01))
    alone = [
        steps_until_done(curve[:, [index]], Convergence(tolerance=0.01))[0] for index in (0, 1)
    ]
    assert together == alone


def test_noise_around_a_slope_does_not_stop_it() -> None:
    random = torch.Generator().manual_seed(0)
    curve = 1 - torch.arange(50.0)[:, None] / 50 + 0.02 * torch.randn(50, 1, generator=random)
    assert steps_until_done(curve, Convergence(tolerance=0.01)) == [None]


def test_an_objective_that_rises_and_turns_does_not_stop_it() -> None:
    time = torch.arange(40.0)[:, None]
    curve = torch.where(time < 20, time / 20, 2 - time / 20)
    assert steps_until_done(curve, Convergence(tolerance=0.01)) == [None]


def test_a_constant_objective_is_done_as_soon_as_can_be_told() -> None:
    assert steps_until_done(torch.ones(20, 1), Convergence(tolerance=0.01)) == [13]
