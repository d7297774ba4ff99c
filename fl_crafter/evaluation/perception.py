"""A distance of images as a network sees them, in the manner of LPIPS."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fl_crafter.assets import load_encoder


class PerceptualDistance:
    """Mean squared difference of channel-normalised feature maps (Zhang et al., 2018).

    Their published weights cannot be shipped, so the maps are those of the public attribute network
    behind the cut (the cloud model's stages), unweighted: attacks that minimise the distance of the
    encoder's features do not minimise this one. Not comparable with LPIPS figures.
    """

    def __init__(self) -> None:
        model = load_encoder()
        self._encoder, self._stages = model.encoder, list(model.cloud.children())

    def __call__(
        self,
        one: Float[Tensor, "count 3 height width"],
        other: Float[Tensor, "count 3 height width"],
    ) -> Float[Tensor, " count"]:
        """Distance of each pair of images in [0, 1]: 0 for equal ones, at most 4."""
        with torch.no_grad():
            parts = zip(one.split(64), other.split(64), strict=True)
            return torch.cat([self._distance(*pair) for pair in parts])

    def _distance(self, one: Tensor, other: Tensor) -> Tensor:
        value, distances = self._encoder(torch.cat([one, other])), []
        for stage in self._stages:
            value = stage(value)
            if value.shape[-1] == 1:  # pooled: no map any more
                break
            mine, theirs = functional.normalize(value, dim=1).chunk(2)
            distances.append((mine - theirs).square().sum(1).mean((1, 2)))
        return torch.stack(distances).mean(0)
