"""Score the raters: macro-F1, recall and precision of each person, beside chance."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from fl_crafter.errors import InputError
from fl_crafter.files import write_text

NONE = -1
"""The answer, and the truth, "none of them"."""

_RESAMPLES = 2000


@dataclass(frozen=True)
class Key:
    """The truth of a study.

    Attributes:
        study: its random name, which answers carry too.
        people: how many are shown.
        truth: person of each question, by its name; `NONE` for somebody else.
        condition: of each question.
    """

    study: str
    people: int
    truth: Mapping[str, int]
    condition: Mapping[str, str]

    def write(self, path: Path) -> None:
        """Write as JSON."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def read(path: Path) -> "Key":
        """Read what `write` wrote.

        Raises:
            InputError: it is no such file.
        """
        try:
            return Key(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{path} is no key of a human study; give the key.json of the page."
            ) from error


@dataclass(frozen=True)
class Answers:
    """What one rater said.

    Attributes:
        rater: a random name.
        choice: person chosen, by the question's name; `NONE` for none of them.
        seconds: that each answer took.
    """

    rater: str
    choice: Mapping[str, int]
    seconds: Mapping[str, float]


def read_answers(path: Path, key: Key) -> Answers:
    """Read the file that a rater's page gave.

    Raises:
        InputError: it is no such file, is of another study, or leaves the questions or the choices.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        study, rater = str(content["study"]), str(content["rater"])
        choice = {str(row["question"]): row["choice"] for row in content["answers"]}
        seconds = {str(row["question"]): float(row["seconds"]) for row in content["answers"]}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} holds no answers of a human study; give the file that the page saved."
        ) from error
    if study != key.study:
        raise InputError(f"{path} is of another study than the key; give the key of that page.")
    for name, person in choice.items():
        if name not in key.truth or type(person) is not int or not NONE <= person < key.people:
            raise InputError(f"{path} answers {name!r} with {person!r}; leave the file as saved.")
    return Answers(rater, choice, seconds)


@dataclass(frozen=True)
class Score:
    """How well raters did under one condition.

    Attributes:
        condition: of the questions.
        raters: how many answered.
        answers: how many there are.
        macro_f1: mean F1 over the people and "none of them".
        interval: 95%, raters and questions resampled.
        chance: the expected macro-F1 of guessing, every choice equally likely.
        chance_interval: where 95% of such guessers would be, with as many answers.
        recall: of each person, "none of them" last: shares of the questions that show the person.
        precision: the same, as shares of the answers that name the person; nan where none does.
        recall_interval: 95% for each.
        precision_interval: 95% for each.
        seconds: median of an answer.
    """

    condition: str
    raters: int
    answers: int
    macro_f1: float
    interval: tuple[float, float]
    chance: float
    chance_interval: tuple[float, float]
    recall: list[float] = field(default_factory=list)
    precision: list[float] = field(default_factory=list)
    recall_interval: list[tuple[float, float]] = field(default_factory=list)
    precision_interval: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = float("nan")


def confusion(
    truth: np.ndarray, choice: np.ndarray, weight: np.ndarray, classes: int
) -> np.ndarray:
    """Weighted counts, `[classes, classes]`: truth in rows, choice in columns."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (truth, choice), weight)
    return counts


