"""Linking by linear models of rows whose numbers are brought to one scale."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from torch import Tensor

from fl_crafter.attacks.linking import Linker, Linking, candidates

RIDGES = np.logspace(-3, 3, 25)


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
        centre = _mean_of_each(table, place)
        within = table - centre[place.cpu()]
        # what never varied within the few photographs of a person may vary in the next one
        weight, bias = _gaussian(centre, within, self.least)
        return Linking(people, lambda rows: (scaled(rows) @ weight + bias).float())


@dataclass(frozen=True)
class EmbeddingRegression(Linker):
    """Tells what row a face would give from what a recogniser sees of it, and looks for it.

    It needs no photograph behind the defence, nor labels of the candidates: plain photographs of
    them, and rows of public faces. Fitted on the recogniser's embeddings `[count, dimensions]` of
    the photographs, it scores rows `[count, ...]` by their likelihood under each candidate: a
    Gaussian around what ridge regression, as strong as leaving out each public face in turn says,
    gives for the mean of the candidate's embeddings. Its one covariance is that of what was left
    out, shrunk as Ledoit and Wolf (2004) say. Of long rows it takes the principal components.

    Attributes:
        rows: of public faces, what it will be asked about; nan is unknown.
        embedding: of the same faces, by the same recogniser.
        components: of a row, at most.
        least: variance that is added, in units of the variance over everybody.
    """

    rows: Float[Tensor, "faces ..."]
    embedding: Float[Tensor, "faces dimensions"]
    components: int = 256
    least: float = 1e-3
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
        short = self._shortened()
        scaled = _standardised(short(self.rows))
        table, seen = scaled(short(self.rows)), self.embedding.double().cpu()
        mean = seen.mean(0)
        ridge = RidgeCV(alphas=RIDGES).fit((seen - mean).numpy(), table.numpy())
        left = table - torch.from_numpy(ridge.predict((seen - mean).numpy())).view_as(table)
        assert isinstance(ridge.alpha_, float)
        left /= 1 - _leverage(seen - mean, ridge.alpha_)[:, None]
        album = _mean_of_each(evidence.double().cpu(), place)
        centre = torch.from_numpy(ridge.predict((album - mean).numpy()))
        weight, bias = _gaussian(centre.view(len(people), -1), left, self.least)
        return Linking(people, lambda rows: (scaled(short(rows)) @ weight + bias).float())

    def _shortened(self) -> Callable[[Tensor], Tensor]:
        """Rows as vectors of at most so many numbers."""
        known = self.rows.flatten(1).double().cpu()
        if known.shape[1] <= self.components:
            return lambda rows: rows.flatten(1).double().cpu()
        scaled = _standardised(known)
        count = min(self.components, len(known) - 1)
        reduced = PCA(count, svd_solver="randomized", random_state=0).fit(scaled(known).numpy())
        return lambda rows: torch.from_numpy(reduced.transform(scaled(rows).numpy()))


def _mean_of_each(
    table: Float[Tensor, "count size"], place: Int64[Tensor, " count"]
) -> Float[Tensor, "people size"]:
    """The mean of each person's rows; `place` is the person's, of whom none is without a row."""
    place = place.cpu()
    count = place.bincount()
    total = torch.zeros(len(count), table.shape[1], dtype=table.dtype)
    return total.index_add(0, place, table) / count[:, None]


def _leverage(table: Float[Tensor, "count size"], penalty: float) -> Float[Tensor, " count"]:
    """How much each row of a centred table weighs in its own ridge regression; below 1."""
    gram = table.T @ table
    gram.diagonal().add_(penalty)
    own = (table * torch.linalg.solve(gram, table.T).T).sum(1)
    return (own + 1 / len(table)).clamp(max=0.99)


def _gaussian(
    centre: Float[Tensor, "people size"], left: Float[Tensor, "count size"], least: float
) -> tuple[Float[Tensor, "size people"], Float[Tensor, " people"]]:
    """Weight and bias of the likelihood of rows around each centre, but for what all share.

    Args:
        centre: of each person.
        left: of rows, their distances from their own centres.
        least: see `DiscriminantAnalysis`.
    """
    deviation = (left.square().mean(0) + least).sqrt()
    shrunk, _ = ledoit_wolf((left / deviation).numpy(), assume_centered=True)
    covariance = torch.from_numpy(shrunk) * deviation[:, None] * deviation
    covariance.diagonal().add_(least)
    weight = torch.linalg.solve(covariance, centre.T)
    return weight, -0.5 * (centre.T * weight).sum(0)


def _standardised(known: Float[Tensor, "count size"]) -> Callable[[Tensor], Tensor]:
    """Rows `[count, ...]` as vectors in deviations of these around their mean; nan becomes 0."""
    mean = known.nanmean(0).nan_to_num(0.0)
    spread = (known - mean).square().nanmean(0).nan_to_num(0.0).sqrt()
    spread[spread <= 1e-6 * mean.abs()] = torch.inf  # a constant, but for rounding

    def scaled(rows: Tensor) -> Tensor:
        return ((rows.flatten(1).to(known) - mean) / spread).nan_to_num(0.0)

    return scaled
