"""The verdict in plain words, computed from the figures, whichever way they fall."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from fl_crafter.evaluation import CRAFTER, NO_DEFENCE, DefenceRecord, Summary
from fl_crafter.report.words import (
    attack_name,
    defence_name,
    figure,
    figure_interval,
    percent,
    percent_interval,
)

SERIOUS = 0.7  # of the test photographs, named by the better attack on clean features
FRACTION = 1 / 3  # of that, which Crafter may leave
AUC_LOSS = 0.05


class Outcome(StrEnum):
    """How a figure compares with its mark."""

    MET = "met"
    MISSED = "missed"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One sentence of the verdict.

    Attributes:
        outcome: met, missed, or a note that no mark belongs to.
        title: a few words.
        text: the figures in a sentence.
        value: the figure that has a mark; empty for a note.
        bound: the mark, in words.
        about_crafter: whether the mark is Crafter's; otherwise it is the attacks'.
    """

    outcome: Outcome
    title: str
    text: str
    value: str = ""
    bound: str = ""
    about_crafter: bool = True


@dataclass(frozen=True)
class Mark:
    """What Crafter is held to, in figures of this run.

    Attributes:
        utility_auc: the least.
        top1: the most that the better attack may name.
    """

    utility_auc: float
    top1: float


def mark(summary: Summary) -> Mark | None:
    """The mark: a third of what the better attack names without defence, .05 AUC below it."""
    undefended = summary.defences.get(NO_DEFENCE)
    if undefended is None:
        return None
    best = undefended.better_identification.top1
    return Mark(utility_auc=undefended.utility_auc - AUC_LOSS, top1=best * FRACTION)


def headline(findings: list[Finding]) -> str:
    """The verdict in one sentence."""
    crafter = {finding.outcome for finding in findings if finding.about_crafter}
    attacks = {finding.outcome for finding in findings if not finding.about_crafter}
    if Outcome.MISSED in crafter:
        return "In this run Crafter missed its mark."
    if Outcome.MET not in crafter:
        return "This run does not put Crafter to the test."
    if Outcome.MISSED in attacks:
        return "In this run Crafter met its mark, but only against weak attacks."
    return "In this run Crafter met its mark."


def verdict(summary: Summary) -> list[Finding]:
    """All findings: on the attacks, on Crafter and its mark, and beside the other defences."""
    undefended, crafter = (summary.defences.get(name) for name in (NO_DEFENCE, CRAFTER))
    findings: list[Finding] = []
    if undefended is not None:
        findings.append(_attacks(undefended))
    limit = mark(summary)
    if undefended is not None and crafter is not None and limit is not None:
        findings.append(_privacy(limit, undefended, crafter))
        findings.append(_utility(undefended, crafter))
    if crafter is not None:
        findings.append(_against_chance(crafter))
        findings.extend(_against_controls(summary, crafter))
    else:
        text = "The run holds no Crafter, so nothing is said about it."
        findings.append(Finding(Outcome.NOTE, "Crafter was not run", text))
    return findings


def _attacks(undefended: DefenceRecord) -> Finding:
    attack, own = undefended.better_attack(), undefended.better_identification
    serious = own.top1 >= SERIOUS
    text = (
        f"Without defence the better attack ({attack_name(attack).lower()}) rebuilds faces of "
        f"which the evaluator names {percent(own.top1)} rightly. Guessing gets "
        f"{percent(own.chance.top1)}."
    )
    if not serious:
        text += " What follows is measured against weak attacks, and looks better than it is."
    return Finding(
        Outcome.MET if serious else Outcome.MISSED,
        "The attacks are serious" if serious else "The attacks fall short",
        text,
        value=f"{percent(own.top1)} named",
        bound=f"mark: at least {percent(SERIOUS)} without defence",
        about_crafter=False,
    )


