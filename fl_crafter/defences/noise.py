"""Noise: what a perturbation of the same size does without any thought."""

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected, utility_loss


class Noise(Defence):
    """Adds Gaussian noise to every element, in units of its spread over public faces.

    Args:
        public_feature: features of public faces, `[count, channels, rows, columns]`.
        deviation: standard deviations of the noise, 0 or more.

    Raises:
        ValueError: a deviation below 0, or fewer than two public features.
    """

    name = "noise"

    def __init__(
        self,
        public_feature: Float[Tensor, "count channels rows columns"],
        *,
        deviation: float = 1.0,
    ) -> None:
        if not deviation >= 0:
            raise ValueError(f"deviation must be 0 or more, not {deviation}")
        if len(public_feature) < 2:
            raise ValueError("noise needs at least two public features to know their spread")
        self.scale = deviation * public_feature.std(0)

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        """See `Defence`."""
        drawn = torch.randn(feature.shape, generator=random).to(feature)
        released = feature + self.scale * drawn
        return Protected(
            released, figures={"utility_loss": float(utility_loss(released, feature).mean())}
        )
