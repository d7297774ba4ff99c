"""When to stop crafting: once the objective no longer changes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Convergence:
    """Which samples still gain from another step.

    A sample is done when the mean of its objective over the last `window` steps differs from that
    over the `window` steps before by no more than `tolerance` of the objective's range so far, and
    has done so for `window` steps in a row. (It may rise for a while, as a critic learns to see,
    and turn.) A sample that is done stays done.

    Args:
        tolerance: see above.
        window: steps that are averaged, since a distance that adapts is noisy.
        together: decide for the mean of the batch: where a distance couples the samples, none of
            them stops alone.
    """

    def __init__(self, *, tolerance: float, window: int = 5, together: bool = False) -> None:
        self.tolerance, self.window, self.together = tolerance, window, together
        self._recent: list[Tensor] = []
        self._highest = self._lowest = self._still = torch.empty(0)

    def active(self, objective: Float[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """Who gains from another step, given every sample's objective after this one."""
        if self.together:
            objective = objective.mean().expand_as(objective)
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
