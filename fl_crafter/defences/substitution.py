"""Substitution: release the feature of a public face that looks alike to the cloud."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected, utility_loss

Embedding = Callable[[Tensor], Tensor]


class Substitution(Defence):
    """Releases the mean feature of the nearest public faces instead of the person's.

    The end of the trade-off where the eavesdropper sees a public person; it learns the choice only.

    Args:
        public_feature: features of public faces, `[count, channels, rows, columns]`.
        neighbours: how many public features are averaged.
        embedding: features -> vectors, the space in which "nearest" is meant; None for the feature.

    Raises:
        ValueError: more neighbours than there are public features.
    """

    name = "substitution"

    def __init__(
        self,
        public_feature: Float[Tensor, "count channels rows columns"],
        *,
        neighbours: int = 1,
        embedding: Embedding | None = None,
    ) -> None:
        count = len(public_feature)
        if not 1 <= neighbours <= count:
            raise ValueError(
                f"neighbours must be between 1 and {count} for {count} public features, "
                f"not {neighbours}"
            )
        self.public_feature = public_feature
        self.neighbours = neighbours
        self.embedding = embedding or _flat
        with torch.no_grad():
            parts = [self.embedding(part) for part in public_feature.split(256)]
        self._public = torch.cat(parts).flatten(1)

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        """See `Defence`; `random` is not used."""
        with torch.no_grad():
            here = self.embedding(feature).flatten(1)
        distance = torch.cdist(here, self._public)
        nearest = distance.topk(self.neighbours, dim=1, largest=False).indices
        released = self.public_feature[nearest].mean(1)
        loss = float(utility_loss(released, feature).mean())
        return Protected(released, figures={"utility_loss": loss})


def _flat(feature: Tensor) -> Tensor:
    return feature.flatten(1)
