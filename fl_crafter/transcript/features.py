"""Features of any system: a transcript, a safetensors file, or a folder of them."""

from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fl_crafter.errors import InputError
from fl_crafter.tensor_files import read_metadata
from fl_crafter.transcript.record import FORMAT, Transcript

SUFFIX = ".safetensors"
NAMES = ("feature", "features")


def read_features(path: Path) -> Float[Tensor, "count channels rows columns"]:
    """All features in a transcript, a file or a folder, in the order of rows and of sorted names.

    A file that is no transcript holds them as `feature` or `features`, or as its only tensor:
    `[count, channels, rows, columns]`, or `[channels, rows, columns]` for one.

    Raises:
        InputError: the path does not exist, a file is of another format, holds no features or some
            that are not finite, or shapes are mixed.
    """
    if path.is_dir():
        files = sorted(path.glob(f"*{SUFFIX}"))
        if not files:
            raise InputError(f"{path} holds no {SUFFIX} file; name a folder of features.")
    elif path.is_file():
        files = [path]
    else:
        raise InputError(f"{path} does not exist; name a transcript or a folder of features.")
    parts = [_read(file) for file in files]
    for file, part in zip(files, parts, strict=True):
        if part.shape[1:] != parts[0].shape[1:]:
            raise InputError(
                f"{file} holds features of shape {list(part.shape[1:])} but {files[0]} those of "
                f"shape {list(parts[0].shape[1:])}; attack one shape at a time."
            )
    feature = torch.cat(parts)
    if not len(feature):
        raise InputError(f"{path} holds 0 features; record some rows first.")
    return feature


def _read(path: Path) -> Tensor:
    try:
        metadata, tensors = read_metadata(path), load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(
            f"{path} is no safetensors file or was cut short; record it again or convert it."
        ) from error
    if metadata.get("format") == FORMAT:
        return Transcript.load(path).feature
    named = [tensors[name] for name in NAMES if name in tensors]
    if not named and len(tensors) == 1:
        named = list(tensors.values())
    if len(named) != 1:
        held = ", ".join(sorted(tensors)) or "nothing"
        raise InputError(f"{path} holds {held}; store features under the name 'feature'.")
    feature = named[0]
    if feature.ndim == 3:
        feature = feature[None]
    if feature.ndim != 4 or not feature.is_floating_point():
        raise InputError(
            f"{path} holds a {str(feature.dtype).removeprefix('torch.')} tensor of shape "
            f"{list(named[0].shape)}; "
            "features are [count, channels, rows, columns] of floating point."
        )
    feature = feature.float()
    if not bool(feature.isfinite().all()):
        raise InputError(f"{path} holds values that are not finite; record it again.")
    return feature