def rates(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recall, precision and F1 of each class; nan where there is nothing to take a share of.

    F1 is 0, not nan, where a class is shown but never chosen: that is a failure to find it.
    """
    right, shown, named = np.diag(counts), counts.sum(1), counts.sum(0)
    with np.errstate(invalid="ignore"):
        return right / shown, right / named, 2 * right / (shown + named)


def macro_f1(counts: np.ndarray) -> float:
    """Mean F1 over the classes that are shown or chosen."""
    return float(np.nanmean(rates(counts)[2]))


def score(key: Key, answers: Sequence[Answers], *, seed: int = 0) -> list[Score]:
    """Score the raters, each condition by itself.

    Args:
        key: the truth.
        answers: of different raters, each once.
        seed: of resampling and guessing.

    Raises:
        InputError: there are no answers, or two files of one rater.
    """
    raters = [each.rater for each in answers]
    if not any(each.choice for each in answers) or len(set(raters)) != len(raters):
        raise InputError(
            "The files hold no answers, or a rater twice; give each rater's file once."
        )
    found = []
    for condition in sorted(set(key.condition.values())):
        rows = [
            (rater, name, each.choice[name], each.seconds[name])
            for rater, each in enumerate(answers)
            for name in each.choice
            if key.condition[name] == condition
        ]
        if rows:
            found.append(_score(condition, key, rows, np.random.default_rng(seed)))
    return found


def _score(
    condition: str,
    key: Key,
    rows: Sequence[tuple[int, str, int, float]],
    random: np.random.Generator,
) -> Score:
    classes = key.people + 1
    who, rater = np.unique([row[0] for row in rows], return_inverse=True)
    names, question = np.unique([row[1] for row in rows], return_inverse=True)
    # NONE is -1: the last class
    truth = np.array([key.truth[row[1]] for row in rows]) % classes
    choice = np.array([row[2] for row in rows]) % classes
    counts = confusion(truth, choice, np.ones(len(rows)), classes)
    resampled, guessed = [], []
    for _ in range(_RESAMPLES):
        raters = random.multinomial(len(who), np.full(len(who), 1 / len(who)))
        questions = random.multinomial(len(names), np.full(len(names), 1 / len(names)))
        weight = (raters[rater] * questions[question]).astype(float)
        if weight.any():
            resampled.append(confusion(truth, choice, weight, classes))
        guess = random.integers(classes, size=len(rows))
        guessed.append(macro_f1(confusion(truth, guess, np.ones(len(rows)), classes)))
    recall, precision, _ = rates(counts)
    per_class = [rates(each)[:2] for each in resampled]
    return Score(
        condition=condition,
        raters=len(who),
        answers=len(rows),
        macro_f1=macro_f1(counts),
        interval=_interval(np.array([macro_f1(each) for each in resampled])),
        chance=float(np.mean(guessed)),
        chance_interval=_interval(np.array(guessed)),
        recall=recall.tolist(),
        precision=precision.tolist(),
        recall_interval=[_interval(np.array([r[0][c] for r in per_class])) for c in range(classes)],
        precision_interval=[
            _interval(np.array([r[1][c] for r in per_class])) for c in range(classes)
        ],
        seconds=float(np.median([row[3] for row in rows])),
    )


def _interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 95% of what is known."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)


def as_json(scores: Sequence[Score]) -> str:
    """The scores as JSON, in which what is unknown is null."""

    def known(value: object) -> object:
        if isinstance(value, dict):
            return {key: known(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [known(each) for each in value]
        return None if isinstance(value, float) and np.isnan(value) else value

    return json.dumps([known(asdict(each)) for each in scores], indent=2, allow_nan=False) + "\n"


def table(scores: Sequence[Score]) -> str:
    """The scores in Markdown: a row for each condition, and one for each person in it."""
    lines = [
        "| condition | raters | answers | macro-F1 (95%) | chance (95% of guessers) "
        "| recall of each person, none last | precision |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in scores:
        low, high = each.interval
        least, most = each.chance_interval
        shares = [
            ", ".join(
                f"{value:.2f} ({a:.2f}–{b:.2f})"
                for value, (a, b) in zip(values, intervals, strict=True)
            )
            for values, intervals in (
                (each.recall, each.recall_interval),
                (each.precision, each.precision_interval),
            )
        ]
        lines.append(
            f"| {each.condition} | {each.raters} | {each.answers} "
            f"| {each.macro_f1:.3f} ({low:.3f}–{high:.3f}) "
            f"| {each.chance:.3f} ({least:.3f}–{most:.3f}) | {shares[0]} | {shares[1]} |"
        )
    return "\n".join(lines) + "\n"
