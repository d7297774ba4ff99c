"""How the outer loop moves a feature along its gradients."""

import torch
from jaxtyping import Float
from torch import Tensor


class SampleAdam:
    """Adam with one second moment for each sample: it moves along the gradient, not its signs.

    Adam divides each element by its own size, so that at first every element of a feature moves
    equally far, whatever it is good for. The utility loss counts all of that change; along the
    gradient itself the same change lowers the privacy loss two to three times as much.

    Args:
        rate: length of a step: the root mean square of its elements, while gradients agree.
        decay: of the first and the second moment.
    """

    def __init__(self, *, rate: float, decay: tuple[float, float] = (0.9, 0.999)) -> None:
        self.rate, self.decay = rate, decay
        self._count = 0
        self._mean: Tensor | float = 0.0
        self._square: Tensor | float = 0.0

    def move(self, gradient: Float[Tensor, " batch *shape"]) -> Float[Tensor, " batch *shape"]:
        """What to add, given the gradient of each sample."""
        first, second = self.decay
        self._count += 1
        size = gradient.flatten(1).square().mean(1).view(-1, *[1] * (gradient.dim() - 1))
        self._mean = first * self._mean + (1 - first) * gradient
        self._square = second * self._square + (1 - second) * size
        spread = (self._square / (1 - second**self._count)).sqrt()
        # a sample without any gradient stays where it is
        spread = spread.clamp_min(torch.finfo(gradient.dtype).tiny)
        return -self.rate * self._mean / (1 - first**self._count) / spread
