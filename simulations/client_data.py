"""What one client owns and knows: its photographs, the encoder, the public pool, its defence.

Everything is kept per process, since Ray hands several clients and rounds to one worker.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from safetensors.torch import load_file
from torch import Tensor, nn

from fl_crafter.assets import asset_hash, load_encoder, load_generator
from fl_crafter.chunks import in_chunks
from fl_crafter.defences.base import Defence
from fl_crafter.defences.configured import DefenceSettings, build_defence
from fl_crafter.defences.configured_target import simulated_observer
from fl_crafter.defences.gate import ReleaseGate
from fl_crafter.errors import InputError
from fl_crafter.faces.listing import Limits, chosen_photos, load_faces
from fl_crafter.faces.open import list_dataset
from fl_crafter.faces.record import Faces, Role
from fl_crafter.faces.splits import partition_people
from fl_crafter.files import file_hash
from fl_crafter.models.split import SplitModel, feature_shape
from fl_crafter.randomness import derived_random
from fl_crafter.tensor_files import write_safetensors
from fl_crafter.transcript import Purpose
from simulations.config import SimulationConfig

BATCH = 64


@dataclass(frozen=True)
class DatasetChoice:
    """What identifies a dataset as read, and so what the positions in a truth ledger refer to."""

    name: str
    root: str
    size: int
    people: int
    photos_per_person: int
    public: int
    seed: int

    @staticmethod
    def of(config: SimulationConfig) -> "DatasetChoice":
        """The dataset of a run."""
        return DatasetChoice(
            name=config.dataset,
            root=config.data_root,
            size=config.image_size,
            people=config.people,
            photos_per_person=config.photos_per_person,
            public=config.public_images,
            seed=config.seed,
        )

    def limits(self) -> Limits:
        """How much of the dataset is read."""
        return Limits(
            people=self.people or None,
            photos_per_person=self.photos_per_person or None,
            public=self.public or None,
            seed=self.seed,
        )


def faces(config: SimulationConfig) -> Faces:
    """The whole dataset, which every process of a simulation reads; a real client owns a part."""
    return _faces(DatasetChoice.of(config))


@lru_cache(maxsize=2)  # a deployed client has photographs of its own beside the public ones
def _faces(choice: DatasetChoice) -> Faces:
    listing = list_dataset(choice.name, Path(choice.root) if choice.root else None)
    return load_faces(listing, size=choice.size, limits=choice.limits())


@lru_cache(maxsize=2)
def _paths(choice: DatasetChoice) -> list[Path]:
    listing = list_dataset(choice.name, Path(choice.root) if choice.root else None)
    return [photo.path for photo in chosen_photos(listing, limits=choice.limits())]


def digests(config: SimulationConfig, index: Int64[Tensor, " count"]) -> list[str]:
    """SHA-256 of the files of these photographs, by their positions in `faces`."""
    paths = _paths(DatasetChoice.of(config))
    return [file_hash(paths[place]) for place in index.tolist()]


@lru_cache(maxsize=1)
def model(weights: str) -> SplitModel:
    """The pretrained encoder and cloud model, frozen."""
    return load_encoder(Path(weights) if weights else None)


@lru_cache(maxsize=4)
def _partition(config: SimulationConfig) -> list[list[int]]:
    """Positions in the dataset of each client's private photographs, whole people each."""
    everybody = faces(config)
    private = [i for i, role in enumerate(everybody.role) if role != Role.PUBLIC]
    parts = partition_people(everybody.select(private), config.clients, config.seed)
    return [[private[i] for i in part] for part in parts]


def share(
    config: SimulationConfig, *, client: int, round: int, purpose: Purpose
) -> Int64[Tensor, " count"]:
    """Positions in the dataset of the photographs that a client shares in one message.

    Training photographs are dealt to the rounds, each to one; evaluation photographs go together,
    except in a deployment, where they are dealt as well.
    The order is shuffled by the run's seed, so that a row's position tells nothing to whoever does
    not know that.

    Raises:
        InputError: there are fewer photographs than rounds, or more than one message may hold.
    """
    role = Role.EVAL_TRAIN if purpose == Purpose.TRAIN else Role.EVAL_TEST
    everybody = faces(config)
    own = [i for i in _partition(config)[client] if everybody.role[i] == role]
    random = derived_random(config.seed, "share", client, int(purpose))
    shuffled = torch.tensor(own, dtype=torch.int64)[torch.randperm(len(own), generator=random)]
    if purpose == Purpose.TRAIN or config.scenario == "deployment":
        if len(own) < config.rounds:
            kind = "training" if purpose == Purpose.TRAIN else "evaluation"
            raise InputError(
                f"client {client} has {len(own)} {kind} photographs for {config.rounds} rounds; "
                "take fewer rounds or clients."
            )
        shuffled = shuffled.tensor_split(config.rounds)[round - 1]
    if len(shuffled) > config.quota:
        raise InputError(
            f"client {client} has {len(shuffled)} photographs for round {round}; raise the quota."
        )
    return shuffled


