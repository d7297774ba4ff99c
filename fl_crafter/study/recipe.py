"""Studies as files: what a TOML file says of one evaluation, and of the weights that it needs."""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fl_crafter.assets.trained import DISCO_RANDOM, TRAINED
from fl_crafter.errors import InputError
from fl_crafter.study.plan import SHIPPED_SIZE, Plan
from fl_crafter.study.points import BASE

TRAINERS = {name: name for name in TRAINED} | {DISCO_RANDOM: "disco"}
"""Which command of `fl-crafter train` makes a trained defence."""


@dataclass(frozen=True)
class Training:
    """A trained defence that a study needs.

    Attributes:
        defence: its name.
        path: file of the weights.
        options: of its training command.
    """

    defence: str
    path: Path
    options: dict[str, Any]


@dataclass(frozen=True)
class Study:
    """One evaluation.

    Attributes:
        title: what it asks, in a line.
        data: name of the dataset.
        people: see `Plan`, as those below.
        photos: of each person.
        public: photographs.
        defences: names with their values, without those that are trained here.
        budget: of the attacks.
        faces: test photographs; 0 takes all.
        suite: of attacks.
        seeds: how many.
        evaluators: the first is the main one.
        encoder: see `Plan`, as those below but the last.
        uploads: of a person.
        releases: of each.
        crafting_steps: at most.
        batch: see `Plan`.
        drawn: see `Plan`.
        size: of the photographs.
        public_data: where the public ones are from.
        appearance_only: see `Plan`.
        attributes: see `Plan`.
        train: by trained defence, the options of its training command, one table or several;
            trained where the weights are not there yet.
    """

    title: str
    data: str
    people: int
    photos: int
    public: int
    defences: tuple[str, ...]
    budget: str
    faces: int = 0
    suite: str = "standard"
    seeds: int = 1
    evaluators: tuple[str, ...] = ("sface",)
    encoder: str = ""
    uploads: int = 1
    releases: int = 1
    crafting_steps: int = BASE.crafter.steps
    batch: int = 0
    drawn: int = 0
    size: int = SHIPPED_SIZE
    public_data: str = ""
    appearance_only: bool = False
    attributes: str = ""
    train: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def trainings(self, out: Path) -> list[Training]:
        """What is trained, and where to."""
        return [
            Training(name, out / "weights" / f"{_stem(name, options)}.safetensors", options)
            for name, several in self.train.items()
            for options in several
        ]

    def plan(self, root: Path | None, out: Path, *, public_root: Path | None = None) -> Plan:
        """The grid; the weights must be there.

        Args:
            root: the dataset's folder.
            out: the study's folder.
            public_root: the folder of `public_data`.
        """
        trainings = self.trainings(out)
        trained = [
            ":".join([name, *(str(each.path) for each in trainings if each.defence == name)])
            for name in self.train
        ]
        return Plan(
            data=self.data,
            root=str(root.resolve()) if root else "",
            people=self.people,
            photos=self.photos,
            faces=self.faces,
            public=self.public,
            defences=",".join([*self.defences, *trained]),
            suite=self.suite,
            budget=self.budget,
            seeds=tuple(range(self.seeds)),
            evaluators=self.evaluators,
            encoder=self.encoder,
            uploads=self.uploads,
            releases=self.releases,
            crafting_steps=self.crafting_steps,
            batch=self.batch,
            drawn=self.drawn,
            size=self.size,
            public_data=self.public_data,
            appearance_only=self.appearance_only,
            attributes=self.attributes,
            public_root=str(public_root.resolve()) if public_root else "",
        )


def read_study(path: Path) -> Study:
    """Read a study's file.

    Raises:
        InputError: there is no such file, or a key is unknown, missing or of another kind.
    """
    if not path.is_file():
        others = sorted(each.stem for each in path.parent.glob("*.toml"))
        known = f"there are {', '.join(others)}" if others else "give its file"
        raise InputError(f"There is no study at {path}; {known}.")
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML file: {error}") from error
    kinds = {each.name: each.type for each in fields(Study)}
    unknown = sorted(set(content) - set(kinds))
    if unknown:
        raise InputError(f"{path}: {unknown[0]} is unknown; use {', '.join(kinds)}.")
    for name in ("defences", "evaluators"):
        if name in content:
            content[name] = _texts(path, name, content[name])
    if "train" in content:
        content["train"] = {
            name: _trainings(path, name, value) for name, value in content["train"].items()
        }
    for name, value in content.items():
        wanted = {int: int, str: str, bool: bool}.get(kinds[name])  # type: ignore[call-overload]
        if wanted and type(value) is not wanted:
            raise InputError(f"{path}: {name} is {value!r}; give it as {wanted.__name__}.")
    try:
        return Study(**content)
    except TypeError as error:
        lacking = [
            each
            for each in ("title", "data", "people", "photos", "public", "defences", "budget")
            if each not in content
        ]
        raise InputError(f"{path} lacks {', '.join(lacking)}; add it.") from error


def _stem(name: str, options: dict[str, Any]) -> str:
    """Of the file of weights: one defence may be trained at several values of its setting."""
    value = options.get("ratio" if name == DISCO_RANDOM else "privacy_weight")
    return name if value is None else f"{name}_{value}"


def _trainings(path: Path, name: str, value: object) -> list[dict[str, Any]]:
    several: list[Any] = value if isinstance(value, list) else [value]
    if name not in TRAINERS or not all(isinstance(options, dict) for options in several):
        raise InputError(f"{path}: train.{name} is unknown; use {', '.join(TRAINERS)}.")
    stems = [_stem(name, options) for options in several]
    if len(set(stems)) < len(stems):
        raise InputError(
            f"{path}: train.{name} is given twice at one value of its setting; remove one."
        )
    return several


def _texts(path: Path, name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InputError(f"{path}: {name} is {value!r}; give a list of texts.")
    return tuple(value)
