"""Open any dataset by its name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from fl_crafter.errors import InputError
from fl_crafter.faces import celeba, folder, lfw, orl, vggface2
from fl_crafter.faces.record import Faces

_READERS: dict[str, Callable[..., Faces]] = {
    "orl": orl.read,
    "celeba": celeba.read,
    "lfw": lfw.read,
    "vggface2": vggface2.read,
    "wild112": partial(vggface2.read, name="wild112"),  # the same layout, other photographs
    "folder": folder.read,
}
DATASETS = tuple(_READERS)


def open_faces(
    name: str,
    root: Path | None = None,
    *,
    size: int = 64,
    people: int | None = None,
    photos_per_person: int | None = None,
    public: int | None = None,
    seed: int = 0,
) -> Faces:
    """Read the dataset of this name.

    Args:
        name: one of `DATASETS`.
        root: the dataset's folder; only `orl` needs none.
        size: side of the images in pixels.
        people: number of private people; None for the dataset's usual number.
        photos_per_person: at most so many photographs of each private person.
        public: at most so many public photographs.
        seed: chooses among them, and makes the split where the dataset has none.

    Raises:
        InputError: the name is unknown, or the dataset is not as it should be.
    """
    if name not in _READERS:
        raise InputError(f"dataset {name!r} is unknown; use one of {', '.join(DATASETS)}")
    return _READERS[name](
        root,
        size=size,
        people=people,
        photos_per_person=photos_per_person,
        public=public,
        seed=seed,
    )
