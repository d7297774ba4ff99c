"""Read and write weights: safetensors in half precision, with the architecture in the metadata."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from fl_crafter.errors import InputError
from fl_crafter.files import file_hash
from fl_crafter.models.amortiser import Amortiser
from fl_crafter.models.decoder import ConvolutionalDecoder
from fl_crafter.models.generator import Generator, GeneratorShape
from fl_crafter.models.resnet import resnet18_split
from fl_crafter.models.split import SplitModel, freeze
from fl_crafter.tensor_files import read_metadata, write_safetensors

DIRECTORY = Path(__file__).parent


def save_asset(
    directory: Path, name: str, module: nn.Module, *, architecture: Mapping[str, Any]
) -> Path:
    """Write a module's weights as `<name>.safetensors`, floating point ones in half precision.

    Args:
        directory: where to write; made if missing.
        name: of the asset.
        module: whose weights to write.
        architecture: JSON-compatible arguments that rebuild the module.
    """
    tensors = {
        key: value.half() if value.is_floating_point() else value
        for key, value in module.state_dict().items()
    }
    path = directory / f"{name}.safetensors"
    write_safetensors(path, tensors, metadata={"architecture": json.dumps(dict(architecture))})
    return path


def _path(name: str, directory: Path | None) -> Path:
    return (directory or DIRECTORY) / f"{name}.safetensors"


def _require(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"There are no weights at {path}; train them with 'fl-crafter train'.")


def _load(
    name: str, directory: Path | None, build: Callable[[dict[str, Any]], nn.Module]
) -> nn.Module:
    return read_module(_path(name, directory), name, build)


def read_module(path: Path, name: str, build: Callable[[dict[str, Any]], nn.Module]) -> nn.Module:
    """A frozen module from the file that holds its weights and its architecture.

    Args:
        path: of the file.
        name: of what it holds, for the message.
        build: architecture -> module.

    Raises:
        InputError: the file is missing, cut short, or holds something else.
    """
    _require(path)
    try:
        module = build(json.loads(read_metadata(path)["architecture"]))
        tensors = {
            key: value.float() if value.is_floating_point() else value
            for key, value in load_file(path).items()
        }
        module.load_state_dict(tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} holds no weights of the {name}, or only a part; train them with "
            "'fl-crafter train'."
        ) from error
    return freeze(module)


def asset_hash(name: str, directory: Path | None = None) -> str:
    """SHA-256 of an asset's file, in hexadecimal."""
    path = _path(name, directory)
    _require(path)
    return file_hash(path)


def split_module(model: SplitModel) -> nn.ModuleDict:
    """Both parts of a split model as one module, for storing."""
    return nn.ModuleDict({"encoder": model.encoder, "cloud": model.cloud})


def _build_split(architecture: dict[str, Any]) -> nn.ModuleDict:
    return split_module(resnet18_split(**{k: _tuple(v) for k, v in architecture.items()}))


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def load_encoder(directory: Path | None = None) -> SplitModel:
    """The encoder and its cloud model, frozen: 64x64 images -> 64x16x16 -> 40 CelebA attributes."""
    module = _load("encoder", directory, _build_split)
    return SplitModel(module["encoder"], module["cloud"])  # type: ignore[index]


def load_generator(directory: Path | None = None) -> Generator:
    """The generator of public faces, frozen: latents drawn from N(0, I) -> 64x64 images."""

    def build(architecture: dict[str, Any]) -> Generator:
        return Generator(GeneratorShape(**{k: _tuple(v) for k, v in architecture.items()}))

    return _load("generator", directory, build)  # type: ignore[return-value]


def load_amortiser(directory: Path | None = None) -> Amortiser:
    """The amortiser of the shipped encoder and generator, frozen: features -> latents."""

    def build(architecture: dict[str, Any]) -> Amortiser:
        return Amortiser(**{k: _tuple(v) for k, v in architecture.items()})

    return _load("amortiser", directory, build)  # type: ignore[return-value]


def load_decoder(name: str = "decoder", directory: Path | None = None) -> ConvolutionalDecoder:
    """A decoder of the shipped encoder's features, frozen.

    Args:
        name: `decoder`, which defences may simulate, or `eavesdropper_decoder`, of another
            architecture and seed, which only attacks use.
        directory: where the weights are; the package's own by default.
    """

    def build(architecture: dict[str, Any]) -> ConvolutionalDecoder:
        return ConvolutionalDecoder(**{k: _tuple(v) for k, v in architecture.items()})

    return _load(name, directory, build)  # type: ignore[return-value]
