"""The weights in the package: small enough, finite, and of networks that fit each other."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fl_crafter import assets
from fl_crafter.assets import load_amortiser, load_decoder, load_encoder, load_generator
from fl_crafter.models.split import feature_shape

FOLDER = Path(assets.__file__).parent
NAMES = ("encoder", "generator", "amortiser", "decoder", "eavesdropper_decoder")


def drawn(count: int) -> Tensor:
    return load_generator().sample(count, random=torch.Generator().manual_seed(0))


def test_all_are_there_and_nothing_else() -> None:
    assert {path.stem for path in FOLDER.glob("*.safetensors")} == set(NAMES)


def test_together_they_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 25e6


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_finite_and_in_half_precision(name: str) -> None:
    tensors = load_file(FOLDER / f"{name}.safetensors")
    assert tensors
    for key, value in tensors.items():
        assert bool(torch.isfinite(value).all()), key
        assert value.dtype == torch.float16 or not value.is_floating_point(), key


@torch.no_grad()
def test_the_generator_draws_different_images() -> None:
    image = drawn(16)
    assert image.shape == (16, 3, 64, 64)
    assert float(image.min()) >= 0 and float(image.max()) <= 1
    assert 0.2 < float(image.mean()) < 0.8 and float(image.std()) > 0.1
    distance = torch.cdist(image.flatten(1), image.flatten(1)) / image[0].numel() ** 0.5
    assert float(distance[~torch.eye(16, dtype=torch.bool)].min()) > 0.05


@torch.no_grad()
def test_the_encoder_tells_drawn_faces_apart() -> None:
    model = load_encoder()
    assert feature_shape(model.encoder, 64) == (64, 16, 16)
    logits = model.logits(drawn(64))
    assert logits.shape == (64, 40)
    share = (logits > 0).float().mean(0)
    # some attributes are on about half of the faces, such as male and smiling
    assert int(((share > 0.2) & (share < 0.8)).sum()) >= 5


@pytest.mark.parametrize("name", ["decoder", "eavesdropper_decoder"])
@torch.no_grad()
def test_decoders_rebuild_drawn_faces(name: str) -> None:
    image = drawn(16)
    rebuilt = load_decoder(name)(load_encoder().encoder(image))
    error = (rebuilt - image).square().mean()
    spread = (image - image.mean(0)).square().mean()
    assert float(error) < 0.2 * float(spread), "little better than the mean face"


@torch.no_grad()
def test_the_amortiser_finds_drawn_faces() -> None:
    generator, encoder = load_generator(), load_encoder().encoder
    feature = encoder(drawn(32))
    guess = encoder(generator(load_amortiser()(feature)))
    error = (guess - feature).square().mean()
    spread = (feature - feature.mean(0)).square().mean()
    assert float(error) < 0.5 * float(spread)


@pytest.mark.parametrize(
    "load", [load_encoder, load_generator, load_amortiser, load_decoder], ids=lambda f: f.__name__
)
def test_shipped_networks_are_frozen(load: Callable[[], object]) -> None:
    network = load()
    assert not any(weight.requires_grad for weight in network.parameters())  # type: ignore[attr-defined]
