"""Tell people apart in a simulated eavesdropper's pictures: whitened principal components.

A release gate must not use the network that judges results afterwards. This recogniser is fitted on
public features only, and trains nothing: pictures are encoded again, and compared in the principal
components of public pictures, each scaled to unit variance (eigenfaces; Turk and Pentland, 1991).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from fl_crafter.chunks import in_chunks

BATCH = 64


class EigenRecogniser:
    """Unit vectors of pictures that lie close for one person and apart for two.

    Args:
        encoder: images in [0, 1] -> features.
        picture: an eavesdropper's pictures of public people, in [0, 1].
        components: principal components that are compared, half the pictures at most.
    """

    def __init__(
        self,
        encoder: nn.Module,
        picture: Float[Tensor, "count 3 height width"],
        *,
        components: int = 128,
    ) -> None:
        self.encoder = encoder
        feature = self._feature(picture)
        self.mean = feature.mean(0)
        rank = min(components, len(feature) // 2)
        # the Gram matrix is small where a covariance of all dimensions would not be
        centred = feature - self.mean
        values, vectors = torch.linalg.eigh(centred @ centred.T)
        values, vectors = values[-rank:], vectors[:, -rank:]
        # a picture's coordinates have the variance values / count
        self.axes = centred.T @ (vectors / values.clamp(min=1e-12))

    def __call__(
        self, picture: Float[Tensor, "count 3 height width"]
    ) -> Float[Tensor, "count components"]:
        """Unit vectors of pictures in [0, 1]."""
        return F.normalize((self._feature(picture) - self.mean) @ self.axes, dim=1)

    def _feature(self, picture: Tensor) -> Tensor:
        return in_chunks(self.encoder, picture, BATCH).flatten(1)


def limit_for(
    embed: Callable[[Tensor], Tensor],
    picture: Float[Tensor, "count 3 height width"],
    *,
    person: Int64[Tensor, " count"],
    false_match: float,
) -> float:
    """The cosine that a share `false_match` of pairs of different people exceeds.

    Args:
        embed: pictures -> unit vectors.
        picture: of public people, that `embed` was not fitted on.
        person: who is on each.
        false_match: share of the pairs, between 0 and 1.

    Raises:
        ValueError: all pictures are of one person.
    """
    vectors = embed(picture)
    strangers = (person[:, None] != person).triu(1).to(vectors.device)
    cosine = (vectors @ vectors.T)[strangers].float()
    if not len(cosine):
        raise ValueError("the limit of a match takes pictures of two people or more")
    return float(cosine.kthvalue(max(1, math.ceil((1 - false_match) * len(cosine)))).values)
