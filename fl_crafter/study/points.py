"""The grid's points: every defence, at settings from much privacy to much utility."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fl_crafter.assets.trained import DISCO_RANDOM, TRAINED, read_shape
from fl_crafter.defences.any_encoder import FOR_ANY_ENCODER
from fl_crafter.defences.configured import NAMES, DefenceSettings
from fl_crafter.errors import InputError
from fl_crafter.evaluation.cell import point_name
from fl_crafter.files import file_hash

BASE = DefenceSettings()
PUBLISHED_BATCH = 128


@dataclass(frozen=True)
class Point:
    """One defence at one setting.

    Attributes:
        defence: its name.
        parameter: the setting that trades privacy for utility; empty where there is none.
        value: of that setting.
        settings: all of them.
        batch: photographs protected together.
        weights: file of a trained defence; empty for the others.
    """

    defence: str
    parameter: str
    value: float
    settings: DefenceSettings
    batch: int = 32
    weights: str = ""

    @property
    def name(self) -> str:
        """In tables, and of the file of its figures."""
        return point_name(self.defence, self.parameter, self.value)

    def fixed(self) -> dict[str, Any]:
        """What must be the same for two measurements to be of one point, as JSON gives it back."""
        if self.weights:
            return {"weights": file_hash(Path(self.weights)), "batch": self.batch}
        return {"settings": str(self.settings), "batch": self.batch}


@dataclass(frozen=True)
class Scale:
    """The setting of a defence that trades privacy for utility.

    Attributes:
        parameter: its name.
        values: from much privacy to much utility, or as near to that as the defence comes.
        settings: value -> all settings.
        limit: the value at which next to nothing is protected any more; None where there is none.
        batch: photographs protected together.
        whole: whether its values are whole numbers.
    """

    parameter: str
    values: tuple[float, ...]
    settings: Callable[[float], DefenceSettings]
    limit: float | None = None
    batch: int = 32
    whole: bool = False

    def point(self, defence: str, value: float) -> Point:
        """The point at one value."""
        return Point(defence, self.parameter, value, self.settings(value), self.batch)


def _with(name: str, kind: type[int] | type[float]) -> Callable[[float], DefenceSettings]:
    return lambda value: dataclasses.replace(BASE, **{name: kind(value)})


def _crafted(
    *, rate: float = BASE.crafter.rate, batch: int = BASE.crafter.micro_batch
) -> Callable[[float], DefenceSettings]:
    """Crafter's settings; where eavesdroppers are simulated, the cheap ones."""

    def settings(weight: float) -> DefenceSettings:
        crafter = dataclasses.replace(
            BASE.crafter, utility_weight=weight, rate=rate, micro_batch=batch
        )
        return dataclasses.replace(
            BASE, crafter=crafter, latent_eavesdropper=0.0, amortised_eavesdropper=1.0
        )

    return settings


def _with_critics(
    *values: float, rate: float = BASE.crafter.rate, limit: float | None = None
) -> Scale:
    """Of Crafter with a critic for each batch, which costs the same for many as for few."""
    settings = _crafted(rate=rate, batch=PUBLISHED_BATCH)
    return Scale("utility_weight", values, settings, limit=limit, batch=PUBLISHED_BATCH)


SCALES: dict[str, Scale] = {
    "none": Scale("", (1.0,), lambda value: BASE),
    "noise": Scale("deviation", (2.0, 1.0, 0.5), _with("deviation", float), limit=0.01),
    "substitution": Scale("neighbours", (16.0, 4.0, 1.0), _with("neighbours", int), whole=True),
    "transport": Scale("", (1.0,), lambda value: BASE, batch=1000),
    "projection": Scale(
        "components", (16.0, 64.0, 128.0), _with("components", int), limit=1000.0, whole=True
    ),
    "crafter": Scale(
        "utility_weight", (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0), _crafted(), limit=1000.0
    ),
    "crafter_simulated": _with_critics(10.0, 100.0, limit=1e5),
    "crafter_published": _with_critics(1.0, 10.0, 100.0, limit=1e5),
    "crafter_z": _with_critics(2.0, 20.0, 200.0, rate=0.02),
}


def parse_defences(text: str) -> tuple[Point, ...]:
    """The points of `none,noise:1,crafter:0.1:10`: names with their values, or all the usual ones.

    A trained defence is followed by the files of its weights instead: `disco:a.safetensors`.

    Raises:
        InputError: a name is unknown or repeated, or a value is no number that the defence takes.
    """
    found: dict[str, tuple[Point, ...]] = {}
    for item in text.split(","):
        name, *values = (part.strip() for part in item.split(":"))
        if name in found:
            raise InputError(f"--defences names '{name}' twice; give all its values at once.")
        if name in TRAINED:
            found[name] = tuple(_trained(name, values))
            continue
        if name not in SCALES:
            raise InputError(
                f"--defences: there is no defence '{name}' to evaluate; choose from "
                f"{', '.join((*SCALES, *TRAINED))}."
            )
        found[name] = tuple(_points(name, values))
    return tuple(point for points in found.values() for point in points)


def parse_defence(text: str) -> Point:
    """The point of `crafter`, at its usual setting, of `crafter:0.1` or of `disco:FILE`.

    Raises:
        InputError: as of `parse_defences`, or several values are given.
    """
    name, *values = (part.strip() for part in text.split(":"))
    if name in SCALES and not values:
        return Point(name, "", 0.0, BASE, SCALES[name].batch)
    point, *others = parse_defences(text)
    if others:
        raise InputError(f"--defence {text} has several settings; give one.")
    return point


def _trained(name: str, files: list[str]) -> Iterable[Point]:
    """A point for each file, at the value that it was trained with."""
    if not files:
        raise InputError(
            f"--defences: '{name}' is trained; give the file of its weights, {name}:FILE."
        )
    values = set()
    for file in files:
        shape = read_shape(Path(file), name)
        parameter = "ratio" if name == DISCO_RANDOM else "privacy_weight"
        value = float(getattr(shape, parameter))
        if value in values:
            raise InputError(
                f"--defences: {file} has the {parameter} {value:g} of another file; give one."
            )
        values.add(value)
        yield Point(name, parameter, value, BASE, weights=str(Path(file).resolve()))


def _points(name: str, values: list[str]) -> Iterable[Point]:
    scale = SCALES[name]
    if values and not scale.parameter:
        raise InputError(
            f"--defences: '{name}' has no setting, but a value is given; leave it out."
        )
    found = dict[str, Point]()
    for value in values or scale.values:
        try:
            number = float(value)
            if not (math.isfinite(number) and number >= 0) or (scale.whole and number % 1):
                raise ValueError
            point = scale.point(name, number)
        except ValueError as error:
            kind = "a whole number" if scale.whole else "a number"
            raise InputError(
                f"--defences: {scale.parameter} of '{name}' cannot be '{value}'; give {kind} "
                "from 0."
            ) from error
        if point.name in found:
            raise InputError(f"--defences: {point.name} is given twice; give each value once.")
        found[point.name] = point
    return found.values()


def every_defence(*, foreign: bool = False) -> str:
    """The names of all defences that a grid can hold, as `--defences` takes them.

    Args:
        foreign: whether features are others than the shipped networks learnt.
    """
    return ",".join(name for name in (FOR_ANY_ENCODER if foreign else NAMES) if name in SCALES)
