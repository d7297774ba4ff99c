"""What is measured: identification, feature similarity, structural similarity, utility."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from fl_crafter.errors import InputError
from fl_crafter.evaluation.bootstrap import Interval, Resampling, interval_over_people


@dataclass(frozen=True)
class Gallery:
    """What the evaluator knows of each person.

    Attributes:
        embedding: one unit vector per person, `[people, dimensions]`.
        identity: the people's numbers, in rising order.
    """

    embedding: Float[Tensor, "people dimensions"]
    identity: Int64[Tensor, " people"]

    def column(self, identity: Int64[Tensor, " count"]) -> Int64[Tensor, " count"]:
        """The gallery's place of each person.

        Raises:
            ValueError: somebody is not in the gallery.
        """
        place = torch.searchsorted(self.identity, identity).clamp(max=len(self.identity) - 1)
        if not torch.equal(self.identity[place], identity):
            raise ValueError("a person of the test photographs is not in the gallery")
        return place


def build_gallery(
    embedding: Float[Tensor, "count dimensions"], identity: Int64[Tensor, " count"]
) -> Gallery:
    """The mean direction of each person's raw photographs.

    Args:
        embedding: unit vectors of raw photographs.
        identity: who is on each.
    """
    people, person = identity.unique(return_inverse=True)
    total = torch.zeros(len(people), embedding.shape[1]).index_add(0, person, embedding)
    return Gallery(functional.normalize(total, dim=1), people)


def ranks(
    embedding: Float[Tensor, "count dimensions"], gallery: Gallery
) -> Int64[Tensor, "count people"]:
    """Each person's rank for each image, by cosine: 0 is the person that the evaluator names."""
    return ranks_of(embedding @ gallery.embedding.T)


def ranks_of(score: Float[Tensor, "count people"]) -> Int64[Tensor, "count people"]:
    """Each person's rank by a score: 0 is the person who scores highest on the row.

    Raises:
        ValueError: a score is not finite.
    """
    if not bool(score.isfinite().all()):
        raise ValueError("people are ranked by scores that are not finite")
    order = score.argsort(dim=1, descending=True, stable=True)
    place = torch.arange(order.shape[1]).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, place)


def named(
    rank: Int64[Tensor, "count people"], column: Int64[Tensor, " count"], *, within: int
) -> Bool[Tensor, " count"]:
    """Whether the true person, the `column` of each image, is among the first `within`."""
    return rank.gather(1, column[:, None])[:, 0] < within


def chance(
    rank: Int64[Tensor, "count people"], column: Int64[Tensor, " count"], *, within: int
) -> float:
    """Expected share of hits if the truth is permuted among the images, exactly.

    With one ranking per image this is `within` / people. With the best of several rankings, which
    is how attacks and alignments are combined, it is higher.
    """
    return chance_of(rank < within, column)


def chance_of(hit: Bool[Tensor, "count people"], column: Int64[Tensor, " count"]) -> float:
    """The same where `hit` says of each image and person whether it would count."""
    frequency = torch.bincount(column, minlength=hit.shape[1]).double() / len(column)
    return float((hit.double() @ frequency).mean())


def similarity_to_others(
    similarity: Float[Tensor, "count others"],
    identity: Int64[Tensor, " count"],
    other_identity: Int64[Tensor, " others"],
) -> float:
    """Mean similarity to photographs of other people: what feature similarity is worth nothing.

    Raises:
        ValueError: there is only one person.
    """
    stranger = identity[:, None] != other_identity[None]
    if not stranger.any():
        raise ValueError("similarity to others needs at least two people")
    return float(similarity[stranger].mean())


def structural_similarity(
    one: Float[Tensor, "count channels height width"],
    other: Float[Tensor, "count channels height width"],
) -> Float[Tensor, " count"]:
    """SSIM of each pair of images in [0, 1] (Wang et al., 2004).

    An 11 x 11 Gaussian window with sigma 1.5, only where it lies wholly inside the image; the mean
    over positions and channels.
    """
    channels = one.shape[1]
    offset = torch.arange(11, dtype=one.dtype, device=one.device) - 5
    bell = torch.exp(-(offset**2) / (2 * 1.5**2))
    window = torch.outer(bell, bell) / bell.sum() ** 2

    def local_mean(value: Tensor) -> Tensor:
        return functional.conv2d(value, window.expand(channels, 1, 11, 11), groups=channels)

    mean, other_mean = local_mean(one), local_mean(other)
    variance = local_mean(one**2) - mean**2
    other_variance = local_mean(other**2) - other_mean**2
    covariance = local_mean(one * other) - mean * other_mean
    first, second = 0.01**2, 0.03**2
    similarity = (2 * mean * other_mean + first) * (2 * covariance + second)
    similarity = similarity / (
        (mean**2 + other_mean**2 + first) * (variance + other_variance + second)
    )
    return similarity.mean((1, 2, 3))


