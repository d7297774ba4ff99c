"""The transcript: all that crossed the wire, and so all that an eavesdropper holds."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fl_crafter.errors import InputError
from fl_crafter.tensor_files import read_metadata, write_safetensors

FORMAT = "fl-crafter transcript"
VERSION = "1"


class Purpose(IntEnum):
    """What a client shares a feature for."""

    TRAIN = 0
    EVALUATION = 1


@dataclass(frozen=True)
class Transcript:
    """Features and labels as they were sent, one row per photograph; images and names never are.

    Attributes:
        feature: `[count, channels, rows, columns]`, protected by whatever the clients use.
        labels: `[count, attributes]`, 0 or 1, nan where a client shared none.
        client: partition number of the sender, from 0.
        round: round of the federation, from 1.
        purpose: see `Purpose`.
        row: position within its message, from 0.
    """

    feature: Float[Tensor, "count channels rows columns"]
    labels: Float[Tensor, "count attributes"]
    client: Int64[Tensor, " count"]
    round: Int64[Tensor, " count"]
    purpose: Int64[Tensor, " count"]
    row: Int64[Tensor, " count"]

    def __post_init__(self) -> None:
        if self.feature.ndim != 4 or self.labels.ndim != 2:
            raise ValueError("feature must have four dimensions and labels two")
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"the fields of a transcript differ in length: {lengths}")

    def __len__(self) -> int:
        return len(self.feature)

    def select(self, index: Tensor | Sequence[int]) -> "Transcript":
        """The rows at these positions, or where a boolean mask is true."""
        chosen = torch.as_tensor(index)
        if chosen.dtype != torch.bool:
            chosen = chosen.long()
        return Transcript(
            **{field.name: getattr(self, field.name)[chosen] for field in fields(self)}
        )

    def of_purpose(self, purpose: Purpose) -> "Transcript":
        """The rows that were shared for one purpose."""
        return self.select(self.purpose == int(purpose))

    def save(self, path: Path) -> None:
        """Write one safetensors file, through a temporary file beside it."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        write_safetensors(path, tensors, metadata={"format": FORMAT, "version": VERSION})

    @staticmethod
    def load(path: Path) -> "Transcript":
        """Read and check a file that `save` wrote.

        Raises:
            InputError: there is no such file, or it holds no transcript.
        """
        if not path.is_file():
            raise InputError(f"transcript {path} does not exist; run a simulation that writes it.")
        try:
            metadata, tensors = read_metadata(path), load_file(path)
        except (SafetensorError, ValueError, OSError) as error:
            raise InputError(
                f"transcript {path} is no safetensors file or was cut short; record it again."
            ) from error
        if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
            raise InputError(
                f"{path} holds no {FORMAT} of version {VERSION}; name one that a simulation wrote."
            )
        reason = _fault(tensors)
        if reason:
            raise InputError(f"transcript {path}: {reason}; record it again.")
        return Transcript(**tensors)


def _fault(tensors: dict[str, Tensor]) -> str | None:
    """What is wrong with the tensors of a transcript file, or None."""
    names = {field.name for field in fields(Transcript)}
    if set(tensors) != names:
        odd = sorted(names.symmetric_difference(tensors))
        return f"fields {', '.join(odd)} are missing or unknown"
    for name, dimensions in (("feature", 4), ("labels", 2)):
        if tensors[name].ndim != dimensions or not tensors[name].is_floating_point():
            return f"{name} must be floating point with {dimensions} dimensions"
    for name in ("client", "round", "purpose", "row"):
        if tensors[name].ndim != 1 or tensors[name].dtype != torch.int64:
            return f"{name} must be one int64 per row"
    if len({len(tensor) for tensor in tensors.values()}) != 1:
        return "its fields differ in length"
    if not torch.isfinite(tensors["feature"]).all():
        return "feature holds values that are not finite"
    if not torch.isin(tensors["purpose"], torch.tensor([int(kind) for kind in Purpose])).all():
        return "purpose must be 0 (train) or 1 (evaluation)"
    return None


def concatenate(parts: Sequence[Transcript]) -> Transcript:
    """One transcript of all the parts' rows, in order.

    Raises:
        ValueError: there is no part, or their features or labels differ in shape.
    """
    if not parts:
        raise ValueError("a transcript needs at least one part")
    shapes = {(tuple(part.feature.shape[1:]), part.labels.shape[1]) for part in parts}
    if len(shapes) != 1:
        raise ValueError(f"the parts differ in the shape of features or labels: {sorted(shapes)}")
    return Transcript(
        **{
            field.name: torch.cat([getattr(part, field.name) for part in parts])
            for field in fields(Transcript)
        }
    )
