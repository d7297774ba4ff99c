"""One frozen configuration for a whole run; the same keys in TOML and in Flower's run config."""

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fl_crafter.defences.configured import NAMES
from fl_crafter.errors import InputError

Value = bool | int | float | str


MACHINE = ("output", "state", "cache", "timeout", "wave", "device", "client_cpus", "client_gpus")
"""Settings, beside `threads`, of the machine and not of what is computed."""


def _setting(default: Any, **limits: Any) -> Any:
    """A field with limits: `low`, `high` (both allowed), `above` (not allowed) and `choices`."""
    return dataclasses.field(default=default, metadata=limits)


@dataclass(frozen=True)
class SimulationConfig:
    """All choices of a run. In TOML the names are written with hyphens: `cloud-batch-size = 32`.

    Attributes:
        scenario: `development` trains the cloud model on shared features; `deployment` answers them
            with the predictions of a cloud model trained beforehand.
        dataset: name of the faces, see `fl_crafter.faces.open_faces`.
        data_root: absolute path of the dataset's folder; empty for faces that come in a package.
        image_size: side of the images in pixels; the shipped weights want 64.
        people: private people to take; 0 takes the dataset's usual number.
        photos_per_person: photographs of each private person to take, at most; 0 takes all.
        public_images: public photographs to take, at most; 0 takes all. They are a defence's prior.
        generated_images: faces drawn from the shipped generator that a defence knows beside them.
        attributes: names of those that the clients share labels of, with commas between; empty
            takes all.
        label_flip: probability with which each label is flipped before it is shared (randomised
            response); 0 shares the labels as they are.
        seed: of splits, shares, shuffling, defence and training. One seed, one result.
        clients: number of clients, among whom the private people are divided.
        rounds: of the federation; each brings new photographs, shared once only.
        clients_per_round: clients drawn for a round; 0 asks all.
        minimum_replies: valid training replies without which a round fails.
        wave: requests that the server has under way at once.
        store_rows: training features that the server keeps on disk.
        replay_rows: features of earlier rounds that are gone over again each round.
        check_labels: the server leaves clients out whose labels the others' contradict.
        patience: rounds without a better utility after which training stops; 0 never stops.
        defence: one of `fl_crafter.defences.configured.NAMES`.
        utility_weight: Crafter's weight of utility against privacy (the paper's beta).
        crafting_steps: Crafter's steps on the features of one message.
        crafting_rate: Crafter's learning rate.
        start_neighbours: public features averaged to the face that `crafter` starts from.
        latent_eavesdropper: weight of the white box that `crafter_simulated` simulates; 0 leaves it
            out.
        amortised_eavesdropper: weight of the white box's amortised form, likewise.
        decoder_eavesdropper: weight of the black-box decoder, likewise.
        pixel_eavesdropper: weight of the white box over pixels, likewise.
        keep: outputs of the shipped cloud model that `crafter` keeps and the substitutions go by,
            by name (CelebA's attributes), with commas between; empty takes `attributes` on CelebA,
            and all of its outputs otherwise.
        deviation: of the noise, in units of the features' spread over public faces.
        neighbours: public features that the substitution averages.
        components: principal components of public features that the projection keeps.
        release_false_match: share of pairs of different public people that a client's release gate
            takes for one person; 0 leaves the gate out, and so does the defence `none`.
        wire_dtype: type of the features in a message.
        quota: rows that one message may hold.
        client_quota: rows that one client may send for training, in all rounds together.
        value_limit: largest absolute value in a feature that the server takes.
        norm_limit: largest root mean square of a feature that the server takes.
        timeout: seconds that the server waits for the replies of one request.
        cloud_epochs: passes, each round, over its features and those that `replay_rows` draws.
        cloud_batch_size: features per update of the cloud model.
        cloud_learning_rate: Adam's, of the layers trained before.
        cloud_head_rate: Adam's, of the last layer.
        cloud_weight_decay: L2 penalty on the cloud model's weights.
        cloud_rate_decay: both rates are multiplied by it after every round.
        class_balance: weigh the two classes of an attribute as if they were equally frequent.
        device: where clients and server compute: cpu or cuda.
        client_cpus: processors that Ray keeps for one client.
        client_gpus: share of the GPUs that Ray keeps for one client; no limit on its memory.
        threads: torch threads of a client process; 0 leaves torch's own choice.
        weights: absolute path of a folder with other weights; empty takes the shipped ones.
        output: absolute path of the run folder; empty stores nothing.
        cache: absolute path of a folder for what clients compute from public data, so that another
            process need not; empty remembers nothing.
        state: absolute path of the server's features and checkpoint, from which a run with the same
            settings goes on; empty keeps them until the run ends.
    """

    scenario: str = _setting("development", choices=("development", "deployment"))
    dataset: str = "orl"
    data_root: str = ""
    image_size: int = _setting(64, low=16, high=1024)
    people: int = _setting(0, low=0)
    photos_per_person: int = _setting(0, low=0)
    public_images: int = _setting(2000, low=0)
    generated_images: int = _setting(1000, low=0)
    attributes: str = ""
    label_flip: float = _setting(0.0, low=0.0, high=0.49)
    seed: int = _setting(0, low=0, high=2**31 - 1)
    clients: int = _setting(2, low=1, high=10_000)
    rounds: int = _setting(5, low=1, high=10_000)
    clients_per_round: int = _setting(0, low=0)
    minimum_replies: int = _setting(1, low=1)
    wave: int = _setting(64, low=1)
    store_rows: int = _setting(100_000, low=1)
    replay_rows: int = _setting(100_000, low=0)
    check_labels: bool = True
    patience: int = _setting(0, low=0)
    defence: str = _setting("crafter", choices=NAMES)
    utility_weight: float = _setting(10.0, low=0.0)
    crafting_steps: int = _setting(30, low=0)
    crafting_rate: float = _setting(0.05, above=0.0)
    start_neighbours: int = _setting(16, low=1)
    latent_eavesdropper: float = _setting(1.0, low=0.0)
    amortised_eavesdropper: float = _setting(0.0, low=0.0)
    decoder_eavesdropper: float = _setting(1.0, low=0.0)
    pixel_eavesdropper: float = _setting(0.0, low=0.0)
    keep: str = ""
    deviation: float = _setting(1.0, low=0.0)
    neighbours: int = _setting(1, low=1)
    components: int = _setting(64, low=1)
    release_false_match: float = _setting(0.0, low=0.0, high=0.5)
    wire_dtype: str = _setting("float16", choices=("float16", "float32"))
    quota: int = _setting(512, low=1)
    client_quota: int = _setting(100_000, low=1)
    value_limit: float = _setting(1000.0, above=0.0)
    norm_limit: float = _setting(100.0, above=0.0)
    timeout: float = _setting(600.0, above=0.0, high=1e6)
    cloud_epochs: int = _setting(4, low=0)
    cloud_batch_size: int = _setting(32, low=1)
    cloud_learning_rate: float = _setting(1e-4, above=0.0)
    cloud_head_rate: float = _setting(1e-3, above=0.0)
    cloud_weight_decay: float = _setting(1e-4, low=0.0)
    cloud_rate_decay: float = _setting(1.0, above=0.0, high=1.0)
    class_balance: bool = False
    device: str = _setting("cpu", choices=("cpu", "cuda"))
    client_cpus: int = _setting(1, low=1)
    client_gpus: float = _setting(0.0, low=0.0)
    threads: int = _setting(1, low=0)
    weights: str = ""
    output: str = ""
    cache: str = ""
    state: str = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        for name in ("data_root", "weights", "output", "cache", "state"):
            path = getattr(self, name)
            if path and not Path(path).is_absolute():
                raise InputError(
                    f"{_key(name)} must be an absolute path, since Flower runs the apps in another "
                    f"directory, not {path!r}."
                )

    def run_config(self) -> dict[str, Value]:
        """The flat mapping that Flower carries and `from_mapping` reads."""
        return {_key(name): value for name, value in dataclasses.asdict(self).items()}

    def lasting(self) -> "SimulationConfig":
        """Without what the same run may have otherwise when it is resumed."""
        defaults = {field.name: field.default for field in dataclasses.fields(SimulationConfig)}
        own = {name: defaults[name] for name in MACHINE}
        return dataclasses.replace(self, threads=0, **own)

    @staticmethod
    def from_mapping(values: Mapping[str, object], *, source: str) -> "SimulationConfig":
        """Check a flat mapping and freeze it; keys that are missing keep their defaults.

        Args:
            values: by hyphenated key.
            source: what the values come from, for error messages.

        Raises:
            InputError: a key is not known, or a value is of the wrong type or out of range.
        """
        fields = {_key(field.name): field for field in dataclasses.fields(SimulationConfig)}
        settings: dict[str, Any] = {}
        for key, value in values.items():
            if key not in fields:
                spelt = key.replace("_", "-")
                (nearest,) = difflib.get_close_matches(spelt, fields, n=1, cutoff=0.0)
                raise InputError(f"{source} has the unknown key {key!r}; did you mean {nearest!r}?")
            field = fields[key]
            if field.type is float and type(value) is int:
                value = float(value)
            settings[field.name] = value
        try:
            return SimulationConfig(**settings)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None

    @staticmethod
    def from_toml(path: Path) -> "SimulationConfig":
        """Read a TOML file; relative paths in it are meant from the file's own folder.

        Raises:
            InputError: the file cannot be read, is not TOML, or `from_mapping` refuses its content.
        """
        if not path.is_file():
            raise InputError(f"configuration {path} does not exist; name a TOML file.")
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not valid TOML: {error}.") from error
        for key in ("data-root", "weights", "output", "cache", "state"):
            if isinstance(values.get(key), str) and values[key]:
                values[key] = str((path.parent / Path(values[key]).expanduser()).resolve())
        return SimulationConfig.from_mapping(values, source=str(path))


def _key(name: str) -> str:
    return name.replace("_", "-")


def _check(field: "dataclasses.Field[Any]", value: object) -> None:
    key, limits = _key(field.name), field.metadata
    # bool is an int to isinstance, and no number to a user
    if type(value) is not field.type:
        kinds = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
        raise InputError(f"{key} must be {kinds[field.type]}, not {value!r}.")  # type: ignore[index]
    if "choices" in limits and value not in limits["choices"]:
        raise InputError(f"{key} must be one of {', '.join(limits['choices'])}, not {value!r}.")
    number: Any = value
    if isinstance(value, float) and value != value:
        raise InputError(f"{key} must be a number, not nan.")
    if "low" in limits and number < limits["low"]:
        raise InputError(f"{key} must be at least {limits['low']}, not {value!r}.")
    if "above" in limits and number <= limits["above"]:
        raise InputError(f"{key} must be more than {limits['above']}, not {value!r}.")
    if number == float("inf") or ("high" in limits and number > limits["high"]):
        raise InputError(f"{key} must be at most {limits.get('high', 'finite')}, not {value!r}.")
