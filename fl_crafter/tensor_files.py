"""Safetensors files, written whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fl_crafter.files import replacing


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to `path` through a temporary file, so that no half-written file is left.

    Raises:
        OSError: it cannot be written; the text names the file.
    """
    contiguous = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    try:
        with replacing(path) as temporary:
            save_file(contiguous, temporary, metadata=dict(metadata or {}))
    except SafetensorError as error:  # how safetensors reports a full disk
        raise OSError(f"{path} cannot be written: {error}") from error


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, without loading its tensors.

    Raises:
        SafetensorError: it is no such file, or was cut short.
        OSError: it cannot be read.
    """
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}
