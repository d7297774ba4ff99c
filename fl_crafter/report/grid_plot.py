"""The trade-off of a whole grid as a drawing: a line for each defence, and the floors."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from statistics import mean

from fl_crafter.evaluation.results import Results, WorstCase
from fl_crafter.report.plot import BOTTOM, LEFT, RIGHT, TOP, Axis, utility_axis
from fl_crafter.report.words import defence_name, plain

LABEL_GAP = 15
LETTER, HEIGHT = 7.4, 14.0  # of a title, in pixels
Box = tuple[float, float, float, float]


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
        label_x: where the title starts or, with `label_left`, ends.
        label_y: its base line.
        label_left: whether the title stands left of the dot that it is nearest to.
    """

    name: str
    title: str
    dots: tuple[Dot, ...]
    label_x: float = 0.0
    label_y: float = 0.0
    label_left: bool = False


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
        levels: what chance gets by the same rule, in the mean, and the raw photographs.
    """

    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    levels: tuple[Level, ...]


def grid_plot(results: Results) -> GridPlot:
    """Utility AUC against worst-case identification by the main judge."""
    main = results.evaluators[0]
    rows = [row for row in results.worst_case if row.evaluator == main]
    x = utility_axis([row.utility_auc for row in rows])
    y = Axis(0.0, 1.0, BOTTOM, TOP, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
    lines = []
    for name in dict.fromkeys(row.defence for row in rows):
        own = sorted((r for r in rows if r.defence == name), key=lambda row: row.utility_auc)
        dots = tuple(_dot(row, x, y) for row in own)
        lines.append(Line(name, defence_name(name), dots))
    levels = _levels(results, rows, y)
    return GridPlot(x, y, tuple(_labelled(lines, levels)), levels)


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


def _levels(results: Results, rows: list[WorstCase], y: Axis) -> tuple[Level, ...]:
    """The levels from below, their titles moved apart where they would cover each other."""
    known = {
        "chance of the worst case": mean(row.chance.top1 for row in rows),
        "raw photographs": results.oracle[results.evaluators[0]].top1,
    }
    levels, taken = [], BOTTOM + LABEL_GAP
    for title, share in sorted(known.items(), key=lambda item: item[1]):
        taken = min(y(share) - 4, taken - LABEL_GAP)
        levels.append(Level(f"{title} {share:.1%}", y(share), round(taken, 1)))
    return tuple(levels)


def _labelled(lines: list[Line], levels: Iterable[Level]) -> Iterator[Line]:
    """The lines with their titles where they cover least of dots, intervals and other titles."""
    marks = [dot for line in lines for dot in line.dots]
    taken: list[Box] = [(dot.x - 8, dot.y - 8, dot.x + 8, dot.y + 8) for dot in marks]
    taken += [(dot.x - 1, dot.interval[1], dot.x + 1, dot.interval[0]) for dot in marks]
    taken += [_box(70.0, level.label_y, False, level.title) for level in levels]
    for line in lines:
        found = min(_places(line), key=lambda place: _covered(_box(*place, line.title), taken))
        taken.append(_box(*found, line.title))
        yield replace(line, label_x=found[0], label_y=found[1], label_left=found[2])


def _places(line: Line) -> Iterator[tuple[float, float, bool]]:
    """Where a title may stand: beside any of the dots, above or below."""
    for down in (-9.0, 17.0, 4.0, -23.0, 31.0):
        for dot in line.dots:
            for across in (-11.0, 11.0):
                yield round(dot.x + across, 1), round(dot.y + down, 1), across < 0


def _box(x: float, y: float, left: bool, title: str) -> Box:
    start = x - LETTER * len(title) if left else x
    return start, y - HEIGHT + 3, start + LETTER * len(title), y + 3


def _covered(box: Box, taken: list[Box]) -> float:
    """How much of a title covers something or leaves the drawing, in square pixels."""
    left, top, right, bottom = box
    outside = max(0.0, LEFT - left) + max(0.0, right - RIGHT) + max(0.0, bottom - BOTTOM)
    covered = [
        max(0.0, min(right, b[2]) - max(left, b[0])) * max(0.0, min(bottom, b[3]) - max(top, b[1]))
        for b in taken
    ]
    return sum(covered) + HEIGHT * outside
