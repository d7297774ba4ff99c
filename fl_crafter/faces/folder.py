"""Any folder with one sub-folder of photographs per person, without labels or roles."""

from pathlib import Path

from fl_crafter.faces.listing import Listing, Photo, reader
from fl_crafter.faces.photo import list_people, require_root
from fl_crafter.faces.splits import SplitRule


def list_folder(root: Path | None) -> Listing:
    """List a folder of photographs, to be split by a seed into private and public people.

    There are no attributes: their shape is `[count, 0]`. People are numbered from 0 in the order
    of their folders' names. Unless a number is given, everyone with two photographs or more is
    private, or half of the people if that is everybody.

    Args:
        root: the folder around the people's folders.

    Raises:
        InputError: a folder is empty.
    """
    root = require_root(root, holds="one sub-folder per person")
    photos = [
        Photo(path, person=person, identity=number)
        for number, (person, own) in enumerate(list_people(root).items())
        for path in own
    ]
    return Listing("folder", root, photos, (), None, SplitRule())


read = reader(list_folder)
