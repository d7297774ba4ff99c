"""From the evaluations of all defences to one summary, with the doubts that belong to it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from fl_crafter.evaluation.bootstrap import Resampling
from fl_crafter.evaluation.checks import Named, no_better
from fl_crafter.evaluation.evaluate import Evaluation
from fl_crafter.evaluation.record import NO_DEFENCE, Chance, Summary
from fl_crafter.evaluation.results import Check
from fl_crafter.evaluation.setup_checks import (
    are_strangers,
    enough_people,
    is_there_a_reference,
    judge_sees,
    near_oracle,
)
from fl_crafter.evaluation.truth import PrivateTruth


@dataclass(frozen=True)
class Setup:
    """How a run was made, for the record.

    Attributes:
        clients: number of clients.
        rounds: number of rounds.
        seed: of everything random.
        device: on which it ran.
        versions: of Python and the packages that matter.
        timings: seconds by part of the run.
        command: that started it.
        settings: what else decides the figures, above all the attacks' budgets.
        credit: to whom the photographs are owed.
        split_is_drawn: whether a seed decided which people of CelebA are private.
    """

    clients: int
    rounds: int
    seed: int
    device: str
    versions: Mapping[str, str]
    timings: Mapping[str, float]
    command: str = ""
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    credit: str = ""
    split_is_drawn: bool = False


def summarise(
    evaluations: Mapping[str, Evaluation],
    setup: Setup,
    *,
    truth: PrivateTruth,
    evaluator_name: str,
    how: Resampling | None = None,
) -> Summary:
    """The summary of a run.

    Args:
        evaluations: by defence, in the order of the tables; all with the same attacks.
        setup: how the run was made.
        truth: that the evaluations were made with.
        evaluator_name: name of the judge.
        how: how intervals are made.

    Raises:
        ValueError: there is no evaluation, or the attacks differ between defences.
    """
    if not evaluations:
        raise ValueError("a summary needs at least one evaluation")
    how = how or Resampling()
    people = len(truth.gallery.identity)
    return Summary(
        dataset=truth.faces.name,
        clients=setup.clients,
        rounds=setup.rounds,
        seed=setup.seed,
        device=setup.device,
        versions=dict(setup.versions),
        timings=dict(setup.timings),
        chance=Chance(top1=1 / people, top5=min(1.0, 5 / people)),
        attacks=tuple(next(iter(evaluations.values())).attacks),
        defences={name: evaluation.record for name, evaluation in evaluations.items()},
        people=people,
        evaluator=evaluator_name,
        raw=truth.raw_identification(how=how),
        command=setup.command,
        settings=dict(setup.settings),
        credit=setup.credit,
        unreliable=(
            *_doubts([are_strangers(split_is_drawn=setup.split_is_drawn)]),
            *doubts(evaluations, truth=truth, how=how),
        ),
    )


def doubts(
    evaluations: Mapping[str, Evaluation], *, truth: PrivateTruth, how: Resampling
) -> Iterator[str]:
    """Why the figures of a whole run may mislead: the evaluation's checks that it fails.

    Args:
        evaluations: by defence.
        truth: that they were made with.
        how: how intervals are made.
    """
    raw = truth.raw_identification(how=how)
    checks = [
        judge_sees(raw),
        enough_people(len(truth.gallery.identity)),
        is_there_a_reference(evaluations),
    ]
    undefended = evaluations.get(NO_DEFENCE)
    if undefended is not None:
        checks.append(near_oracle(undefended.record.worst_case.top1, raw))
        white, black = (_named(undefended, kind) for kind in ("white_box", "black_box"))
        if white and black:
            checks.append(
                no_better(
                    "white box at least as good as black box",
                    weaker=black,
                    stronger=white,
                    identity=truth.identity[undefended.place],
                    how=how,
                )
            )
    yield from _doubts(checks)


def _doubts(checks: Iterable[Check]) -> Iterator[str]:
    for check in checks:
        if not check.passed:
            yield f"Failed check, {check.name}: {check.text}."


def _named(evaluation: Evaluation, kind: str) -> Named:
    """The hits of the attacks whose name starts so."""
    return {
        name: evaluation.named(name).float() for name in evaluation.attacks if name.startswith(kind)
    }
