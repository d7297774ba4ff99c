"""When to stop crafting: once the objective no longer changes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Convergence:
    """Which samples still gain from another step.

    A sample is done when the mean of its objective over the last `window` steps differs from that
    over the `window` steps before by no more than `tolerance` of the objective's range so far, and
    has done so for `window` steps in a row. A sample that is done stays done.

    It is for objectives that stay as they are. One with a critic that learns swings for hundreds of
    steps, and looks still wherever it turns: see docs/crafting.md, "When to stop".

    Args:
        tolerance: see above.
        window: steps that are averaged.
    """

    def __init__(self, *, tolerance: float, window: int = 5) -> None:
        self.tolerance, self.window = tolerance, window
        self._recent: list[Tensor] = []
        self._highest = self._lowest = self._still = torch.empty(0)

    def active(self, objective: Float[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """Who gains from another step, given every sample's objective after this one."""
        if not self._recent:
            self._highest = self._lowest = objective
            self._still = torch.zeros_like(objective, dtype=torch.long)
        self._highest = torch.maximum(self._highest, objective)
        self._lowest = torch.minimum(self._lowest, objective)
        self._recent = [*self._recent, objective][-2 * self.window :]
        if len(self._recent) == 2 * self.window:
            recent = torch.stack(self._recent)
            before, after = recent[: self.window].mean(0), recent[self.window :].mean(0)
            still = (before - after).abs() <= self.tolerance * (self._highest - self._lowest)
            done = self._still >= self.window
            self._still = torch.where(still, self._still + 1, 0).where(~done, self._still)
        return self._still < self.window