@lru_cache(maxsize=2)
def encoder_hash(weights: str) -> str:
    """SHA-256 of the encoder's file; client and server must mean the same encoder."""
    return asset_hash("encoder", Path(weights) if weights else None)


def encode(
    encoder: nn.Module, image: Float[Tensor, "count 3 height width"], *, device: str = "cpu"
) -> Float[Tensor, "count channels rows columns"]:
    """Clean features of images in [0, 1], on the CPU."""
    encoder = encoder.to(device)
    return in_chunks(lambda part: encoder(part.to(device)).cpu(), image, BATCH)


def remembered(
    config: SimulationConfig, name: str, make: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """What `make` gives, from a file in the cache folder where an earlier process wrote one.

    Args:
        config: of the run; what is remembered must depend on its public part only.
        name: of what is remembered.
        make: makes tensors by name.
    """
    if not config.cache:
        return make()
    weights = Path(config.weights) if config.weights else None
    assets = [asset_hash(asset, weights) for asset in ("encoder", "generator")]
    training = [(k, v) for k, v in config.run_config().items() if k.startswith(("cloud-", "class"))]
    content = DatasetChoice.of(config), config.generated_images, config.attributes, assets, training
    digest = hashlib.sha256(repr(content).encode()).hexdigest()
    path = Path(config.cache) / f"{name}-{digest[:16]}.safetensors"
    if not path.is_file():
        write_safetensors(path, make())
    return load_file(path)


@lru_cache(maxsize=1)
def _public_pool(
    choice: DatasetChoice, generated: int, weights: str, device: str
) -> dict[str, Tensor]:
    """Features of the public pool, photographs and drawn faces, and the `person` that each shows.

    Raises:
        InputError: there is neither.
    """
    public = _faces(choice).with_role(Role.PUBLIC)
    encoder = model(weights).encoder
    parts, person = [], public.identity
    if len(public):
        parts.append(encode(encoder, public.image, device=device))
    if generated:
        generator = load_generator(Path(weights) if weights else None)
        drawn = generator.sample(generated, random=derived_random(choice.seed, "generated"))
        parts.append(encode(encoder, drawn, device=device))
        nobody = -1 - torch.arange(generated)  # each another one
        person = torch.cat([person, nobody])
    if not parts:
        raise InputError(f"{choice.name} has no public photographs; raise generated-images.")
    return {"feature": torch.cat(parts), "person": person}


@lru_cache(maxsize=2)
def defence(config: SimulationConfig) -> Defence:
    """The defence that the configuration names, with the public knowledge that it needs."""
    network = model(config.weights)
    if config.defence == "none":
        shape = feature_shape(network.encoder, config.image_size)
        pool = {"feature": torch.empty(0, *shape), "person": torch.empty(0, dtype=torch.int64)}
    else:
        choice, generated = DatasetChoice.of(config), config.generated_images
        pool = remembered(
            config,
            "public-pool",
            lambda: _public_pool(choice, generated, config.weights, config.device),
        )
    folder = Path(config.weights) if config.weights else None
    encoder, public = network.encoder.to(config.device), pool["feature"].to(config.device)
    try:
        chosen = build_defence(
            config.defence,
            encoder=encoder,
            cloud=network.cloud.to(config.device),
            public_feature=public,
            settings=DefenceSettings.from_config(dataclasses.asdict(config)),
            weights=folder,
        )
        if not config.release_false_match or config.defence == "none":
            return chosen
        unseen = simulated_observer(
            encoder,
            public,
            person=pool["person"],
            false_match=config.release_false_match,
            random=derived_random(config.seed, "gate"),
            weights=folder,
        )
        return ReleaseGate(chosen, unseen=unseen)
    except ValueError as error:  # a setting that the data at hand do not allow
        raise InputError(f"defence {config.defence}: {error}.") from error
