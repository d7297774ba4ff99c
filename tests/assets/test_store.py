"""Weights go out and come back the same but for half precision, with the network's shape."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from fl_crafter.assets.store import (
    asset_hash,
    load_amortiser,
    load_decoder,
    load_encoder,
    load_generator,
    save_asset,
    split_module,
)
from fl_crafter.errors import InputError
from fl_crafter.models.amortiser import Amortiser
from fl_crafter.models.decoder import ConvolutionalDecoder
from fl_crafter.models.generator import Generator, GeneratorShape
from fl_crafter.models.resnet import resnet18_split
from fl_crafter.tensor_files import read_metadata, write_safetensors

SPLIT = {"attributes": 5, "widths": [4, 6, 8, 8], "strides": [2, 1, 1], "dropout": 0.1}
SHAPE = GeneratorShape(6, (8, 4), 8, 5)
DECODER = {"channels": 4, "widths": [8, 6, 4], "blocks": 2, "shuffle": True}


def tuples(arguments: dict[str, object]) -> dict[str, object]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}


def save_encoder(folder: Path) -> tuple[nn.Module, nn.Module]:
    model = resnet18_split(**tuples(SPLIT))  # type: ignore[arg-type]
    with torch.no_grad():  # statistics worth storing
        model.logits(torch.rand(8, 3, 32, 32))
    save_asset(folder, "encoder", split_module(model), architecture=SPLIT)
    loaded = load_encoder(folder)
    return split_module(model), split_module(loaded)


def save_generator(folder: Path) -> tuple[nn.Module, nn.Module]:
    generator = Generator(SHAPE)
    save_asset(folder, "generator", generator, architecture=dataclasses.asdict(SHAPE))
    loaded = load_generator(folder)
    assert loaded.shape == SHAPE and loaded.latent_size == 6
    return generator, loaded


def save_amortiser(folder: Path) -> tuple[nn.Module, nn.Module]:
    architecture = {"latent_size": 6, "feature_shape": [4, 8, 8], "widths": [4, 4, 4, 4]}
    amortiser = Amortiser(**tuples(architecture))  # type: ignore[arg-type]
    save_asset(folder, "amortiser", amortiser, architecture=architecture)
    return amortiser, load_amortiser(folder)


def save_decoder(folder: Path) -> tuple[nn.Module, nn.Module]:
    decoder = ConvolutionalDecoder(**tuples(DECODER))  # type: ignore[arg-type]
    save_asset(folder, "eavesdropper_decoder", decoder, architecture=DECODER)
    return decoder, load_decoder("eavesdropper_decoder", folder)


@pytest.mark.parametrize("save", [save_encoder, save_generator, save_amortiser, save_decoder])
def test_round_trip(save: Callable[[Path], tuple[nn.Module, nn.Module]], tmp_path: Path) -> None:
    saved, loaded = save(tmp_path)
    assert [type(each) for each in saved.modules()] == [type(each) for each in loaded.modules()]
    found = loaded.state_dict()
    for key, value in saved.state_dict().items():
        wanted = value.half().float() if value.is_floating_point() else value
        assert torch.equal(found[key], wanted) and found[key].dtype == value.dtype, key
    for part in loaded.children():
        assert not part.training
    assert not any(weight.requires_grad for weight in loaded.parameters())


def test_the_hash_is_the_files(tmp_path: Path) -> None:
    save_decoder(tmp_path)
    first = asset_hash("eavesdropper_decoder", tmp_path)
    content = (tmp_path / "eavesdropper_decoder.safetensors").read_bytes()
    assert first == hashlib.sha256(content).hexdigest()
    save_decoder(tmp_path)  # freshly initialised: other weights
    assert asset_hash("eavesdropper_decoder", tmp_path) != first


LOADERS = {
    "encoder": load_encoder,
    "generator": load_generator,
    "amortiser": load_amortiser,
    "decoder": lambda folder: load_decoder("decoder", folder),
}


@pytest.mark.parametrize("name", LOADERS)
def test_absent_weights_are_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        LOADERS[name](tmp_path)
    assert str(tmp_path / f"{name}.safetensors") in str(caught.value)
    assert "fl-crafter train" in str(caught.value)


@pytest.mark.parametrize("harm", ["cut", "text", "unmarked", "other", "narrow"])
def test_broken_weights_are_named(harm: str, tmp_path: Path) -> None:
    save_generator(tmp_path)
    path = tmp_path / "generator.safetensors"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif harm == "text":
        path.write_text("no weights at all")
    elif harm == "unmarked":
        write_safetensors(path, Generator(SHAPE).state_dict())
    elif harm == "other":
        save_asset(tmp_path, "generator", nn.Linear(2, 2), architecture={"latent_size": 2})
    else:
        narrow = dataclasses.replace(SHAPE, widths=(6, 4))
        save_asset(tmp_path, "generator", Generator(narrow), architecture=dataclasses.asdict(SHAPE))
    with pytest.raises(InputError) as caught:
        load_generator(tmp_path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and message.endswith("'.")


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    save_decoder(tmp_path)
    metadata = read_metadata(tmp_path / "eavesdropper_decoder.safetensors")
    assert '"widths": [8, 6, 4]' in metadata["architecture"]