def _privacy(limit: Mark, undefended: DefenceRecord, crafter: DefenceRecord) -> Finding:
    attack, worst = crafter.better_attack(), crafter.worst_case
    left, before = crafter.identification[attack], undefended.better_identification
    hidden = left.top1 <= limit.top1
    text = (
        f"With Crafter the better attack ({attack_name(attack).lower()}) names "
        f"{percent(left.top1)} ({percent_interval(left.interval)}), without defence "
        f"{percent(before.top1)}. All attacks together, the best of them for each photograph, name "
        f"{percent(worst.top1)}; so many guesses get {percent(worst.chance.top1)}."
    )
    if not hidden:
        text = f"Crafter did NOT bring identification down to a third. {text}"
    elif left.interval[1] > limit.top1:
        text += " The interval reaches above the mark, so other people might have missed it."
    return Finding(
        Outcome.MET if hidden else Outcome.MISSED,
        "Few people are still named" if hidden else "Too many people are still named",
        text,
        value=f"{percent(left.top1)} named",
        bound=f"mark: at most a third of that, {percent(limit.top1)}",
    )


def _utility(undefended: DefenceRecord, crafter: DefenceRecord) -> Finding:
    change = crafter.utility_auc - undefended.utility_auc
    served = -change <= AUC_LOSS
    text = (
        f"On crafted features the cloud model reaches a mean AUC of {figure(crafter.utility_auc)} "
        f"({figure_interval(crafter.utility_interval)}), on clean ones "
        f"{figure(undefended.utility_auc)}."
    )
    if not served:
        text = f"Crafter cost MORE utility than the mark allows. {text}"
    return Finding(
        Outcome.MET if served else Outcome.MISSED,
        "The task is still served" if served else "The task suffers",
        text,
        value=f"{'+' if change >= 0 else ''}{figure(change)} AUC",
        bound=f"mark: a loss of {figure(AUC_LOSS)} at most",
    )


def _against_chance(crafter: DefenceRecord) -> Finding:
    own = crafter.worst_case
    chance = percent(own.chance.top1)
    if own.interval[0] <= own.chance.top1:
        title = "What is left cannot be told from guessing"
        text = (
            f"The interval of {percent_interval(own.interval)} includes the {chance} that guessing "
            "gets. That is no proof of none: more people would narrow it."
        )
    else:
        title = "Something is left"
        text = (
            f"{percent(own.top1)} is more than the {chance} that guessing gets: the attacks still "
            "learn something about who somebody is."
        )
    return Finding(Outcome.NOTE, title, text)


def _against_controls(summary: Summary, crafter: DefenceRecord) -> Iterator[Finding]:
    for name, control in summary.defences.items():
        if name in (NO_DEFENCE, CRAFTER):
            continue
        title, comparison = _compare(crafter, control, name=defence_name(name))
        text = (
            f"{comparison}: {percent(control.worst_case.top1)} named at an AUC of "
            f"{figure(control.utility_auc)}, Crafter {percent(crafter.worst_case.top1)} at "
            f"{figure(crafter.utility_auc)}."
        )
        if _overlap(crafter, control):
            text += " Both pairs of intervals overlap, so the order may be chance."
        yield Finding(Outcome.NOTE, title, text)


def _compare(crafter: DefenceRecord, control: DefenceRecord, *, name: str) -> tuple[str, str]:
    """Title and beginning of the sentence for Crafter beside a control."""
    privacy = control.worst_case.top1 - crafter.worst_case.top1  # above 0: Crafter names fewer
    utility = crafter.utility_auc - control.utility_auc  # above 0: Crafter serves better
    if privacy == 0 and utility == 0:
        return f"No different from {name.lower()}", f"{name} does the same"
    if privacy <= 0 and utility <= 0:
        return f"{name} is no worse", f"{name} is at least as good on both counts, and costs less"
    if privacy >= 0 and utility >= 0:
        return f"Better than {name.lower()}", f"{name} is no better on either count"
    if privacy > 0:
        return f"Beside {name.lower()}", f"{name} serves the task better and hides people worse"
    return f"Beside {name.lower()}", f"{name} hides people better and serves the task worse"


def _overlap(one: DefenceRecord, other: DefenceRecord) -> bool:
    pairs = (
        (one.worst_case.interval, other.worst_case.interval),
        (one.utility_interval, other.utility_interval),
    )
    return all(a[0] <= b[1] and b[0] <= a[1] for a, b in pairs)
