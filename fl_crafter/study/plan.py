"""What an evaluation measures, as one frozen value that every worker can read from a file."""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fl_crafter.assets.trained import read_shape
from fl_crafter.attacks.adaptive import AdaptiveDecoder
from fl_crafter.attacks.base import Attack
from fl_crafter.attacks.black_box import BlackBoxDecoder
from fl_crafter.attacks.suite import BUDGETS, beyond_cpu, standard
from fl_crafter.attacks.un_crafter import UnCrafter
from fl_crafter.defences.any_encoder import FOR_ANY_ENCODER
from fl_crafter.errors import InputError
from fl_crafter.evaluation.cell import ALL_PICTURES
from fl_crafter.evaluation.checks import Kinds
from fl_crafter.faces.record import Faces
from fl_crafter.files import write_text
from fl_crafter.study.points import BASE, Point, parse_defences

SHIPPED_SIZE = 64
SUITES = ("standard", "decoders", "beyond_cpu")


def fused(attack: str) -> str:
    """The name of an attack on every upload of a person whose pictures are judged together."""
    return f"{attack}_fused"


@dataclass(frozen=True)
class Plan:
    """The grid and its surroundings.

    Attributes:
        data: name of the dataset.
        root: its folder; empty where it needs none.
        people: private people, those of the gallery.
        photos: photographs of each, at most.
        faces: test photographs, at most; 0 takes all.
        public: public photographs, at most.
        defences: see `parse_defences`.
        suite: one of `SUITES`.
        budget: of the standard suite.
        seeds: of the defences' and the attacks' randomness.
        evaluators: `sface`, `dlib`, `oracle` or
            `package.module:function`; the first is the main one.
        generator: `package.module:function` of the attacks' prior; empty for the shipped one.
        encoder: `package.module:function` of the network that is cut; empty for the shipped one.
        uploads: photographs of a person that are attacked together, by the mean of their features,
            and one by one with the pictures judged together: the attacker knows that they belong
            together.
        releases: of each of these photographs, which are attacked together likewise.
        crafting_steps: most steps of Crafter and its variants.
        batch: photographs that a client protects together; 0: as many as is usual for the defence.
        drawn: faces drawn from the shipped generator that defences hold in place of public
            photographs, as `protect` does; 0: they hold photographs.
        size: side of the photographs in pixels.
        public_data: dataset that the public photographs are from; empty for `data` itself.
        public_root: its folder.
        appearance_only: whether other photographs of the people are left out, and with them
            linkability and the utility of development: half of what a defence has to protect.
        attributes: names of those that the task asks for, with commas between: no other label is
            shared, and the cloud model tells no other; empty takes all.
    """

    data: str
    root: str
    people: int
    photos: int
    faces: int
    public: int
    defences: str
    suite: str
    budget: str
    seeds: tuple[int, ...]
    evaluators: tuple[str, ...]
    generator: str = ""
    encoder: str = ""
    uploads: int = 1
    releases: int = 1
    crafting_steps: int = BASE.crafter.steps
    batch: int = 0
    drawn: int = 0
    size: int = SHIPPED_SIZE
    public_data: str = ""
    public_root: str = ""
    appearance_only: bool = False
    attributes: str = ""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("suite", self.suite, SUITES),
            ("budget", self.budget, BUDGETS),
        ):
            if value not in known:
                raise InputError(f"There is no {name} '{value}'; choose from {', '.join(known)}.")
        if min(self.uploads, self.releases) < 1:
            raise InputError("An evaluation attacks one or more uploads and releases together.")
        if self.crafting_steps < 0:
            raise InputError("An evaluation crafts in 0 or more steps.")
        if self.batch < 0:
            raise InputError(
                f"--batch is {self.batch}; give 1 or more photographs, or 0 for the usual number."
            )
        if self.drawn and self.size != SHIPPED_SIZE:
            raise InputError(
                f"--drawn takes faces of the shipped generator, which have {SHIPPED_SIZE} pixels, "
                f"and --size is {self.size}; leave one of the two out."
            )
        if self.faces == 1:
            raise InputError(
                "--faces is 1; an evaluation takes two test photographs or more, or 0 for all."
            )
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise InputError("An evaluation takes one or more seeds, each once.")
        if self.size < 32 or self.size % 16:
            raise InputError(
                f"--size is {self.size}; give a multiple of 16 from 32, such as 64, 112 or 128."
            )
        if self.public_data == self.data:
            raise InputError(
                f"--public-data {self.data} is --data itself, whose public photographs are taken "
                "anyway; leave it out or name another dataset."
            )
        if self.public_root and not self.public_data:
            raise InputError("--public-root is given alone; name its dataset with --public-data.")
        for point in self.points():
            if self.foreign and point.defence not in FOR_ANY_ENCODER:
                option = "--encoder" if self.encoder else f"--size {self.size}"
                raise InputError(
                    f"'{point.defence}' has an encoder of its own or simulates attacks on the "
                    f"shipped one; with {option} take {', '.join(FOR_ANY_ENCODER)}."
                )

    @property
    def foreign(self) -> bool:
        """Whether features are others than the shipped decoders and amortiser learnt."""
        return bool(self.encoder) or self.size != SHIPPED_SIZE

    def points(self) -> tuple[Point, ...]:
        """The defences and their settings."""
        return tuple(self.sized(point) for point in parse_defences(self.defences))

    def check_points(self, faces: Faces, *, public: int) -> None:
        """Refuse at once what a defence would refuse after other cells took hours.

        Args:
            faces: the whole dataset.
            public: faces that the defences have.

        Raises:
            InputError: a setting takes more public faces than there are, or trained weights
                are of photographs of another size or of other labels.
        """
        most = {"components": public - 1, "neighbours": public}
        for point in self.points():
            limit = most.get(point.parameter, math.inf)
            if point.value > limit:
                raise InputError(
                    f"--defences: {point.parameter} of '{point.defence}' is {point.value:g}, and "
                    f"there are {public} public faces for it; give at most {limit}."
                )
            if point.weights:
                shape = read_shape(Path(point.weights), point.defence)
                have = (shape.image_size, shape.attributes)
                want = (self.size, len(faces.attribute_names))
                if have != want:
                    raise InputError(
                        f"{point.weights} is of photographs of {have[0]} pixels with {have[1]} "
                        f"attributes, those of {self.data} have {want[0]} and {want[1]}; train "
                        f"{point.defence} on them with 'fl-crafter train'."
                    )

    def sized(self, point: Point) -> Point:
        """A point with as many crafting steps, and in batches of as many, as the plan says."""
        crafter = dataclasses.replace(point.settings.crafter, steps=self.crafting_steps)
        if self.batch:
            crafter = dataclasses.replace(crafter, micro_batch=self.batch)
        return dataclasses.replace(
            point,
            settings=dataclasses.replace(point.settings, crafter=crafter),
            batch=self.batch or point.batch,
        )

    def attacks(self) -> list[Attack]:
        """In increasing cost."""
        if self.suite == "decoders":
            return [BlackBoxDecoder(steps=100), AdaptiveDecoder(images=600, steps=150)]
        return beyond_cpu() if self.suite == "beyond_cpu" else standard(self.budget)

    def attack_settings(self) -> dict[str, str]:
        """All settings of the attacks by the name in tables, in the order of their columns."""
        settings = {attack.name: str(attack) for attack in self.attacks()}
        if self.uploads > 1:
            settings |= {fused(name): text for name, text in settings.items()}
        return settings

    def kinds(self) -> Kinds:
        """What sort the attacks are of."""
        attacks = self.attacks()
        static = [attack.name for attack in attacks if not attack.adaptive]
        return Kinds(
            white=[name for name in static if name.startswith("white_box")],
            black=[name for name in static if name.startswith("black_box")],
            adaptive=[attack.name for attack in attacks if attack.adaptive],
            decoders=[each.name for each in attacks if isinstance(each, AdaptiveDecoder)],
            un_crafters=[each.name for each in attacks if isinstance(each, UnCrafter)],
        )

    def fixed(self) -> dict[str, Any]:
        """What must be the same for cells to stand in one table."""
        own = dataclasses.asdict(self)
        for name in ("root", "public_root", "defences", "seeds"):
            del own[name]
        for each in dataclasses.fields(self):
            if each.name in own and own[each.name] == each.default:
                del own[each.name]
        return own | {
            "evaluators": list(self.evaluators),
            "attacks": [*self.attack_settings().values(), ALL_PICTURES],
        }

    def write(self, path: Path) -> None:
        """Write the plan as JSON, whole."""
        write_text(path, json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @staticmethod
    def read(path: Path) -> "Plan":
        """Read what `write` wrote.

        Raises:
            InputError: there is no such file, or it holds no plan.
        """
        try:
            known = json.loads(path.read_text("utf-8"))
            return Plan(**known | {name: tuple(known[name]) for name in ("seeds", "evaluators")})
        except (OSError, ValueError, TypeError, KeyError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} holds no plan of an evaluation; run it again.") from error
