"""The evaluation's checks of itself, on what the cells hold.

After Tramer et al. (2020), Carlini et al. (2019) and AutoAttack's flags. Where two attacks are
compared, the check fails only if the weaker one wins by more than chance explains: the 95% interval
over people of the paired difference lies above 0.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from fl_crafter.assets.trained import ADVLEARN, TIPRDC
from fl_crafter.evaluation.bootstrap import Resampling, mean_interval
from fl_crafter.evaluation.cell import Cell
from fl_crafter.evaluation.collect import FUSED, LABELS, by_point, hits
from fl_crafter.evaluation.record import NO_DEFENCE, Identification
from fl_crafter.evaluation.results import Check
from fl_crafter.evaluation.setup_checks import near_oracle

ONE_FEATURE = 1e-3  # of the clean features' variance
NO_CHANGE = 1e-3  # of the clean features' spread
LEARNT = 0.95  # of the average face's structural similarity
UNDONE = 1.05  # of the mean feature's error
ANSWERS = 1.05  # times as good as either fallback
DEAD_ROWS = 0.05
UNSETTLED = 1.1  # loss after the last step over that after the best


@dataclass(frozen=True)
class Kinds:
    """What sort of attacks a suite holds, by name.

    Attributes:
        white: those that hold the encoder's weights.
        black: those that do not, and do not know the defence.
        adaptive: those that know the defence.
        decoders: those of them that learn to draw from what the defence releases.
        un_crafters: those of them that learn clean features from it.
    """

    white: Collection[str]
    black: Collection[str]
    adaptive: Collection[str]
    decoders: Collection[str]
    un_crafters: Collection[str]


@dataclass(frozen=True)
class Bounds:
    """What the checks compare with.

    Attributes:
        evaluator: the main judge.
        kinds: of the attacks.
        average_ssim: mean structural similarity of the photographs and the average public face.
        identity: who is on each photograph.
        how: how intervals are made.
    """

    evaluator: str
    kinds: Kinds
    average_ssim: float
    identity: Int64[Tensor, " count"]
    how: Resampling


Named = Mapping[str, Float[Tensor, " count"]]
"""By attack, for each photograph whether its person was named, averaged over seeds."""


def no_better(
    name: str,
    *,
    weaker: Named,
    stronger: Named,
    identity: Int64[Tensor, " count"],
    how: Resampling,
    point: str = "",
) -> Check:
    """The best of the weaker attacks names no more than the best of the stronger ones."""
    if not weaker or not stronger:
        missing = "stronger" if weaker else "weaker"
        return Check(
            name=name, passed=False, point=point, text=f"no attack of the {missing} kind ran"
        )
    one, other = (max(each, key=lambda a: float(each[a].mean())) for each in (weaker, stronger))
    difference = weaker[one] - stronger[other]
    low, _ = mean_interval(difference, identity, how=how)
    return Check(
        name=name,
        passed=low <= 0,
        figure=float(difference.mean()),
        point=point,
        text=f"{one} names {float(weaker[one].mean()):.1%}, {other} "
        f"{float(stronger[other].mean()):.1%}; the difference is "
        f"{'within' if low <= 0 else 'beyond'} its 95% interval over people",
    )


def check_cells(cells: Iterable[Cell], *, oracle: Identification, bounds: Bounds) -> list[Check]:
    """All checks that need no further computation, for every point and for the reference."""
    checks = []
    for point, own in by_point(cells).items():
        if own[0].defence == NO_DEFENCE:
            worst = hits((cell.worst_case[bounds.evaluator] for cell in own), within=1)
            checks += [near_oracle(float(worst.mean()), oracle), *_more_knowledge(own, bounds)]
            checks.append(_gradients_of_attacks(own))
        else:
            checks += _release(point, own, bounds)
        checks += _searches_settle(point, own)
        checks += _more_evidence(point, own, bounds)
        checks += _has_learnt(point, own, bounds)
        checks.append(
            no_better(
                "adaptive at least as good as black box",
                weaker=_named(own, bounds.kinds.black, bounds),
                stronger=_named(own, bounds.kinds.adaptive, bounds),
                identity=bounds.identity,
                how=bounds.how,
                point=point,
            )
        )
    return checks


def _more_knowledge(own: Sequence[Cell], bounds: Bounds) -> list[Check]:
    if not (bounds.kinds.white and bounds.kinds.black):
        return []
    return [
        no_better(
            "white box at least as good as black box",
            weaker=_named(own, bounds.kinds.black, bounds),
            stronger=_named(own, bounds.kinds.white, bounds),
            identity=bounds.identity,
            how=bounds.how,
        )
    ]


def _gradients_of_attacks(own: Sequence[Cell]) -> Check:
    zero = {
        attack: max(cell.likeness[attack].zero_gradients for cell in own)
        for attack in own[0].likeness
    }
    worst = max(zero, key=zero.__getitem__)
    return Check(
        name="no zero gradients",
        passed=zero[worst] <= DEAD_ROWS,
        figure=zero[worst],
        text=f"{zero[worst]:.1%} of the rows start with a zero gradient in {worst}, the attack "
        f"with the most; at most {DEAD_ROWS:.0%} are allowed",
    )


def _named(own: Sequence[Cell], attacks: Collection[str], bounds: Bounds) -> Named:
    """The hits of those of the attacks that ran."""
    ran = own[0].judged[bounds.evaluator]
    return {
        attack: hits((c.judged[bounds.evaluator][attack].guess for c in own), within=1)
        for attack in attacks
        if attack in ran
    }


def _release(point: str, own: Sequence[Cell], bounds: Bounds) -> list[Check]:
    spread = min(cell.release.spread for cell in own)
    change = min(cell.release.change for cell in own)
    gradient = min(cell.release.gradient for cell in own)
    ended = {status for cell in own for status in cell.release.status}
    drawn, undone = _draws(own, bounds), _undoes(own, bounds)
    # the average face and the mean feature, which nothing need be learnt for, are no answer
    answer = [name for name, ratio in drawn.items() if ratio >= ANSWERS]
    answer += [name for name, error in undone.items() if error <= 1 / ANSWERS]
    acts = Check(
        name="the defence acts",
        passed=change >= NO_CHANGE,
        figure=change,
        point=point,
        text=f"released features are {change:.2g} spreads away from clean ones"
        + ("" if change >= NO_CHANGE else ": the clean feature is released"),
    )
    return [
        # AdvLearn and TIPRDC protect in the encoder: what it gives is released as it is
        *([] if own[0].defence in (ADVLEARN, TIPRDC) else [acts]),
        Check(
            name="releases differ between faces",
            passed=spread >= ONE_FEATURE,
            figure=spread,
            point=point,
            text=f"released features vary {spread:.2g} times as much as clean ones"
            + ("" if spread >= ONE_FEATURE else ": the defence always returns one feature"),
        ),
        Check(
            name="no attack relies on a dead gradient",
            passed=gradient >= 1 - DEAD_ROWS or bool(answer),
            figure=gradient,
            point=point,
            text=f"{gradient:.0%} of the rows pass a gradient through the defence; "
            + (
                f"attacks that need none have learnt from releases ({', '.join(answer)})"
                if answer
                else "no attack that needs none has learnt from releases"
            ),
        ),
        Check(
            name="the defence ended well",
            passed=ended == {"ok"},
            point=point,
            text=f"its batches ended as {', '.join(sorted(ended)).replace('_', ' ')}",
        ),
    ]


def _draws(own: Sequence[Cell], bounds: Bounds) -> dict[str, float]:
    """Of each decoder that learnt from releases, how it draws, in units of the average face."""
    return {
        name: sum(cell.likeness[name].ssim for cell in own) / len(own) / bounds.average_ssim
        for name in bounds.kinds.decoders
        if all(name in cell.likeness for cell in own) and bounds.average_ssim > 0
    }


def _undoes(own: Sequence[Cell], bounds: Bounds) -> dict[str, float]:
    """Of each un-crafter, the largest error on faces held out, in units of the mean feature's."""
    return {
        name: max(cell.likeness[name].loss_curve[-1] for cell in own)
        for name in bounds.kinds.un_crafters
        if all(name in cell.likeness for cell in own)
    }


