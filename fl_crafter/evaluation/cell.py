"""What is measured of one release: one defence, at one setting, with one seed, under every attack.

A cell holds what a photograph's row became, in the photographs' order, but neither photographs nor
who is on them; people join again when cells become results.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from fl_crafter.evaluation.metrics import chance, chance_of
from fl_crafter.evaluation.record import ChanceOfRates, Cosine, Finite, Record, Seconds, Share
from fl_crafter.evaluation.verification import FALSE_ACCEPTANCE_RATES, acceptances

ALL_PICTURES = "all_pictures"
"""Stands among the attacks for one guess from the pictures of all of them."""


class Guess(Record):
    """How well something orders the people for each photograph.

    Attributes:
        rank: of the true person, 0 for the first, by photograph.
        accepted: by photograph, whether it is accepted as its own person at the false acceptance
            rate that names the entry.
        chance: what the same rule gets when the truth is permuted among the photographs.
        roc: true acceptance rate by false acceptance rate.
    """

    rank: tuple[int, ...]
    accepted: dict[str, tuple[bool, ...]]
    chance: ChanceOfRates
    roc: dict[str, Share]

    def within(self, count: int) -> Bool[Tensor, " photographs"]:
        """Whether the true person is among the first so many."""
        return torch.tensor(self.rank) < count


def guess(
    rank: Int64[Tensor, "count people"],
    score: Float[Tensor, "count people"],
    column: Int64[Tensor, " count"],
) -> Guess:
    """A `Guess` from everybody's ranks and scores.

    Args:
        rank: each person's rank for each photograph.
        score: higher for a person who is more likely.
        column: the true person's place.
    """
    return _guess(rank, _claims(score, column), column)


Claims = dict[str, Bool[Tensor, "count people"]]
"""By false acceptance rate, whether each photograph is accepted as each person."""


def _claims(score: Tensor, column: Tensor) -> Claims:
    return {f"{far:g}": acceptances(score, column, far=far) for far in FALSE_ACCEPTANCE_RATES}


def _guess(rank: Tensor, claims: Claims, column: Tensor) -> Guess:
    def own(table: Tensor) -> list[Any]:
        return table.gather(1, column[:, None])[:, 0].tolist()

    accepted = {far: tuple(own(claim)) for far, claim in claims.items()}
    return Guess(
        rank=tuple(own(rank)),
        accepted=accepted,
        chance=ChanceOfRates(
            top1=chance(rank, column, within=1),
            top5=chance(rank, column, within=5),
            tar_far_1e2=chance_of(claims["0.01"], column),
            tar_far_1e3=chance_of(claims["0.001"], column),
        ),
        roc={far: sum(each) / len(each) for far, each in accepted.items()},
    )


class Likeness(Record):
    """How alike photographs and an attack's reconstructions are; means over the photographs.

    Attributes:
        ssim: structural similarity.
        psnr: peak signal to noise ratio in decibels.
        perceptual_distance: see `PerceptualDistance`.
        loss_curve: the attack's own loss as it ran.
        zero_gradients: share of rows whose first gradient was zero or not finite.
        seconds: that the attack took.
    """

    ssim: Cosine
    psnr: Finite
    perceptual_distance: Finite
    loss_curve: tuple[Finite, ...]
    zero_gradients: Share
    seconds: Seconds


class Judged(Record):
    """What one evaluator says of one attack.

    Attributes:
        guess: among the people of the gallery.
        feature_similarity: mean cosine of the embeddings of photograph and reconstruction.
        feature_similarity_floor: the same with photographs of other people.
    """

    guess: Guess
    feature_similarity: Cosine
    feature_similarity_floor: Cosine


class Release(Record):
    """What a defence did to the features, before any attack.

    Attributes:
        change: root mean square of the change, in units of the spread of clean features.
        spread: variance of the released features over the photographs, over that of the clean.
        gradient: share of rows through which a gradient of the release with respect to the clean
            feature reaches back.
        status: how the defence ended, by number of batches.
        figures: what it measured of itself.
        seconds: that it took.
    """

    change: Finite
    spread: Finite
    gradient: Share
    status: dict[str, int]
    figures: dict[str, Finite]
    seconds: Seconds


class Cell(Record):
    """Everything that was measured of one release.

    Attributes:
        defence: its name.
        parameter: the setting that trades privacy for utility; empty where there is none.
        value: of that setting.
        seed: of the defence's and the attacks' randomness.
        release: see `Release`.
        utility_auc: mean area under the ROC curve of the attributes, on released features.
        utility_interval: of `utility_auc`, 95%, over people.
        development_auc: the same after the cloud model went on learning from released features of
            other photographs of the people; `utility_auc` is without that, as in deployment. None
            where other photographs were left out.
        development_interval: of `development_auc`.
        likeness: by attack; of `ALL_PICTURES`, of the mean picture.
        judged: by evaluator and attack, `ALL_PICTURES` among them.
        worst_case: by evaluator; see `worst_guess`.
        linked: by evidence, such as `released features`: see `linkability`; empty where other
            photographs were left out.
    """

    defence: str
    parameter: str
    value: float
    seed: int
    release: Release
    utility_auc: Share
    utility_interval: tuple[Share, Share]
    development_auc: Share | None
    development_interval: tuple[Share, Share] | None
    likeness: dict[str, Likeness]
    judged: dict[str, dict[str, Judged]]
    worst_case: dict[str, Guess]
    linked: dict[str, Guess]

    @property
    def point(self) -> str:
        """Defence and setting, as tables and files name them."""
        return point_name(self.defence, self.parameter, self.value)


def point_name(defence: str, parameter: str, value: float) -> str:
    """`projection-64`, or `none` where there is nothing to set."""
    return f"{defence}-{value:g}" if parameter else defence


def worst_guess(
    rank: Mapping[str, Int64[Tensor, "count people"]],
    score: Mapping[str, Float[Tensor, "count people"]],
    column: Int64[Tensor, " count"],
) -> Guess:
    """The per-sample worst case: what any of the attacks names, or has accepted.

    Each attack has a threshold of its own. With one for all, an attack that gives everybody high
    scores, such as an average face, would hide what another one sees.
    """
    best_rank = torch.stack(list(rank.values())).amin(0)
    claims = [_claims(own, column) for own in score.values()]
    anyone = {far: torch.stack([own[far] for own in claims]).any(0) for far in claims[0]}
    return _guess(best_rank, anyone, column)
