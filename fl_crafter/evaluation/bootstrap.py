"""Intervals over people: two photographs of one person are not two independent trials."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

Interval = tuple[float, float]
Statistic = Callable[[Tensor], Tensor]
NORMAL_QUANTILE = 1.959964  # of 97.5%


@dataclass(frozen=True)
class Resampling:
    """How intervals are made.

    Attributes:
        resamples: number of times that people are drawn anew.
        seed: of the drawing; the same seed draws the same people for every figure of a run.
    """

    resamples: int = 2000
    seed: int = 0


def interval_over_people(
    statistic: Statistic, identity: Int64[Tensor, " count"], *, how: Resampling
) -> Interval:
    """95% percentile interval of a statistic when people, not photographs, are drawn anew.

    Each resample draws as many people as there are, with replacement; a photograph weighs as often
    as its person was drawn (Efron and Tibshirani, 1993; the cluster bootstrap).

    Args:
        statistic: weights `[resamples, count]` -> the statistic of each resample; nan where a
            resample leaves it undefined, which is then left out.
        identity: who is on each photograph.
        how: number of resamples and seed.

    Raises:
        ValueError: there is no photograph, or the statistic is undefined in all resamples.
    """
    if not len(identity):
        raise ValueError("an interval needs at least one photograph")
    people, person = identity.unique(return_inverse=True)
    random = torch.Generator().manual_seed(how.seed)
    drawn = torch.randint(len(people), (how.resamples, len(people)), generator=random)
    times = torch.zeros(how.resamples, len(people), dtype=torch.float64)
    times.scatter_add_(1, drawn, torch.ones_like(times))
    values = statistic(times[:, person])
    values = values[~values.isnan()]
    if not len(values):
        raise ValueError("the statistic is undefined in every resample")
    low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=values.dtype)).tolist()
    return low, high


def mean_interval(
    value: Float[Tensor, " count"], identity: Int64[Tensor, " count"], *, how: Resampling
) -> Interval:
    """95% interval over people of a mean over photographs."""

    def mean(weight: Tensor) -> Tensor:
        return weight @ value.double() / weight.sum(1)

    return interval_over_people(mean, identity, how=how)


def rate_interval(
    hit: Shaped[Tensor, " count"], identity: Int64[Tensor, " count"], *, how: Resampling
) -> Interval:
    """95% interval of the share of photographs with a hit, never narrower than Wilson's.

    Where no photograph, or every one, is a hit, all resamples agree and the bootstrap alone would
    claim certainty. So the interval also spans Wilson's for as many trials as there are people:
    how alike the photographs of one are, such a share does not tell.

    Args:
        hit: true or false for each photograph, or the share of seeds with a hit.
        identity: who is on each photograph.
        how: number of resamples and seed.
    """
    low, high = mean_interval(hit.double(), identity, how=how)
    people = len(identity.unique())
    wilson_low, wilson_high = wilson_interval(float(hit.double().mean()) * people, people)
    return min(low, wilson_low), max(high, wilson_high)


def wilson_interval(hits: float | int, count: int) -> Interval:
    """Wilson's 95% score interval of a share (1927)."""
    share, square = hits / count, NORMAL_QUANTILE**2
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = (
        NORMAL_QUANTILE
        / (1 + square / count)
        * sqrt(share * (1 - share) / count + square / (4 * count**2))
    )
    return max(0.0, centre - half), min(1.0, centre + half)