def _has_learnt(point: str, own: Sequence[Cell], bounds: Bounds) -> Iterator[Check]:
    """What learns from releases can fall back on the average face, or on the mean feature."""
    drawn, undone = _draws(own, bounds), _undoes(own, bounds)
    if drawn:
        best = max(drawn, key=drawn.__getitem__)
        yield Check(
            name="adaptive decoders have learnt",
            passed=drawn[best] >= LEARNT,
            figure=drawn[best],
            point=point,
            text=f"{best} draws with {drawn[best]:.2f} times the structural similarity of the "
            f"average face, the most of all; at least {LEARNT:g} times is wanted",
        )
    if undone:
        worst = max(undone, key=undone.__getitem__)
        yield Check(
            name="un-crafters have learnt",
            passed=undone[worst] <= UNDONE,
            figure=undone[worst],
            point=point,
            text=f"{worst} is {undone[worst]:.2f} times as far from clean features as their mean "
            f"is, on faces held out, the most of all; at most {UNDONE:g} times is allowed",
        )


def _more_evidence(point: str, own: Sequence[Cell], bounds: Bounds) -> list[Check]:
    """Who has features and labels must link as well as by the labels alone."""
    if not all({LABELS, FUSED} <= cell.linked.keys() for cell in own):
        return []
    one, both = (
        {name: hits((cell.linked[name] for cell in own), within=1)} for name in (LABELS, FUSED)
    )
    return [
        no_better(
            "features and labels at least as good as labels",
            weaker=one,
            stronger=both,
            identity=bounds.identity,
            how=bounds.how,
            point=point,
        )
    ]


def _searches_settle(point: str, own: Sequence[Cell]) -> list[Check]:
    """Attacks return the best that they met; if they left it far, what they descend is elsewhere.

    A search that descended what decides could then have come nearer.
    """
    ends = {
        attack: max(_last_step(cell.likeness[attack].loss_curve) for cell in own)
        for attack in own[0].likeness
    }
    worst = max(ends, key=ends.__getitem__)
    if not ends[worst]:
        return []
    return [
        Check(
            name="searches settle",
            passed=ends[worst] <= UNSETTLED,
            figure=ends[worst],
            point=point,
            text=f"the last step of {worst} led to {ends[worst]:.2f} times its best loss, the most "
            f"of all attacks; at most {UNSETTLED:g} times is allowed",
        )
    ]


def _last_step(curve: Sequence[float]) -> float:
    """Loss after the last step over that after the best; 0 where the curve holds no step.

    The first value of a curve is of the start and the last one of what is returned.
    """
    course = curve[:-1]
    return course[-1] / min(course) if len(course) > 1 and min(course) > 0 else 0.0
