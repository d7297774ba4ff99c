"""From the evaluations of all defences to one summary, with the doubts that belong to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fl_crafter.evaluation.bootstrap import Resampling
from fl_crafter.evaluation.evaluate import Evaluation
from fl_crafter.evaluation.record import NO_DEFENCE, Chance, DefenceRecord, Identification, Summary
from fl_crafter.evaluation.truth import PrivateTruth

FEW_PEOPLE = 10
GOOD_JUDGE = 0.9
SERIOUS_ATTACK = 0.5  # of what the evaluator names on raw photographs
NOTABLE = 0.05


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
    people = len(truth.gallery.identity)
    defences = {name: evaluation.record for name, evaluation in evaluations.items()}
    raw = truth.raw_identification(how=how or Resampling())
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
        defences=defences,
        people=people,
        evaluator=evaluator_name,
        raw=raw,
        command=setup.command,
        settings=dict(setup.settings),
        credit=setup.credit,
        unreliable=tuple(doubts(defences, raw=raw, people=people)),
    )


def doubts(defences: Mapping[str, DefenceRecord], *, raw: Identification, people: int) -> list[str]:
    """Why the figures of a whole run may mislead: the evaluation's checks of itself.

    Args:
        defences: by name.
        raw: identification of the raw photographs.
        people: number of private people.
    """
    found = []
    if people < FEW_PEOPLE:
        found.append(f"Only {people} people: the intervals are wide.")
    if raw.top1 < GOOD_JUDGE:
        found.append(
            f"The evaluator names only {raw.top1:.0%} of the raw photographs; it may miss people "
            "whom a human would recognise."
        )
    undefended = defences.get(NO_DEFENCE)
    if undefended is None:
        found.append("There is no run without defence; nothing shows that the attacks work.")
        return found
    reached = undefended.worst_case.top1
    if reached < SERIOUS_ATTACK * raw.top1:
        found.append(
            f"Without defence the attacks name {reached:.0%} of the faces, of which the evaluator "
            f"could name {raw.top1:.0%}: weak attacks make every defence look strong."
        )
    white, black = (_best(undefended, kind) for kind in ("white_box", "black_box"))
    if white is not None and black is not None and white < black - NOTABLE:
        found.append(
            f"Without defence the white-box attack names {white:.0%}, the black-box attack "
            f"{black:.0%}: who knows more should reach more, so a stronger white box is to be had."
        )
    return found


def _best(defence: DefenceRecord, kind: str) -> float | None:
    """Top-1 of the best attack whose name starts so; None without one."""
    return max(
        (own.top1 for name, own in defence.identification.items() if name.startswith(kind)),
        default=None,
    )
