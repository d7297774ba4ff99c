"""From cells to results: people join, seeds are averaged, checks mark what they concern."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from fl_crafter.evaluation.bootstrap import Interval, Resampling, rate_interval
from fl_crafter.evaluation.cell import ALL_PICTURES, Cell, Guess
from fl_crafter.evaluation.record import ChanceOfRates
from fl_crafter.evaluation.results import AttackResult, Check, Linkability, WorstCase

UTILITY_WEIGHT = "utility_weight"
LABELS = "labels"
RELEASED = "released features"
FUSED = f"{RELEASED} and labels"
OUTPUTS = "the cloud model's outputs"
OUTPUTS_AND_LABELS = "the cloud model's outputs and labels"
BY_ALBUM = ", by plain photographs"
AND_ALBUM = ", with plain photographs"


def reliable(point: str, checks: Iterable[Check]) -> bool:
    """Whether the checks about everything, and those about this point, have passed."""
    return all(check.passed for check in checks if check.point in ("", point))


def attack_results(
    cells: Iterable[Cell],
    *,
    identity: Int64[Tensor, " count"],
    checks: Iterable[Check],
    how: Resampling,
) -> list[AttackResult]:
    """One row for each attack, evaluator and cell."""
    checks = tuple(checks)
    return [
        AttackResult(
            **_setting(cell, checks),
            **_rates([judged.guess], identity, how),
            attack=attack,
            evaluator=evaluator,
            seed=cell.seed,
            feature_similarity=judged.feature_similarity,
            feature_similarity_floor=judged.feature_similarity_floor,
            ssim=cell.likeness[attack].ssim,
            psnr=cell.likeness[attack].psnr,
            perceptual_distance=cell.likeness[attack].perceptual_distance,
            utility_auc=cell.utility_auc,
        )
        for cell in cells
        for evaluator, attacks in cell.judged.items()
        for attack, judged in attacks.items()
    ]


def worst_cases(
    cells: Iterable[Cell],
    *,
    identity: Int64[Tensor, " count"],
    checks: Iterable[Check],
    how: Resampling,
) -> list[WorstCase]:
    """One row for each evaluator, defence and setting, over all seeds."""
    checks, rows = tuple(checks), []
    for own in by_point(cells).values():
        deployed = _middle([cell.utility_interval for cell in own])
        developed = [cell.development_auc for cell in own if cell.development_auc is not None]
        ends = [cell.development_interval for cell in own if cell.development_interval]
        intervals = {"utility_auc": deployed} | (
            {"development_auc": _middle(ends)} if developed else {}
        )
        for evaluator in own[0].worst_case:
            guesses = [cell.worst_case[evaluator] for cell in own]
            rates = _rates(guesses, identity, how)
            rates["intervals"] |= intervals
            rows.append(
                WorstCase(
                    **_setting(own[0], checks),
                    **rates,
                    evaluator=evaluator,
                    seeds=tuple(cell.seed for cell in own),
                    top1_by_seed=tuple(float(g.within(1).double().mean()) for g in guesses),
                    best_attack=best_attack(own, evaluator),
                    roc={far: _mean(g.roc[far] for g in guesses) for far in guesses[0].roc},
                    utility_auc=_mean(cell.utility_auc for cell in own),
                    development_auc=_mean(developed) if developed else None,
                )
            )
    return rows


def linkabilities(
    cells: Iterable[Cell],
    *,
    identity: Int64[Tensor, " count"],
    checks: Iterable[Check],
    how: Resampling,
) -> list[Linkability]:
    """One row for each evidence, defence and setting; the labels alone once, first."""
    checks, rows, labels = tuple(checks), [], []
    for own in by_point(cells).values():
        for evidence in own[0].linked:
            if not all(evidence in cell.linked for cell in own):
                continue  # cells of an older version have fewer
            guesses = [cell.linked[evidence] for cell in own]
            row = Linkability(
                **_setting(own[0], checks),
                **_rates(guesses, identity, how),
                evidence=evidence,
                seeds=tuple(cell.seed for cell in own),
                labels_top1=_mean(
                    float(cell.linked[LABELS].within(1).double().mean()) for cell in own
                ),
            )
            (labels if evidence == LABELS else rows).append(row)
    return labels[:1] + rows


def by_point(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """The cells of each defence and setting, in order of first appearance."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.point, []).append(cell)
    return found


def hits(guesses: Iterable[Guess], *, within: int) -> Tensor:
    """By photograph, the share of seeds in which its person is among the first so many."""
    return torch.stack([guess.within(within).double() for guess in guesses]).mean(0)


def best_attack(cells: Iterable[Cell], evaluator: str) -> str:
    """The attack that names the most by itself, over all seeds."""
    cells = tuple(cells)
    attacks = [attack for attack in cells[0].judged[evaluator] if attack != ALL_PICTURES]

    def named(attack: str) -> float:
        return float(hits((c.judged[evaluator][attack].guess for c in cells), within=1).mean())

    return max(attacks, key=named)


def _setting(cell: Cell, checks: tuple[Check, ...]) -> dict[str, Any]:
    weight = cell.value if cell.parameter == UTILITY_WEIGHT else None
    return {
        "defence": cell.defence,
        "parameter": cell.parameter,
        "value": cell.value,
        "utility_weight": weight,
        "reliable": reliable(cell.point, checks),
    }


def _rates(guesses: list[Guess], identity: Tensor, how: Resampling) -> dict[str, Any]:
    claims = {far: [torch.tensor(g.accepted[far]) for g in guesses] for far in ("0.01", "0.001")}
    shares = {
        "top1": hits(guesses, within=1),
        "top5": hits(guesses, within=5),
        "tar_far_1e2": torch.stack(claims["0.01"]).double().mean(0),
        "tar_far_1e3": torch.stack(claims["0.001"]).double().mean(0),
    }
    intervals: dict[str, Interval] = {
        name: rate_interval(share, identity, how=how) for name, share in shares.items()
    }
    chances = [guess.chance.model_dump() for guess in guesses]
    chance = ChanceOfRates(**{name: _mean(own[name] for own in chances) for name in shares})
    rates = {name: float(share.mean()) for name, share in shares.items()}
    return {**rates, "intervals": intervals, "chance": chance}


def _middle(intervals: list[tuple[float, float]]) -> tuple[float, float]:
    lows, highs = zip(*intervals, strict=True)
    return _mean(lows), _mean(highs)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
