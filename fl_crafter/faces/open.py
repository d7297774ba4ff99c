"""Open any dataset by its name."""

from collections.abc import Callable
from pathlib import Path

from fl_crafter.errors import InputError
from fl_crafter.faces import celeba, folder, lfw, orl, vggface2
from fl_crafter.faces.listing import Limits, Listing, load_faces
from fl_crafter.faces.record import Faces

_LISTINGS: dict[str, Callable[[Path | None], Listing]] = {
    "orl": orl.list_orl,
    "celeba": celeba.list_celeba,
    "lfw": lfw.list_lfw,
    "vggface2": vggface2.list_vggface2,
    "wild112": vggface2.list_wild112,
    "folder": folder.list_folder,
}
DATASETS = tuple(_LISTINGS)
SIZES = {"orl": 64, "celeba": 64, "lfw": 128, "vggface2": 112, "wild112": 112, "folder": 64}
"""Side of each dataset's images in pixels, as the paper has them."""


def open_faces(
    name: str,
    root: Path | None = None,
    *,
    size: int | None = 64,
    people: int | None = None,
    photos_per_person: int | None = None,
    public: int | None = None,
    seed: int = 0,
    split: str | None = None,
) -> Faces:
    """Read the dataset of this name.

    Args:
        name: one of `DATASETS`.
        root: the dataset's folder; only `orl` needs none.
        size: side of the images in pixels; None for the dataset's own of `SIZES`.
        people: number of private people; None for the dataset's usual number.
        photos_per_person: at most so many photographs of each private person.
        public: at most so many public photographs.
        seed: chooses among them, and makes the split where the dataset has none.
        split: name of a split to make by seed in place of the dataset's, of
            `fl_crafter.faces.splits.SPLITS`.

    Raises:
        InputError: the name is unknown, or the dataset is not as it should be.
    """
    limits = Limits(people, photos_per_person, public, seed, split)
    listing = list_dataset(name, root)
    return load_faces(listing, size=SIZES[name] if size is None else size, limits=limits)


def list_dataset(name: str, root: Path | None = None) -> Listing:
    """What the dataset of this name lists; nothing is decoded.

    Raises:
        InputError: the name is unknown, or the dataset is not as it should be.
    """
    if name not in _LISTINGS:
        raise InputError(f"dataset {name!r} is unknown; use one of {', '.join(DATASETS)}")
    return _LISTINGS[name](root)
