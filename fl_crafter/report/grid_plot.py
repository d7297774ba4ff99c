"""The trade-off of a whole grid as a drawing: a line for each defence, and the floors."""

from dataclasses import dataclass
from math import ceil, floor

from fl_crafter.evaluation.results import Results, WorstCase
from fl_crafter.report.plot import BOTTOM, LEFT, RIGHT, TOP, UTILITY_STEPS, Axis
from fl_crafter.report.words import defence_name, plain

LABEL_GAP = 15


@dataclass(frozen=True)
class Dot:
    """One setting of a defence, in pixels.

    Attributes:
        x: utility.
        y: identification.
        interval: lower and upper end of the identification.
        reliable: whether all checks that concern it have passed.
        title: what it is, for whoever points at it.
    """

    x: float
    y: float
    interval: tuple[float, float]
    reliable: bool
    title: str


@dataclass(frozen=True)
class Line:
    """One defence.

    Attributes:
        name: the defence's, as files call it.
        title: the defence's, as the page calls it.
        dots: its settings, utility rising.
    """

    name: str
    title: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Level:
    """A level that every defence is compared with.

    Attributes:
        title: what it is.
        y: its height in pixels.
        label_y: base line of its title.
    """

    title: str
    y: float
    label_y: float


@dataclass(frozen=True)
class GridPlot:
    """All that the template draws.

    Attributes:
        x: axis of the utility.
        y: axis of the identification.
        lines: one per defence.
        levels: floors, one guess and the raw photographs.
    """

    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    levels: tuple[Level, ...]


def grid_plot(results: Results) -> GridPlot:
    """Utility AUC against worst-case identification by the main judge."""
    main = results.evaluators[0]
    rows = [row for row in results.worst_case if row.evaluator == main]
    x = _axis([bound for row in rows for bound in (*row.intervals["utility_auc"],)])
    y = Axis(0.0, 1.0, BOTTOM, TOP, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
    lines = []
    for name in dict.fromkeys(row.defence for row in rows):
        own = sorted((r for r in rows if r.defence == name), key=lambda row: row.utility_auc)
        dots = tuple(_dot(row, x, y) for row in own)
        lines.append(Line(name, defence_name(name), dots))
    return GridPlot(x, y, tuple(lines), _levels(results, main, y))


def _axis(values: list[float]) -> Axis:
    low, high = max(0.0, min(values) - 0.005), min(1.0, max(values) + 0.005)
    step = next((s for s in UTILITY_STEPS if (high - low) / s <= 7), 0.2)
    ticks = tuple(round(i * step, 4) for i in range(floor(low / step), ceil(high / step) + 1))
    return Axis(ticks[0], ticks[-1], LEFT, RIGHT, ticks)


def _dot(row: WorstCase, x: Axis, y: Axis) -> Dot:
    low, high = row.intervals["top1"]
    setting = f" {plain(row.parameter)} {row.value:g}" if row.parameter else ""
    return Dot(
        x=x(row.utility_auc),
        y=y(row.top1),
        interval=(y(low), y(high)),
        reliable=row.reliable,
        title=f"{defence_name(row.defence)}{setting}: AUC {row.utility_auc:.3f}, "
        f"named {row.top1:.1%}{'' if row.reliable else ', not reliable'}",
    )


def _levels(results: Results, main: str, y: Axis) -> tuple[Level, ...]:
    """The levels from below, their titles moved apart where they would cover each other."""
    known = {plain(name): own.top1 for name, own in results.floors[main].items()}
    known |= {"one guess": 1 / results.people, "raw photographs": results.oracle[main].top1}
    levels, taken = [], BOTTOM + LABEL_GAP
    for title, share in sorted(known.items(), key=lambda item: item[1]):
        taken = min(y(share) - 4, taken - LABEL_GAP)
        levels.append(Level(f"{title} {share:.1%}", y(share), round(taken, 1)))
    return tuple(levels)
