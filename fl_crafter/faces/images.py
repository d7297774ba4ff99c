"""Images as a user has them: a tensor, Pillow images, or a folder of photographs."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from fl_crafter.errors import InputError
from fl_crafter.faces.photo import SUFFIXES, list_photos, read_photo
from fl_crafter.faces.preprocess import to_image

Images = Tensor | Image.Image | str | Path | Sequence[Image.Image | str | Path]
"""What `read_images` takes."""


def read_images(
    images: Images, *, size: int | None = None
) -> Float[Tensor, "count 3 height width"]:
    """Images in [0, 1], from whatever holds them.

    Args:
        images: a tensor `[count, 3, height, width]` (or one image `[3, height, width]`) of floats
            in [0, 1] or of bytes; a Pillow image; the path of a photograph or of a folder of them,
            with or without sub-folders; or a list of Pillow images and paths.
        size: side in pixels that photographs are cropped to, centrally, and resized. A tensor is
            taken as it is, and must have this side where one is given.

    Raises:
        InputError: there is no image, one cannot be read, or values are outside [0, 1].
    """
    if isinstance(images, Tensor):
        return _checked(images, size)
    if size is None:
        raise InputError("size is missing; say the side of the encoder's images in pixels.")
    if isinstance(images, str | Path):
        listed: Sequence[Image.Image | str | Path] = find_photos(Path(images))
    else:
        listed = [images] if isinstance(images, Image.Image) else images
    if not len(listed):
        raise InputError("images is empty; give one or more.")
    return torch.stack([_read(each, size) for each in listed])


def find_photos(path: Path) -> list[Path]:
    """The photographs of a folder and its sub-folders, by sorted path; or the one that it names.

    Raises:
        InputError: there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path} does not exist; give a photograph or a folder of them")
    folders = [path, *(each for each in path.rglob("*") if each.is_dir())]
    found = [photo for folder in folders for photo in list_photos(folder)]
    visible = _visible(path, found)
    if not visible:
        raise InputError(
            f"{path} holds no photographs ({', '.join(SUFFIXES)}); give the folder that does, or "
            "convert them"
        )
    return visible


def other_files(path: Path) -> list[Path]:
    """The files that `find_photos` passes over, but for hidden ones, by sorted path."""
    if not path.is_dir():
        return []
    files = _visible(path, [each for each in path.rglob("*") if each.is_file()])
    photographs = set(find_photos(path))
    return [each for each in files if each not in photographs]


def _visible(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Those of a folder's files that neither are hidden nor lie in a hidden folder, sorted."""
    inside = sorted(each.relative_to(folder) for each in files)
    return [folder / each for each in inside if not any(p.startswith(".") for p in each.parts)]


def check_photos(paths: Sequence[Path], *, size: int) -> None:
    """Read every photograph once, to find a broken one before hours of work on the others.

    Args:
        paths: of photographs.
        size: as of `read_images`.

    Raises:
        InputError: one cannot be read.
    """
    for path in paths:
        _read(path, size)


def _read(image: Image.Image | str | Path, size: int) -> Tensor:
    if isinstance(image, Image.Image):
        return to_image(image, crop=min(image.size), size=size)
    return read_photo(Path(image), crop=None, size=size)


def _checked(image: Tensor, size: int | None) -> Tensor:
    image = image[None] if image.ndim == 3 else image
    if image.ndim != 4 or image.shape[1] != 3 or not len(image):
        raise InputError(
            f"images has shape {list(image.shape)}; give [count, 3, height, width], one or more."
        )
    if size is not None and image.shape[2:] != (size, size):
        raise InputError(
            f"images are {image.shape[2]} x {image.shape[3]} pixels, but the encoder takes "
            f"{size} x {size}; crop and resize them."
        )
    if image.dtype == torch.uint8:
        return image.float() / 255
    if not image.is_floating_point():
        raise InputError(f"images are {image.dtype}; give floats in [0, 1], or bytes.")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # nan is neither
        raise InputError(
            f"images have values from {low:.3g} to {high:.3g}; give [0, 1], without normalisation: "
            "that is the encoder's part."
        )
    return image.float()
