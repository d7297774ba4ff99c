"""Linking by linear models of rows whose numbers are brought to one scale."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import RidgeCV
from torch import Tensor

from fl_crafter.attacks.linking import Linker, Linking, candidates

RIDGES = np.logspace(-5, 1, 13)  # for each number of a row and each public face


@dataclass(frozen=True)
class DiscriminantAnalysis(Linker):
    """Linear discriminant analysis on a few numbers of each row, `[count, size]`; nan is unknown.

    Its one covariance within people, whose correlations are shrunk as Ledoit and Wolf (2004) say,
    tells from a few photographs of each person which numbers are steady: for the outputs of the
    task's model, and labels beside them.

    Attributes:
        least: variance within people that is added, in units of the variance over everybody.
    """

    least: float = 1e-3
    name: ClassVar[str] = "discriminant_analysis"

    def fit(
        self,
        evidence: Float[Tensor, "count size"],
        person: Int64[Tensor, " count"],
        *,
        random: torch.Generator,
    ) -> Linking:
        """See `Linker`; `random` is not used.

        Raises:
            ValueError: also if nobody has two rows: what is steady cannot be told.
        """
        people, place = candidates(evidence, person)
        if len(people) == len(evidence):
            raise ValueError("discriminant analysis takes two rows or more of somebody")
        scaled = _standardised(evidence.double().cpu())
        table = scaled(evidence)
        place = place.cpu()
        total = torch.zeros(len(people), table.shape[1], dtype=table.dtype)
        centre = total.index_add(0, place, table) / place.bincount()[:, None]
        within = table - centre[place]
        # what never varied within the few photographs of a person may vary in the next one
        deviation = (within.square().mean(0) + self.least).sqrt()
        shrunk, _ = ledoit_wolf((within / deviation).numpy(), assume_centered=True)
        covariance = torch.from_numpy(shrunk) * deviation[:, None] * deviation
        covariance.diagonal().add_(self.least)
        weight = torch.linalg.solve(covariance, centre.T)
        bias = -0.5 * (centre.T * weight).sum(0)
        return Linking(people, lambda rows: (scaled(rows) @ weight + bias).float())


@dataclass(frozen=True)
class EmbeddingRegression(Linker):
    """Tells from a row what a face recogniser would see, and looks for it in an album.

    It needs no photograph behind the defence, nor labels of the candidates: plain photographs of
    them, and rows of public faces. Fitted on the recogniser's embeddings `[count, dimensions]` of
    the photographs, it scores rows `[count, ...]`, by cosine to the mean of each candidate. Ridge
    regression, as strong as leaving out each public face in turn says.

    Attributes:
        rows: of public faces, what it will be asked about; nan is unknown.
        embedding: of the same faces, by the same recogniser.
    """

    rows: Float[Tensor, "faces ..."]
    embedding: Float[Tensor, "faces dimensions"]
    name: ClassVar[str] = "embedding_regression"

    def fit(
        self,
        evidence: Float[Tensor, "count dimensions"],
        person: Int64[Tensor, " count"],
        *,
        random: torch.Generator,
    ) -> Linking:
        """See `Linker`; `random` is not used."""
        people, place = candidates(evidence, person)
        scaled = _standardised(self.rows.flatten(1).float().cpu())
        mean = self.embedding.mean(0).cpu()
        ridge = RidgeCV(alphas=RIDGES * self.rows[0].numel() * len(self.rows))
        ridge.fit(scaled(self.rows).numpy(), (self.embedding.cpu() - mean).numpy())
        album = torch.zeros(len(people), len(mean)).index_add(0, place.cpu(), evidence.cpu())
        album = F.normalize(album / place.cpu().bincount()[:, None] - mean, dim=1)

        def scorer(rows: Tensor) -> Tensor:
            told = torch.from_numpy(ridge.predict(scaled(rows).numpy())).float()
            return F.normalize(told.view(len(rows), -1), dim=1) @ album.T

        return Linking(people, scorer)


def _standardised(known: Float[Tensor, "count size"]) -> Callable[[Tensor], Tensor]:
    """Rows `[count, ...]` as vectors in deviations of these around their mean; nan becomes 0."""
    mean = known.nanmean(0).nan_to_num(0.0)
    spread = (known - mean).square().nanmean(0).nan_to_num(0.0).sqrt()
    spread[spread <= 1e-6 * mean.abs()] = torch.inf  # a constant, but for rounding

    def scaled(rows: Tensor) -> Tensor:
        return ((rows.flatten(1).to(known) - mean) / spread).nan_to_num(0.0)

    return scaled
