"""Projection: keep only what the leading principal components of public features can say."""

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected, utility_loss


class Projection(Defence):
    """Releases the feature's projection on the principal components of public features.

    Args:
        public_feature: features of public faces, `[count, channels, rows, columns]`.
        components: number of leading components, at most `count - 1`.

    Raises:
        ValueError: more components than the public features span.
    """

    name = "projection"

    def __init__(
        self,
        public_feature: Float[Tensor, "count channels rows columns"],
        *,
        components: int = 64,
    ) -> None:
        count = len(public_feature)
        if not 1 <= components < count:
            raise ValueError(
                f"components must be between 1 and {count - 1} for {count} public features, "
                f"not {components}"
            )
        flat = public_feature.flatten(1)
        self.mean = flat.mean(0)
        centred = flat - self.mean
        # features have far more elements than there are public faces: use the small Gram matrix
        values, vectors = torch.linalg.eigh(centred @ centred.T)
        if not values[-components] > 1e-6 * values[-1]:
            raise ValueError(f"components={components} are more than the public features span")
        # orthogonal but for rounding, which squaring made worse
        self.basis = torch.linalg.qr(centred.T @ vectors[:, -components:]).Q

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        """See `Defence`; `random` is not used."""
        centred = feature.flatten(1) - self.mean
        released = (self.mean + centred @ self.basis @ self.basis.T).view_as(feature)
        loss = float(utility_loss(released, feature).mean())
        return Protected(released, figures={"utility_loss": loss})
