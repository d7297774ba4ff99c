"""The average curvature of an inner problem: what the linear systems of all faces share."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# What few probes say of the flattest directions is noise, so that all get a share of the mean.
SHRINKAGE = 0.05


@dataclass(frozen=True)
class MeanCurvature:
    """Eigenvalues and eigenvectors of the Gauss-Newton matrix, averaged over the latent prior.

    A few directions of the latent (light, hair, pose) move features a thousand times as far as
    others, and do so for every face. A solver that divides by the average is left with what is
    particular to a face, and needs a third of the iterations. The solution stays the same.

    Attributes:
        values: eigenvalues of the mean of `J^T J / size`, without the prior's term.
        vectors: their eigenvectors, in columns.
    """

    values: Float[Tensor, " latent_size"]
    vectors: Float[Tensor, "latent_size latent_size"]

    @staticmethod
    def of(mean: Float[Tensor, "latent_size latent_size"]) -> "MeanCurvature":
        """Of an estimate of the matrix, in float64."""
        values, vectors = torch.linalg.eigh(mean)
        values = (1 - SHRINKAGE) * values.clamp_min(0) + SHRINKAGE * values.mean()
        return MeanCurvature(values, vectors)

    def to(self, like: Tensor) -> "MeanCurvature":
        """With the dtype and on the device of another tensor."""
        return MeanCurvature(self.values.to(like), self.vectors.to(like))

    def inverse(
        self, vector: Float[Tensor, "batch latent_size"], shift: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch latent_size"]:
        """`(mean + shift I)^-1 v` for each sample."""
        return (vector @ self.vectors / (self.values + shift[:, None])) @ self.vectors.T

    def quotient(self, vector: Float[Tensor, "batch latent_size"]) -> Float[Tensor, " batch"]:
        """`v^T mean v / v^T v` of each sample."""
        along = (vector @ self.vectors).square()
        return (along * self.values).sum(1) / along.sum(1).clamp_min(torch.finfo(vector.dtype).tiny)
