"""The trade-off as a drawing: utility to the right, identification upwards, in SVG coordinates."""

from dataclasses import dataclass
from math import ceil, floor
from statistics import mean

from fl_crafter.evaluation import Summary
from fl_crafter.report.verdict import mark
from fl_crafter.report.words import defence_name

LEFT, RIGHT, TOP, BOTTOM = 64.0, 616.0, 20.0, 344.0
LABEL_GAP = 18  # pixels between two labels, one above the other
LABEL_WIDTH = 110
UTILITY_STEPS = (0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True)
class Axis:
    """A scale from values to pixels.

    Attributes:
        low: value at `start`.
        high: value at `end`.
        start: in pixels.
        end: in pixels.
        ticks: values that are marked.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """Pixels of a value; what lies outside is drawn at the edge."""
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Point:
    """One defence in the drawing, everything in pixels but the name.

    Attributes:
        name: the defence's, as files call it.
        title: the defence's, as the page calls it.
        x: utility.
        y: identification.
        x_interval: left and right end.
        y_interval: lower and upper end.
        label_x: where the title starts or, with `label_left`, ends.
        label_y: its base line.
        label_left: whether the title stands left of the point.
    """

    name: str
    title: str
    x: float
    y: float
    x_interval: tuple[float, float]
    y_interval: tuple[float, float]
    label_x: float
    label_y: float
    label_left: bool


@dataclass(frozen=True)
class Plot:
    """All that the template draws.

    Attributes:
        x: axis of the utility.
        y: axis of the identification.
        points: one per defence.
        mark: left, top, width and height of the region that Crafter is to reach; None without one.
        chance: height of what as many guesses get by chance, in the mean over the defences.
    """

    x: Axis
    y: Axis
    points: tuple[Point, ...]
    mark: tuple[float, float, float, float] | None
    chance: float


def trade_off(summary: Summary) -> Plot:
    """Utility AUC against worst-case identification, with 95% intervals."""
    x, y = _utility_axis(summary), _identification_axis(summary)
    limit, region = mark(summary), None
    if limit is not None:
        left, top = x(limit.utility_auc), y(limit.top1)
        region = (left, top, round(RIGHT - left, 1), round(BOTTOM - top, 1))
    points = _points(summary, x, y)
    chance = mean(own.worst_case.chance.top1 for own in summary.defences.values())
    return Plot(x=x, y=y, points=points, mark=region, chance=y(chance))


def _utility_axis(summary: Summary) -> Axis:
    defences = summary.defences.values()
    values = [bound for own in defences for bound in own.utility_interval]
    values += [own.utility_auc for own in defences]
    limit = mark(summary)
    if limit is not None:
        values.append(limit.utility_auc)
    return utility_axis(values)


def utility_axis(values: list[float]) -> Axis:
    """A scale to the right on which all these values lie."""
    low, high = max(0.0, min(values) - 0.005), min(1.0, max(values) + 0.005)
    step = next((s for s in UTILITY_STEPS if (high - low) / s <= 7), 0.2)
    first, last = floor(low / step), ceil(high / step)
    ticks = tuple(round(i * step, 4) for i in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], LEFT, RIGHT, ticks)


def _identification_axis(summary: Summary) -> Axis:
    highest = max(own.worst_case.interval[1] for own in summary.defences.values())
    step = 0.2 if highest > 0.5 else 0.1
    ticks = tuple(round(i * step, 4) for i in range(ceil(highest / step) + 1))
    return Axis(0.0, max(ticks[-1], step), BOTTOM, TOP, ticks)


def _points(summary: Summary, x: Axis, y: Axis) -> tuple[Point, ...]:
    """The defences, their titles moved apart where they would cover each other."""
    rising = sorted(summary.defences.items(), key=lambda item: item[1].worst_case.top1)
    taken: dict[bool, float] = {}  # by side, the base line of the last title from below
    points = {}
    for name, own in rising:
        across, up = x(own.utility_auc), y(own.worst_case.top1)
        left = across > RIGHT - LABEL_WIDTH
        base = min(up - 8, taken.get(left, BOTTOM + LABEL_GAP) - LABEL_GAP)
        taken[left] = base
        points[name] = Point(
            name=name,
            title=defence_name(name),
            x=across,
            y=up,
            x_interval=(x(own.utility_interval[0]), x(own.utility_interval[1])),
            y_interval=(y(own.worst_case.interval[0]), y(own.worst_case.interval[1])),
            label_x=across - 10 if left else across + 10,
            label_y=round(base, 1),
            label_left=left,
        )
    return tuple(points[name] for name in summary.defences)
