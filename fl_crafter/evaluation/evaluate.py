"""Join what the eavesdropper made to the private truth, and measure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from fl_crafter.errors import InputError
from fl_crafter.evaluation.bootstrap import Interval, Resampling, mean_interval
from fl_crafter.evaluation.evaluator import Evaluator
from fl_crafter.evaluation.ledger import Ledger, Predictions
from fl_crafter.evaluation.metrics import (
    Utility,
    named,
    ranks,
    ranks_of,
    similarity_to_others,
    structural_similarity,
    utility_over_people,
)
from fl_crafter.evaluation.record import WORST_CASE, Crafting, DefenceRecord, Identification
from fl_crafter.evaluation.truth import PrivateTruth, identification
from fl_crafter.transcript import Purpose, Transcript


@dataclass(frozen=True)
class AttackJudgement:
    """What the evaluator says about the reconstructions of one attack.

    Attributes:
        image: the reconstructions of the judged test photographs, `[count, 3, size, size]`.
        rank: each person's rank for each reconstruction, the better of two alignments.
        score: cosine with each person of the gallery, the larger of two alignments.
        similarity: to every raw test photograph, the larger of two alignments.
    """

    image: Float[Tensor, "count 3 size size"]
    rank: Int64[Tensor, "count people"]
    score: Float[Tensor, "count people"]
    similarity: Float[Tensor, "count tests"]


@dataclass(frozen=True)
class Evaluation:
    """One defence judged.

    Attributes:
        record: its figures, for the summary.
        place: which test photograph of the truth each judged row shows, rising.
        attacks: by attack, the judgement in the order of `place`.
        column: the true person's place in the gallery.
    """

    record: DefenceRecord
    place: Int64[Tensor, " count"]
    attacks: Mapping[str, AttackJudgement]
    column: Int64[Tensor, " count"]

    def named(self, attack: str) -> Bool[Tensor, " count"]:
        """Whether the evaluator names the true person, for each judged row."""
        return named(self.attacks[attack].rank, self.column, within=1)


def evaluate_run(
    transcript: Transcript,
    reconstruction: Mapping[str, Float[Tensor, "count 3 size size"]],
    *,
    truth: PrivateTruth,
    ledger: Ledger,
    predictions: Predictions,
    evaluator: Evaluator,
    epsilon_pii: Float[Tensor, " count"] | None = None,
    crafting: Crafting | None = None,
    how: Resampling | None = None,
) -> Evaluation:
    """Judge one defence by what the attacks made of its transcript.

    Only the rows that were sent for evaluation are judged: test photographs, which trained nothing.

    Args:
        transcript: the rows that were attacked.
        reconstruction: by attack, one image in [0, 1] for each row of the transcript.
        truth: of the dataset that the run was made on.
        ledger: which photograph each row shows.
        predictions: of the cloud model for the evaluation features.
        evaluator: the judge, the one that prepared the truth.
        epsilon_pii: each row's estimate; not measured here.
        crafting: what the clients reported.
        how: how intervals are made.

    Raises:
        InputError: transcript, ledger, predictions and truth are not of the same run.
        ValueError: a reconstruction is missing, not finite, out of range or of another size.
    """
    how, crafting = how or Resampling(), crafting or Crafting()
    row, place = judged_rows(transcript, truth=truth, ledger=ledger)
    attacks: dict[str, AttackJudgement] = {}
    for name, image in reconstruction.items():
        _check_images(name, image, count=len(transcript), size=truth.faces.image.shape[-1])
        attacks[name] = judge_attack(image[row], place, truth=truth, evaluator=evaluator)
    column = truth.gallery.column(truth.identity[place])
    served, interval = _utility(predictions, truth=truth, ledger=ledger, how=how)
    similarity, floor, ssim = _similarities(attacks, place, truth=truth)
    record = DefenceRecord(
        utility_auc=served.mean,
        utility_interval=interval,
        attribute_auc=served.auc,
        skipped_attributes=served.skipped,
        identification=_identification(attacks, column, truth.identity[place], how=how),
        feature_similarity=similarity,
        feature_similarity_floor=floor,
        ssim=ssim,
        **_epsilon_pii(epsilon_pii, row, truth.identity[place], how=how),
        crafting=crafting,
        photographs=len(place),
        unreliable=tuple(_doubts(place, truth=truth, crafting=crafting)),
    )
    return Evaluation(record, place, attacks, column)


def judged_rows(
    transcript: Transcript, *, truth: PrivateTruth, ledger: Ledger
) -> tuple[Int64[Tensor, " count"], Int64[Tensor, " count"]]:
    """The rows that are judged, and which test photograph each shows, in the photographs' order.

    Raises:
        InputError: no row was sent for evaluation, or a row does not fit the ledger or the truth.
    """
    row = (transcript.purpose == int(Purpose.EVALUATION)).nonzero().flatten()
    if not len(row):
        raise InputError("the transcript holds no evaluation row; attack those of a whole run.")
    sent = transcript.select(row)
    position = ledger.locate(
        client=sent.client, round=sent.round, purpose=sent.purpose, row=sent.row
    )
    place, order = truth.place(position).sort(stable=True)
    return row[order], place


def judge_attack(
    image: Float[Tensor, "count 3 size size"],
    place: Int64[Tensor, " count"],
    *,
    truth: PrivateTruth,
    evaluator: Evaluator,
) -> AttackJudgement:
    """Look at each reconstruction twice, and let the look that tells more count.

    Once where the face is in the raw photograph, which needs no face to be found in the
    reconstruction, and once where a face is found in the reconstruction itself, which may have
    moved. A person's rank is the better of the two, so a reconstruction identifies if either look
    names its person. That favours the attacker; the chance level is that of the same rule.

    Args:
        image: reconstructions in [0, 1].
        place: which test photograph of the truth each claims to show.
        truth: of the dataset.
        evaluator: the judge.
    """
    looks = _looks(image, truth.landmarks[place], evaluator)
    return AttackJudgement(
        image=image,
        rank=torch.stack([ranks(look, truth.gallery) for look in looks]).amin(0),
        score=_cosine_of_the_better(looks, truth.gallery.embedding),
        similarity=_cosine_of_the_better(looks, truth.embedding),
    )


def judge_together(
    image: Float[Tensor, "uploads count 3 size size"],
    landmarks: Float[Tensor, "uploads count points 2"],
    *,
    truth: PrivateTruth,
    evaluator: Evaluator,
) -> AttackJudgement:
    """Recognise people by several reconstructions each, of uploads known to belong together.

    Everybody's cosine with a row is that of `judge_attack`, averaged over the uploads: what is
    wrong with single reconstructions averages out, and who is shown does not.

    Args:
        image: reconstructions in [0, 1]; the first are of the truth's test photographs.
        landmarks: where the faces are in the raw photographs, as the judge finds them.
        truth: of the dataset.
        evaluator: the judge.
    """
    looks = _looks(image.flatten(0, 1), landmarks.flatten(0, 1), evaluator)
    score, similarity = (
        _cosine_of_the_better(looks, known).unflatten(0, image.shape[:2]).mean(0)
        for known in (truth.gallery.embedding, truth.embedding)
    )
    return AttackJudgement(image[0], ranks_of(score), score, similarity)


def judge_all_pictures(judged: Mapping[str, AttackJudgement]) -> AttackJudgement:
    """One guess from the pictures of all attacks, which err in different ways.

    Everybody's cosine with a row is the mean over the attacks, after what each attack gives that
    person over all rows is taken off: some people resemble everybody, and what all pictures of an
    attack share tells nobody from another. The picture is the mean one.

    Args:
        judged: by attack, all of the same photographs, two or more.
    """
    every = list(judged.values())
    score = torch.stack([own.score - own.score.mean(0) for own in every]).mean(0)
    return AttackJudgement(
        image=torch.stack([own.image for own in every]).mean(0),
        rank=ranks_of(score),
        score=score,
        similarity=torch.stack([own.similarity for own in every]).mean(0),
    )


def _looks(image: Tensor, expected: Tensor, evaluator: Evaluator) -> list[Tensor]:
    """Embeddings, where the faces should be and, if that is elsewhere, where they are found."""
    found = evaluator.landmarks(image)
    found = torch.where(found.isnan(), expected, found)
    places = (expected,) if _same_places(expected, found) else (expected, found)
    return [evaluator.embed(image, landmarks=landmarks) for landmarks in places]


def _cosine_of_the_better(looks: list[Tensor], known: Tensor) -> Tensor:
    return torch.stack([look @ known.T for look in looks]).amax(0)


def _same_places(one: Tensor, other: Tensor) -> bool:
    """Whether landmarks are equal, nan and all: then a second look would see nothing new."""
    return torch.equal(one.nan_to_num(-1.0), other.nan_to_num(-1.0))


def _check_images(attack: str, image: Tensor, *, count: int, size: int) -> None:
    if tuple(image.shape) != (count, 3, size, size):
        raise ValueError(
            f"{attack} made images {tuple(image.shape)} of {count} rows; it must make "
            f"[{count}, 3, {size}, {size}]"
        )
    low, high = (float(bound) for bound in image.aminmax())
    if not (low >= 0 and high <= 1):  # also true of nan
        raise ValueError(f"images of {attack} lie in [{low}, {high}]; they must lie in [0, 1]")


def _identification(
    attacks: Mapping[str, AttackJudgement], column: Tensor, identity: Tensor, *, how: Resampling
) -> dict[str, Identification]:
    rank = {name: attack.rank for name, attack in attacks.items()}
    rank[WORST_CASE] = torch.stack(list(rank.values())).amin(0)
    return {name: identification(own, column, identity, how=how) for name, own in rank.items()}


def _epsilon_pii(
    each: Tensor | None, row: Tensor, identity: Tensor, *, how: Resampling
) -> dict[str, Any]:
    if each is None:
        return {}
    interval = mean_interval(each[row], identity, how=how)
    return {"epsilon_pii": float(each[row].mean()), "epsilon_pii_interval": interval}


def _similarities(
    attacks: Mapping[str, AttackJudgement], place: Tensor, *, truth: PrivateTruth
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """By attack: feature similarity, its floor, and structural similarity."""
    raw, identity = truth.faces.image[truth.test[place]], truth.identity[place]
    similarity, floor, ssim = {}, {}, {}
    for name, attack in attacks.items():
        similarity[name] = float(attack.similarity.gather(1, place[:, None]).mean())
        floor[name] = similarity_to_others(attack.similarity, identity, truth.identity)
        ssim[name] = float(structural_similarity(raw, attack.image).mean())
    return similarity, floor, ssim


def _utility(
    predictions: Predictions, *, truth: PrivateTruth, ledger: Ledger, how: Resampling
) -> tuple[Utility, Interval]:
    """The utility by attribute, and its mean's interval."""
    position = predictions.locate(ledger)
    identity = truth.identity[truth.place(position)]
    labels, score = truth.faces.attributes[position], predictions.score
    names = truth.faces.attribute_names
    if score.shape[1] != len(names):
        raise InputError(
            f"the predictions are of {score.shape[1]} attributes but {truth.faces.name} has "
            f"{len(names)}; evaluate with the data of the run."
        )
    return utility_over_people(score, labels, names=names, identity=identity, how=how)


