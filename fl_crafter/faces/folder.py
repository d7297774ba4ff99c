"""Any folder with one sub-folder of photographs per person, without labels or roles."""

from pathlib import Path

from fl_crafter.faces.listing import Limits, Photo, load_faces
from fl_crafter.faces.photo import list_people, require_root
from fl_crafter.faces.record import Faces
from fl_crafter.faces.splits import SplitRule


def read(
    root: Path | None,
    *,
    size: int = 64,
    people: int | None = None,
    photos_per_person: int | None = None,
    public: int | None = None,
    seed: int = 0,
) -> Faces:
    """Read a folder of photographs, split by a seed into private and public people.

    There are no attributes: their shape is `[count, 0]`. People are numbered from 0 in the order
    of their folders' names.

    Args:
        root: the folder around the people's folders.
        size: side of the images in pixels.
        people: number of private people; unless given, everyone with two photographs or more, or
            half of the people if that is everybody. All others are public.
        photos_per_person: at most so many photographs of each private person.
        public: at most so many public photographs.
        seed: makes the split and chooses among the photographs.

    Raises:
        InputError: a folder is empty or a photograph is broken.
    """
    limits = Limits(people, photos_per_person, public, seed)
    root = require_root(root, holds="one sub-folder per person")
    photos = [
        Photo(path, person=person, identity=number)
        for number, (person, own) in enumerate(list_people(root).items())
        for path in own
    ]
    return load_faces(
        "folder",
        root,
        photos,
        attribute_names=(),
        crop=None,
        size=size,
        limits=limits,
        rule=SplitRule(),
    )
