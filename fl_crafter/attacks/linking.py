"""Linking: who is it? Scores for known people from features or labels, without any picture.

What a feature or its labels link to a person is another question than what can be seen in it
(`attacks.base.Attack`), with floors of its own. All of these are fitted on auxiliary data of the
candidates, which an attacker has who met them before.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from fl_crafter.attacks.queries import Release, features_of


@dataclass(frozen=True)
class Linking:
    """A fitted linker.

    Attributes:
        people: the candidates' numbers, rising; one column of the scores for each.
        scorer: evidence -> scores.
    """

    people: Int64[Tensor, " people"]
    scorer: Callable[[Tensor], Tensor]

    def score(self, evidence: Shaped[Tensor, "count ..."]) -> Float[Tensor, "count people"]:
        """How well each candidate fits each row; only the order within a row means something."""
        return self.scorer(evidence)


class Linker(ABC):
    """Learns from rows of people it knows to say of which of them other rows are.

    Attributes:
        name: what tables call it.
    """

    name: ClassVar[str]

    @abstractmethod
    def fit(
        self,
        evidence: Shaped[Tensor, "count ..."],
        person: Int64[Tensor, " count"],
        *,
        random: torch.Generator,
    ) -> Linking:
        """Learn who the candidates are.

        Args:
            evidence: one row for each auxiliary photograph; what it is, each linker says.
            person: who is on it.
            random: source of all randomness.

        Raises:
            ValueError: there are fewer than two people, or not one person for each row.
        """


def candidates(evidence: Tensor, person: Tensor) -> tuple[Tensor, Tensor]:
    """The people's numbers, rising, and each row's place among them.

    Raises:
        ValueError: there are fewer than two people, or not one person for each row.
    """
    if len(evidence) != len(person):
        raise ValueError(f"{len(evidence)} rows and {len(person)} people; name one for each row")
    people, place = person.unique(return_inverse=True)
    if len(people) < 2:
        raise ValueError(f"linking takes two people or more, not {len(people)}")
    return people, place


@dataclass(frozen=True)
class FeatureClassifier(Linker):
    """Logistic regression on features `[count, ...]`, clean or released.

    On the leading principal components, whitened: people differ in directions that vary little.

    Attributes:
        components: principal components kept, at most.
        weight_decay: of the regression.
        steps: of L-BFGS.
    """

    components: int = 256
    weight_decay: float = 1e-2
    steps: int = 50
    name: ClassVar[str] = "feature_classifier"

    def fit(
        self,
        evidence: Float[Tensor, "count ..."],
        person: Int64[Tensor, " count"],
        *,
        random: torch.Generator,
    ) -> Linking:
        """See `Linker`."""
        people, place = candidates(evidence, person)
        vector = evidence.flatten(1)
        mean = vector.mean(0)
        count = min(self.components, len(vector) - 1, vector.shape[1])
        basis = _principal(vector - mean, count, random)

        def reduce(rows: Tensor) -> Tensor:
            return (rows.flatten(1) - mean) @ basis

        reduced = reduce(evidence)
        weight = torch.zeros(count, len(people), dtype=reduced.dtype, device=reduced.device)
        bias = torch.zeros(len(people), dtype=reduced.dtype, device=reduced.device)
        free = [weight.requires_grad_(True), bias.requires_grad_(True)]
        solver = torch.optim.LBFGS(free, max_iter=self.steps, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            solver.zero_grad()
            value = F.cross_entropy(reduced @ weight + bias, place.to(reduced.device))
            value = value + 0.5 * self.weight_decay * weight.square().sum() / len(reduced)
            value.backward()
            return value

        solver.step(loss)  # type: ignore[arg-type]
        weight, bias = weight.detach(), bias.detach()
        return Linking(people, lambda rows: reduce(rows) @ weight + bias)


def _principal(centred: Tensor, count: int, random: torch.Generator) -> Tensor:
    """The leading principal axes, each divided by its deviation, `[size, count]`.

    By subspace iteration from a drawn start (Halko et al., 2011), which never forms the covariance.
    """
    start = torch.randn(centred.shape[1], count, generator=random).to(centred)
    axes = torch.linalg.qr(start).Q
    for _ in range(4):
        axes = torch.linalg.qr(centred.T @ (centred @ axes)).Q
    _, deviation, rotation = torch.linalg.svd(centred @ axes, full_matrices=False)
    deviation = deviation / len(centred) ** 0.5
    kept = deviation.clamp_min(1e-4 * deviation.max().clamp_min(1e-12))
    return axes @ rotation.T / kept


@dataclass(frozen=True)
class LabelClassifier(Linker):
    """Naive Bayes on the shared labels `[count, attributes]`: 0, 1, or nan where none was shared.

    The floor of all linking: a defence of features cannot go below it.

    Attributes:
        smoothing: imagined photographs of every person with the attributes of everybody.
    """

    smoothing: float = 2.0
    name: ClassVar[str] = "label_classifier"

    def fit(
        self,
        evidence: Float[Tensor, "count attributes"],
        person: Int64[Tensor, " count"],
        *,
        random: torch.Generator,
    ) -> Linking:
        """See `Linker`; `random` is not used."""
        people, place = candidates(evidence, person)
        known = (~evidence.isnan()).double()
        positive = evidence.nan_to_num(0.0).double()
        blank = torch.zeros(len(people), evidence.shape[1], dtype=torch.float64)
        seen, hits = blank.index_add(0, place, known), blank.index_add(0, place, positive)
        everybody = (positive.sum(0) + 1) / (known.sum(0) + 2)
        share = (hits + self.smoothing * everybody) / (seen + self.smoothing)
        yes, no = share.log(), (1 - share).log()

        def scorer(rows: Tensor) -> Tensor:
            given = (~rows.isnan()).double()
            ones = rows.nan_to_num(0.0).double()
            return (ones @ yes.T + (given - ones) @ no.T).float()

        return Linking(people, scorer)


@dataclass(frozen=True)
class GalleryMatching(Linker):
    """Matches features `[count, ...]` to those of photographs of each candidate, by cosine.

    The mean of the gallery is taken off first: all faces share most of it. The best photograph of
    a person counts.
    """

    name: ClassVar[str] = "gallery_matching"

    def fit(
        self,
        evidence: Float[Tensor, "count ..."],
        person: Int64[Tensor, " count"],
        *,
        random: torch.Generator,
    ) -> Linking:
        """See `Linker`; `random` is not used."""
        people, place = candidates(evidence, person)
        mean = evidence.flatten(1).mean(0)

        def direction(rows: Tensor) -> Tensor:
            return F.normalize(rows.flatten(1) - mean, dim=1)

        gallery = direction(evidence)
        return Linking(
            people, lambda rows: best_of_each(direction(rows) @ gallery.T, place, len(people))
        )


def best_of_each(
    score: Float[Tensor, "count photographs"], place: Int64[Tensor, " photographs"], people: int
) -> Float[Tensor, "count people"]:
    """Of each person's photographs, the best score."""
    best = score.new_full((len(score), people), -torch.inf)
    index = place.to(score.device).expand_as(score)
    return best.scatter_reduce(1, index, score, "amax")


@dataclass(frozen=True)
class CandidateCrafting(Linker):
    """Knows the defence: protects images `[count, 3, height, width]` of each candidate by it.

    Whose protected feature is nearest to the released one is named. It does not know the random
    draws of the victim's protection. It is fitted on images and scores features.

    Attributes:
        encoder: the victim's.
        release: the victim's defence, as a function of clean features.
        draws: how often each image is protected, with fresh randomness; the nearest counts.
    """

    encoder: nn.Module
    release: Release
    draws: int = 1
    name: ClassVar[str] = "candidate_crafting"

    def fit(
        self,
        evidence: Float[Tensor, "count 3 height width"],
        person: Int64[Tensor, " count"],
        *,
        random: torch.Generator,
    ) -> Linking:
        """See `Linker`; `random` is not used, the defence draws from its own source."""
        people, place = candidates(evidence, person)
        clean = features_of(self.encoder, evidence)
        released = torch.cat(
            [self.release(part).detach() for _ in range(self.draws) for part in clean.split(64)]
        ).flatten(1)

        def scorer(rows: Tensor) -> Tensor:
            nearness = -torch.cdist(rows.flatten(1), released)
            return best_of_each(nearness, place.repeat(self.draws), len(people))

        return Linking(people, scorer)
