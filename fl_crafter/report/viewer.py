"""What the page's viewer shows of each setting: figures, doubts, and faces at their worst."""

from collections.abc import Mapping
from dataclasses import dataclass

from fl_crafter.evaluation.results import Check, Results, WorstCase
from fl_crafter.picture import data_uri
from fl_crafter.report.pictures import Pictures


@dataclass(frozen=True)
class Stop:
    """One setting of a defence.

    Attributes:
        index: from 0, over all defences.
        row: its figures.
        doubts: failed checks that concern it.
        count: test photographs, of the whole, whose person is named by any attack.
    """

    index: int
    row: WorstCase
    doubts: tuple[Check, ...]
    count: int


@dataclass(frozen=True)
class Group:
    """The settings of one defence.

    Attributes:
        defence: its name.
        parameter: what its settings are of; empty where there is none.
        stops: their values rising.
    """

    defence: str
    parameter: str
    stops: tuple[Stop, ...]


@dataclass(frozen=True)
class Seen:
    """What became of a photograph under a setting.

    Attributes:
        image: the reconstruction that gives most away, as a PNG inside the page.
        attack: that made it.
        named: how many attacks name the person.
        attacks: that were run.
    """

    image: str
    attack: str
    named: int
    attacks: int


@dataclass(frozen=True)
class Face:
    """One photograph.

    Attributes:
        number: of the person, from 1.
        raw: the photograph, as a PNG inside the page.
        seen: by index of the setting.
    """

    number: int
    raw: str
    seen: Mapping[int, Seen]


@dataclass(frozen=True)
class Viewer:
    """All that the viewer shows.

    Attributes:
        groups: one per defence.
        faces: those that are named most often first.
        first: index of the setting that is shown first, which gives most away.
    """

    groups: tuple[Group, ...]
    faces: tuple[Face, ...]
    first: int

    @property
    def stops(self) -> tuple[Stop, ...]:
        """All settings, in the order of their index."""
        return tuple(stop for group in self.groups for stop in group.stops)


def viewer(results: Results, pictures: Mapping[str, Pictures]) -> Viewer:
    """The viewer of an evaluation, by its main judge.

    Args:
        results: the figures.
        pictures: by point; there may be none.
    """
    rows = [row for row in results.worst_case if row.evaluator == results.evaluators[0]]
    ordered = [
        row
        for defence in dict.fromkeys(row.defence for row in rows)
        for row in sorted((r for r in rows if r.defence == defence), key=lambda row: row.value)
    ]
    stops = [
        Stop(
            index=index,
            row=row,
            doubts=tuple(
                check
                for check in results.self_checks
                if not check.passed and check.point in ("", row.point)
            ),
            count=round(row.top1 * results.photographs),
        )
        for index, row in enumerate(ordered)
    ]
    groups = tuple(
        Group(
            defence,
            next(stop.row.parameter for stop in stops if stop.row.defence == defence),
            tuple(stop for stop in stops if stop.row.defence == defence),
        )
        for defence in dict.fromkeys(row.defence for row in ordered)
    )
    first = max(stops, key=lambda stop: stop.row.top1).index
    return Viewer(groups, _faces(stops, pictures), first)


def _faces(stops: list[Stop], pictures: Mapping[str, Pictures]) -> tuple[Face, ...]:
    shown = [stop for stop in stops if _attacks(stop, pictures)]
    if not shown:
        return ()
    raw = pictures[shown[0].row.point].raw
    faces = [
        Face(
            number=place + 1,
            raw=data_uri(image),
            seen={stop.index: _worst(stop, pictures[stop.row.point], place) for stop in shown},
        )
        for place, image in enumerate(raw)
    ]
    # by all settings together, so that a face keeps its place while the setting changes
    often = {face.number: sum(own.named for own in face.seen.values()) for face in faces}
    return tuple(sorted(faces, key=lambda face: -often[face.number]))


def _attacks(stop: Stop, pictures: Mapping[str, Pictures]) -> list[str]:
    own = pictures.get(stop.row.point)
    return [] if own is None else [attack for _, attack in own.reconstruction]


def _worst(stop: Stop, own: Pictures, place: int) -> Seen:
    """By an attack that names the person; where none or several do, by the best of these."""
    point = stop.row.point
    attacks = [attack for _, attack in own.reconstruction]
    named = [name for name in attacks if bool(own.named[point, name][place])]
    among = named or attacks
    best = stop.row.best_attack if stop.row.best_attack in among else among[0]
    return Seen(
        image=data_uri(own.reconstruction[point, best][place]),
        attack=best,
        named=len(named),
        attacks=len(attacks),
    )
