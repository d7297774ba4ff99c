"""The figures of a run, as `summary.json` holds them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fl_crafter.errors import InputError
from fl_crafter.files import write_text

WORST_CASE = "worst_case"
NO_DEFENCE = "none"
CRAFTER = "crafter"

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Cosine = Annotated[float, Field(ge=-1.001, le=1.001, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Record(BaseModel):
    """Figures that nobody changes, all of them known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Chance(Record):
    """What guessing gets."""

    top1: Share
    top5: Share


class ChanceOfRates(Chance):
    """The same with verification.

    Attributes:
        tar_far_1e2: share accepted where 1% of wrong claims are; None in results from before it was
            measured.
        tar_far_1e3: the same at 0.1%.
    """

    tar_far_1e2: Share | None = None
    tar_far_1e3: Share | None = None


class Identification(Record):
    """How often the evaluator names the right person, closed set.

    Attributes:
        top1: share of the test photographs whose person it names.
        top5: share whose person is among its first five.
        interval: of `top1`, 95%, over people.
        interval_top5: of `top5`.
        chance: what the same rule gets when the truth is permuted among the photographs.
    """

    top1: Share
    top5: Share
    interval: tuple[Share, Share]
    interval_top5: tuple[Share, Share]
    chance: Chance


class Crafting(Record):
    """What the clients' defence reported of itself.

    Attributes:
        uploads: number of messages.
        status: number of messages that ended so.
        figures: means over the protected photographs.
    """

    uploads: int = 0
    status: dict[str, int] = Field(default_factory=dict)
    figures: dict[str, Finite] = Field(default_factory=dict)


class DefenceRecord(Record):
    """One defence: its utility, and what each attack got out of it.

    Attributes:
        utility_auc: mean area under the ROC curve over the attributes that could be judged.
        utility_interval: of `utility_auc`, 95%, over people.
        attribute_auc: by attribute.
        skipped_attributes: attributes of which only one class was at hand.
        identification: by attack, and `worst_case`: a photograph counts if any attack names its
            person.
        feature_similarity: by attack, mean cosine of the evaluator's embeddings of the raw
            photograph and its reconstruction.
        feature_similarity_floor: by attack, the same with photographs of other people.
        ssim: by attack, mean structural similarity of raw photograph and reconstruction.
        epsilon_pii: estimate of how far an attack's pictures of a person are from its pictures of
            others, of the attack with the largest, or None.
        epsilon_pii_interval: of `epsilon_pii`, 95%, over people; the critics are given.
        crafting: what the clients reported.
        photographs: number of test photographs that were judged.
        unreliable: why a figure may mislead, one sentence each.
    """

    utility_auc: Share
    utility_interval: tuple[Share, Share]
    attribute_auc: dict[str, Share] = Field(default_factory=dict)
    skipped_attributes: tuple[str, ...] = ()
    identification: dict[str, Identification]
    feature_similarity: dict[str, Cosine]
    feature_similarity_floor: dict[str, Cosine] = Field(default_factory=dict)
    ssim: dict[str, Cosine]
    epsilon_pii: Finite | None = None
    epsilon_pii_interval: tuple[Finite, Finite] | None = None
    crafting: Crafting = Field(default_factory=Crafting)
    photographs: int = 0
    unreliable: tuple[str, ...] = ()

    @property
    def worst_case(self) -> Identification:
        """Identification by whichever attack does it."""
        return self.identification[WORST_CASE]

    def better_attack(self) -> str:
        """The single attack that names the most."""
        single = {name: i.top1 for name, i in self.identification.items() if name != WORST_CASE}
        return max(single, key=single.__getitem__)

    @property
    def better_identification(self) -> Identification:
        """What that attack names."""
        return self.identification[self.better_attack()]


class Summary(Record):
    """A whole run: how it was set up, and the figures of every defence.

    Attributes:
        dataset: as tables call it.
        clients: number of clients.
        rounds: number of rounds.
        seed: of everything random.
        device: on which it ran.
        versions: of Python and the packages that matter.
        timings: seconds by part of the run.
        chance: of guessing once among the people.
        attacks: names, in the order of the tables.
        defences: by name, in the order of the tables.
        people: number of private people.
        evaluator: name of the judge.
        raw: identification of the raw photographs, the most that any attack could reach.
        command: that started the run.
        settings: what else decides the figures, above all the attacks' budgets.
        credit: to whom the photographs are owed.
        unreliable: why figures may mislead, one sentence each.
    """

    dataset: str
    clients: int
    rounds: int
    seed: int
    device: str
    versions: dict[str, str]
    timings: dict[str, Seconds]
    chance: Chance
    attacks: tuple[str, ...]
    defences: dict[str, DefenceRecord]
    people: int = 0
    evaluator: str = ""
    raw: Identification | None = None
    command: str = ""
    settings: dict[str, str | int | float | bool] = Field(default_factory=dict)
    credit: str = ""
    unreliable: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _same_attacks(self) -> "Summary":
        for name, defence in self.defences.items():
            parts: tuple[tuple[str, Mapping[str, Any], set[str]], ...] = (
                ("identification", defence.identification, {*self.attacks, WORST_CASE}),
                ("feature_similarity", defence.feature_similarity, set(self.attacks)),
                ("ssim", defence.ssim, set(self.attacks)),
            )
            for part, figures, wanted in parts:
                if set(figures) != wanted:
                    raise ValueError(f"{part} of {name} must name {', '.join(sorted(wanted))}")
        return self


def write_summary(summary: Summary, path: Path) -> None:
    """Write `summary.json` through a temporary file."""
    write_text(path, summary.model_dump_json(indent=2) + "\n")


def read_summary(path: Path) -> Summary:
    """Read and check a `summary.json`.

    Raises:
        InputError: there is no such file, or a field is missing, unknown or out of range.
    """
    return read_record(Summary, path, wanted="the summary.json of a run")


Kind = TypeVar("Kind", bound=Record)


def read_record(kind: type[Kind], path: Path, *, wanted: str) -> Kind:
    """Read and check a JSON file of figures.

    Args:
        kind: of the figures.
        path: of the file.
        wanted: what the file should be, for the error message.

    Raises:
        InputError: there is no such file, or a field is missing, unknown or out of range.
    """
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read; name {wanted}.") from error
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise InputError(
            f"{path}: {field}: {fault['msg']}; name {wanted} of this version."
        ) from error
