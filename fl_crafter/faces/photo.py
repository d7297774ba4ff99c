"""Find photographs in a folder and decode them, wholly or not at all."""

from pathlib import Path

from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from fl_crafter.errors import InputError
from fl_crafter.faces.preprocess import to_image

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}


def read_photo(path: Path, *, crop: int | None, size: int) -> Float[Tensor, "3 size size"]:
    """Decode one photograph, turn it upright, crop and resize it.

    Args:
        path: an image file with 8 bits per channel that Pillow reads.
        crop: side of the central square in pixels; None for the photograph's shorter side.
        size: side of the result in pixels.

    Returns:
        Image `[3, size, size]` in [0, 1].

    Raises:
        InputError: the file is missing, broken or truncated, or has more than 8 bits.
    """
    try:
        with Image.open(path) as opened:
            opened.load()  # decodes every pixel; a truncated file fails here
            photo = ImageOps.exif_transpose(opened)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; put the photograph back") from None
    except UnidentifiedImageError:
        raise InputError(
            f"{path} is not an image that can be read; replace the file or remove it"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error).removeprefix(str(path)) or type(error).__name__
        raise InputError(
            f"{path} cannot be decoded ({reason}); replace the file or remove it"
        ) from None
    if photo.mode not in _EIGHT_BIT_MODES:
        raise InputError(f"{path} has pixels of mode {photo.mode}; save it with 8 bits per channel")
    if "transparency" in photo.info:
        photo = photo.convert("RGBA")
    return to_image(photo, crop=min(photo.size) if crop is None else crop, size=size)


def list_photos(folder: Path) -> list[Path]:
    """The image files of a folder, by name; hidden files and other kinds are passed over."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def list_people(root: Path) -> dict[str, list[Path]]:
    """Photographs of each person, for a folder with one sub-folder per person.

    Raises:
        InputError: there is no sub-folder, or one without photographs.
    """
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise InputError(f"{root} has no sub-folders; give a folder with one sub-folder per person")
    people = {folder.name: list_photos(folder) for folder in folders}
    for name, photos in people.items():
        if not photos:
            raise InputError(f"{root / name} holds no photographs; add some or remove the folder")
    return people


def require_root(root: Path | None, *, holds: str) -> Path:
    """The folder that the user gave, if it is one.

    Args:
        root: what the user gave.
        holds: what the dataset's folder has inside, for the message.

    Raises:
        InputError: no folder was given, or it does not exist.
    """
    if root is None:
        raise InputError(f"root is missing; give the folder that holds {holds}")
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give the folder that holds {holds}")
    return root


def find_root(root: Path | None, *, holds: str, inner: str) -> Path:
    """The dataset's folder: the one that the user gave or, inside it, the one named `inner`.

    Args:
        root: what the user gave.
        holds: a file or folder that the dataset's folder must have.
        inner: the name that the dataset's archive gives its folder.

    Raises:
        InputError: neither folder holds it.
    """
    root = require_root(root, holds=holds)
    for candidate in (root, root / inner):
        if (candidate / holds).exists():
            return candidate
    raise InputError(f"{root} holds no {holds}; give the folder that does")
