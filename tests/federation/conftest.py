"""A small world: invented photographs in ORL's layout, an untrained encoder, fake defences."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fl_crafter.assets.store import save_asset, split_module
from fl_crafter.models.resnet import resnet18_split
from simulations.config import SimulationConfig

SIZE = 32
ARCHITECTURE = {"attributes": 40, "widths": [8, 8, 16, 16]}


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained encoder whose features are 8x8x8."""
    torch.manual_seed(0)
    model = resnet18_split(attributes=40, widths=(8, 8, 16, 16))
    folder = tmp_path_factory.mktemp("weights")
    save_asset(folder, "encoder", split_module(model), architecture=ARCHITECTURE)
    return folder


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 people, 10 photographs each, in ORL's layout; nobody is on them."""
    folder = tmp_path_factory.mktemp("photographs")
    draw = np.random.default_rng(0)
    for person in range(1, 41):
        folder.joinpath(f"s{person}").mkdir()
        face = draw.integers(0, 256, (7, 6), dtype=np.uint8)
        for photo in range(1, 11):
            noisy = (face // 2 + draw.integers(0, 128, face.shape)).astype(np.uint8)
            image = Image.fromarray(noisy).resize((92, 112))
            image.save(folder / f"s{person}" / f"{photo}.pgm")
    return folder


@pytest.fixture
def make_config(weights: Path, photographs: Path) -> Callable[..., SimulationConfig]:
    """A configuration of the small world; keyword arguments change it."""

    def make(**changes: object) -> SimulationConfig:
        settings: dict[str, object] = {
            "dataset": "orl",
            "data_root": str(photographs),
            "image_size": SIZE,
            "weights": str(weights),
            "defence": "none",
            "clients": 4,
            "rounds": 2,
            "cloud_epochs": 2,
            "threads": 0,
        }
        return SimulationConfig(**{**settings, **changes})  # type: ignore[arg-type]

    return make