def _doubts(place: Tensor, *, truth: PrivateTruth, crafting: Crafting) -> list[str]:
    """Why the figures of this defence may mislead."""
    doubts = []
    missing = len(truth.test) - len(place.unique())
    if missing:
        doubts.append(f"{missing} of {len(truth.test)} test photographs never arrived.")
    bad = {status: count for status, count in crafting.status.items() if status != "ok"}
    doubts.extend(
        f"{count} of {crafting.uploads} uploads ended as {status.replace('_', ' ')}."
        for status, count in bad.items()
    )
    return doubts


def read_crafting(folder: Path) -> Crafting:
    """What the clients' defence reported: counts of statuses, and means over the photographs.

    Args:
        folder: a run's `crafting` folder; without notes the result is empty.

    Raises:
        InputError: a note is broken.
    """
    status: dict[str, int] = {}
    total: dict[str, float] = {}
    weight: dict[str, int] = {}
    notes = sorted(folder.glob("*.json"))
    for path in notes:
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            ended, rows, figures = str(note["status"]), int(note["rows"]), dict(note["figures"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is no note of a defence; run the simulation again."
            ) from error
        status[ended] = status.get(ended, 0) + 1
        for name, value in figures.items():
            if value is not None:
                total[name] = total.get(name, 0.0) + rows * value
                weight[name] = weight.get(name, 0) + rows
    means = {name: total[name] / weight[name] for name in total if weight[name]}
    return Crafting(uploads=len(notes), status=status, figures=means)
