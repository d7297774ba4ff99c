"""Weights of the trained defences, which bring an encoder and a cloud model of their own."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn

from fl_crafter.assets.store import read_module
from fl_crafter.errors import InputError
from fl_crafter.models.decoder import ConvolutionalDecoder
from fl_crafter.models.pruner import ChannelPruner
from fl_crafter.models.resnet import resnet18_split
from fl_crafter.models.split import SplitModel
from fl_crafter.tensor_files import read_metadata, write_safetensors

ADVLEARN, DISCO, DISCO_RANDOM, TIPRDC = "advlearn", "disco", "disco_random", "tiprdc"
TRAINED: tuple[str, ...] = (ADVLEARN, DISCO, DISCO_RANDOM, TIPRDC)
DECODER_WIDTHS = (64, 32, 16)


@dataclass(frozen=True)
class TrainedShape:
    """What rebuilds the networks of a trained defence.

    Attributes:
        defence: one of `TRAINED`.
        attributes: outputs of the cloud model.
        widths: channels of the split model's layers.
        strides: of its layer2 to layer4.
        privacy_weight: that it was trained with: the paper's lambda or alpha.
        ratio: of pruned channels; Disco's.
        image_size: side of the photographs that it was trained on.
    """

    defence: str
    attributes: int
    widths: tuple[int, int, int, int]
    strides: tuple[int, int, int]
    privacy_weight: float
    ratio: float = 0.0
    image_size: int = 64

    def build(self) -> "TrainedParts":
        """The networks, with random weights."""
        model = resnet18_split(attributes=self.attributes, widths=self.widths, strides=self.strides)
        plays = self.defence != TIPRDC
        return TrainedParts(
            self,
            model,
            decoder=ConvolutionalDecoder(self.widths[0], widths=DECODER_WIDTHS) if plays else None,
            pruner=ChannelPruner(self.widths, self.strides) if self.defence == DISCO else None,
        )


@dataclass(frozen=True)
class TrainedParts:
    """The networks of a trained defence.

    Attributes:
        shape: what they were built from.
        model: encoder and cloud model, in place of the victim's.
        decoder: the eavesdropper that it was trained against, where that is a decoder.
        pruner: Disco's, unless its channels are drawn.
    """

    shape: TrainedShape
    model: SplitModel
    decoder: ConvolutionalDecoder | None
    pruner: ChannelPruner | None

    def module(self) -> nn.ModuleDict:
        """All of them as one, for storing."""
        parts = {"encoder": self.model.encoder, "cloud": self.model.cloud}
        parts |= {"decoder": self.decoder} if self.decoder else {}
        return nn.ModuleDict(parts | ({"pruner": self.pruner} if self.pruner else {}))

    def save(self, path: Path) -> None:
        """Write them as one safetensors file, in single precision: nothing bounds what they are."""
        architecture = json.dumps(dataclasses.asdict(self.shape))
        write_safetensors(path, self.module().state_dict(), metadata={"architecture": architecture})


def read_shape(path: Path, defence: str) -> TrainedShape:
    """What a trained defence's file says of it, without its weights.

    Raises:
        InputError: the file is missing or broken, or is of another defence.
    """
    if not path.is_file():
        raise InputError(f"There are no weights at {path}; train them with 'fl-crafter train'.")
    try:
        return _shape(json.loads(read_metadata(path)["architecture"]), defence)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} holds no weights of {defence}; train them with 'fl-crafter train'."
        ) from error


def _shape(architecture: dict[str, Any], defence: str) -> TrainedShape:
    for key in ("widths", "strides"):
        architecture[key] = tuple(architecture[key])
    shape = TrainedShape(**architecture)
    if shape.defence != defence:
        raise ValueError(f"it is of {shape.defence}")
    return shape


def load_trained(path: Path, defence: str) -> TrainedParts:
    """The networks of a trained defence, frozen.

    Args:
        path: what `fl-crafter train` wrote.
        defence: which of `TRAINED` it must be.

    Raises:
        InputError: the file is missing or broken, or is of another defence.
    """
    parts: list[TrainedParts] = []

    def build(architecture: dict[str, Any]) -> nn.Module:
        parts.append(_shape(architecture, defence).build())
        return parts[0].module()

    read_module(path, defence, build)
    return parts[0]
