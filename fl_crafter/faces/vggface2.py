"""VGGFace2's layout: `nNNNNNN/*.jpg`, perhaps in `train/` and `test/`, with hair colours.

Labels come from the first of these files that the folder has:

- `labels.csv`, with the columns image (`n000001/0001_01.jpg`), identity, hair_colour (one of
  `COLOURS`, or empty where it is unknown) and perhaps role. It lists exactly the photographs that
  are there.
- `MAAD_Face.csv`, published for VGGFace2 (Terhoerst et al., 2021): Filename and a column of -1, 0
  and 1 for each attribute. It may list more photographs and fewer; a colour counts where it is the
  only one marked 1.

Without either there are no attributes. Without roles people are split by a seed. The attributes are
the five colours, one of them 1, or all nan.
"""

import csv
import re
from functools import partial
from pathlib import Path

from fl_crafter.errors import InputError
from fl_crafter.faces.listing import Listing, Photo, reader
from fl_crafter.faces.photo import list_people, require_root
from fl_crafter.faces.splits import SPLITS
from fl_crafter.faces.table import Row, check_match, parse_role, read_table

COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Bald")
LABELS, MAAD = "labels.csv", "MAAD_Face.csv"
_PARTS = ("train", "test")
_RULE = SPLITS["crafter_vggface2"]
_UNKNOWN = (float("nan"),) * len(COLOURS)


def list_vggface2(root: Path | None, *, name: str = "vggface2") -> Listing:
    """List a dataset in VGGFace2's layout.

    Args:
        root: the folder that holds the people's folders, or `train` and `test`, or the one around
            it if that is called `name`.
        name: the dataset, as it is called in tables.

    Raises:
        InputError: a file, column or row is missing, repeated or broken.
    """
    root = require_root(root, holds="n000001 and its like, or train and test")
    if (root / name).is_dir():
        root = root / name
    parts = [root / part for part in _PARTS if (root / part).is_dir()] or [root]
    paths = {
        f"{person}/{path.name}": path
        for part in parts
        for person, own in list_people(part).items()
        for path in own
    }
    for path in paths.values():
        if not re.fullmatch(r"n\d{6}", path.parent.name):
            raise InputError(f"{path.parent} is not named like n000001; rename the folder")
    names = COLOURS
    if (root / LABELS).exists():
        table = root / LABELS
        rows = read_table(table, columns=("identity", "hair_colour"))
        check_match(paths, rows, folder=root, table=table)
        photos = [_photo(path, rows[i], where=f"{table} {i}") for i, path in paths.items()]
    elif (root / MAAD).exists():
        colour = _read_maad(root / MAAD, wanted=set(paths))
        photos = [_plain(path, colour.get(image, _UNKNOWN)) for image, path in paths.items()]
    else:
        names = ()
        photos = [_plain(path, ()) for path in paths.values()]
    return Listing(name, root, photos, names, None, _RULE)


list_wild112 = partial(list_vggface2, name="wild112")  # the same layout, other photographs
read = reader(list_vggface2)


def _plain(path: Path, attributes: tuple[float, ...]) -> Photo:
    person = path.parent.name
    return Photo(path, person, int(person[1:]), attributes)


def _photo(path: Path, row: Row, *, where: str) -> Photo:
    person, colour = path.parent.name, row["hair_colour"]
    if row["identity"] != person:
        raise InputError(
            f"{where} has identity {row['identity']}, but the photograph lies in {person}; "
            "correct the row"
        )
    if colour not in ("", *COLOURS):
        raise InputError(f"{where} has hair_colour {colour!r}; use {', '.join(COLOURS)} or nothing")
    return Photo(
        path,
        person=person,
        identity=int(person[1:]),
        attributes=tuple(float(colour == each) for each in COLOURS) if colour else _UNKNOWN,
        role=parse_role(row["role"], where=where) if "role" in row else None,
    )


def _read_maad(path: Path, *, wanted: set[str]) -> dict[str, tuple[float, ...]]:
    """The hair colour of each wanted photograph with exactly one, row by row: it is large."""
    found = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        for column in ("Filename", *COLOURS):
            if header.count(column) != 1:
                raise InputError(
                    f"{path} has {header.count(column)} columns named {column!r}; fetch it again"
                )
        image = header.index("Filename")
        places = [header.index(colour) for colour in COLOURS]
        for row in rows:
            if len(row) != len(header):
                raise InputError(
                    f"{path} line {rows.line_num} has {len(row)} values for {len(header)} columns; "
                    "fetch it again"
                )
            marked = tuple(float(row[place].strip() == "1") for place in places)
            if row[image] in wanted and sum(marked) == 1:
                found[row[image]] = marked
    return found
