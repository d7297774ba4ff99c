"""VGGFace2's layout: `nNNNNNN/*.jpg` with `labels.csv`; the label is the hair colour.

`labels.csv` has the columns image (`n000001/0001_01.jpg`), identity, hair_colour (one of `COLOURS`,
or empty where it is unknown) and perhaps role. Without roles people are split by a seed. The
attributes are the five colours, one of them 1, or all nan.
"""

import re
from pathlib import Path

from fl_crafter.errors import InputError
from fl_crafter.faces.listing import Limits, Photo, load_faces
from fl_crafter.faces.photo import find_root, list_people
from fl_crafter.faces.record import Faces
from fl_crafter.faces.splits import SplitRule
from fl_crafter.faces.table import Row, check_match, parse_role, read_table

COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Bald")
_RULE = SplitRule(private=1000, minimum_photos=10, test_share=0.2)


def read(
    root: Path | None,
    *,
    size: int = 64,
    people: int | None = None,
    photos_per_person: int | None = None,
    public: int | None = None,
    seed: int = 0,
    name: str = "vggface2",
) -> Faces:
    """Read a dataset in VGGFace2's layout, or a part of it.

    Args:
        root: the folder that holds `labels.csv`, or the one around it if that is called `name`.
        size: side of the images in pixels.
        people: number of private people to read; None for all.
        photos_per_person: at most so many photographs of each private person.
        public: at most so many public photographs.
        seed: chooses among them, and makes the split where `labels.csv` has no roles.
        name: the dataset, as it is called in tables.

    Raises:
        InputError: a file, column, row or photograph is missing, repeated or broken.
    """
    limits = Limits(people, photos_per_person, public, seed)
    root = find_root(root, holds="labels.csv", inner=name)
    table = root / "labels.csv"
    rows = read_table(table, columns=("identity", "hair_colour"))
    paths = {
        f"{person}/{path.name}": path for person, own in list_people(root).items() for path in own
    }
    check_match(paths, rows, folder=root, table=table)
    photos = [_photo(path, rows[image], where=f"{table} {image}") for image, path in paths.items()]
    return load_faces(
        name,
        root,
        photos,
        attribute_names=COLOURS,
        crop=None,
        size=size,
        limits=limits,
        rule=_RULE,
    )


def _photo(path: Path, row: Row, *, where: str) -> Photo:
    person, colour = path.parent.name, row["hair_colour"]
    if not re.fullmatch(r"n\d{6}", person):
        raise InputError(f"{path.parent} is not named like n000001; rename the folder")
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
        attributes=tuple(float(colour == each) if colour else float("nan") for each in COLOURS),
        role=parse_role(row["role"], where=where) if "role" in row else None,
    )