def peak_signal_to_noise(
    one: Float[Tensor, "count channels height width"],
    other: Float[Tensor, "count channels height width"],
) -> Float[Tensor, " count"]:
    """PSNR of each pair of images in [0, 1], in decibels; equal images get 100."""
    error = (one - other).flatten(1).square().mean(1)
    return -10 * error.clamp_min(1e-10).log10()


def weighted_auc(
    score: Float[Tensor, " count"],
    positive: Bool[Tensor, " count"],
    weight: Float[Tensor, "resamples count"],
) -> Float[Tensor, " resamples"]:
    """Area under the ROC curve for each row of weights; nan where a class has no weight.

    The probability that a positive scores higher than a negative, ties counting half.

    Raises:
        ValueError: a score is not finite.
    """
    if not bool(score.isfinite().all()):
        raise ValueError("an area under the curve is asked of scores that are not finite")
    distinct, group = score.unique(return_inverse=True)
    empty = torch.zeros(len(weight), len(distinct), dtype=weight.dtype)
    hits = empty.index_add(1, group, weight * positive)
    misses = empty.index_add(1, group, weight * ~positive)
    below = misses.cumsum(1) - misses
    pairs = (hits * (below + misses / 2)).sum(1)
    return pairs / (hits.sum(1) * misses.sum(1))


@dataclass(frozen=True)
class Utility:
    """How well the cloud model serves its task.

    Attributes:
        auc: by attribute, area under the ROC curve in [0, 1]; .5 is chance.
        skipped: attributes of which only one class, or no label, was at hand.
    """

    auc: dict[str, float]
    skipped: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Mean over the attributes that could be judged; nan if there is none."""
        return sum(self.auc.values()) / len(self.auc) if self.auc else float("nan")


def utility(
    score: Float[Tensor, "count attributes"],
    labels: Float[Tensor, "count attributes"],
    *,
    names: tuple[str, ...],
) -> Utility:
    """The area under the ROC curve of each attribute that can be judged.

    Args:
        score: higher where the attribute is more likely.
        labels: 0, 1 or, where unknown, nan.
        names: of the attributes.
    """
    everything = torch.ones(1, len(score), dtype=torch.float64)
    value = dict(zip(names, _attribute_auc(score, labels, everything)[0].tolist(), strict=True))
    judged = {name: auc for name, auc in value.items() if auc == auc}
    return Utility(judged, tuple(name for name in names if name not in judged))


def utility_over_people(
    score: Float[Tensor, "count attributes"],
    labels: Float[Tensor, "count attributes"],
    *,
    names: tuple[str, ...],
    identity: Int64[Tensor, " count"],
    how: Resampling,
) -> tuple[Utility, Interval]:
    """The utility, and the 95% interval of its mean over people.

    Args:
        score: see `utility`.
        labels: see `utility`.
        names: of the attributes.
        identity: who is on each photograph.
        how: intervals are made.

    Raises:
        InputError: no attribute has both classes.
    """
    check_classes(labels)
    interval = interval_over_people(
        lambda weight: mean_auc(score, labels, weight), identity, how=how
    )
    return utility(score, labels, names=names), interval


def check_classes(labels: Float[Tensor, "count attributes"]) -> None:
    """Make sure that there is something to tell apart.

    Raises:
        InputError: no attribute has both classes.
    """
    if not any({0.0, 1.0} <= set(column.tolist()) for column in labels.T):
        raise InputError(
            "No attribute has both classes among the test photographs; take more people, or more "
            "photographs."
        )


def mean_auc(
    score: Float[Tensor, "count attributes"],
    labels: Float[Tensor, "count attributes"],
    weight: Float[Tensor, "resamples count"],
) -> Float[Tensor, " resamples"]:
    """Mean over the attributes of which a resample has both classes; nan where there is none."""
    return _attribute_auc(score, labels, weight).nanmean(1)


def _attribute_auc(score: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    if score.shape != labels.shape:
        raise ValueError(
            f"scores {tuple(score.shape)} and labels {tuple(labels.shape)} are not of the same "
            "photographs and attributes"
        )
    columns = []
    for column in range(labels.shape[1]):
        known = ~labels[:, column].isnan()
        positive = labels[known, column] == 1
        columns.append(weighted_auc(score[known, column], positive, weight[:, known]))
    return torch.stack(columns, 1)
