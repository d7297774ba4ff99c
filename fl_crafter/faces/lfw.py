"""Labeled Faces in the Wild, 250 x 250 pixels, in either of two layouts.

- With labels: `images/NAME/NAME_0001.jpg`, `roles.csv` (image, identity, role) and `attributes.csv`
  (image and binary columns, of which the paper's ten are read). Private photographs must have
  attributes; those of public photographs may be unknown.
- Plain, as LFW is published: `NAME/NAME_0001.jpg`. People are split by a seed: 38 people (the
  paper's number) with at least 20 photographs are private. With the published scores beside them,
  `lfw_attributes.txt` (Kumar et al., 2009), an attribute is present where its score is positive;
  without, there are none.
"""

from pathlib import Path

from fl_crafter.errors import InputError
from fl_crafter.faces.listing import Listing, Photo, reader
from fl_crafter.faces.photo import list_people, require_root
from fl_crafter.faces.record import Role
from fl_crafter.faces.splits import SPLITS
from fl_crafter.faces.table import (
    add_once,
    and_more,
    check_match,
    parse_binary,
    parse_role,
    read_lines,
    read_table,
)

CROP = 148
ATTRIBUTES = (
    "Male",
    "Asian",
    "White",
    "Middle Aged",
    "Black Hair",
    "Eyeglasses",
    "Mustache",
    "Smiling",
    "Chubby",
    "Curly Hair",
)
SCORES = "lfw_attributes.txt"
_RULE = SPLITS["crafter_lfw"]


def list_lfw(root: Path | None) -> Listing:
    """List LFW.

    Args:
        root: the folder that holds `images` or one sub-folder per person, or the one around it if
            that is `lfw`.

    Raises:
        InputError: a file, column or row is missing, repeated or broken.
    """
    root = require_root(root, holds="images or one sub-folder per person")
    if (root / "lfw").is_dir():
        root = root / "lfw"
    labelled = (root / "images").is_dir()
    people_of = list_people(root / "images" if labelled else root)
    paths = {path.name: path for own in people_of.values() for path in own}
    for image, path in paths.items():
        if image.rpartition("_")[0] != path.parent.name:
            raise InputError(f"{path} is not named {path.parent.name}_NUMBER.jpg; rename it")
    roles = _read_roles(root, paths) if labelled else {}
    scores = root / SCORES
    attributes = _read_attributes(root, roles) if labelled else {}
    if not labelled and scores.exists():
        attributes = _read_scores(scores)
    names = ATTRIBUTES if labelled or attributes else ()
    number = {person: place for place, person in enumerate(people_of)}
    unknown = (float("nan"),) * len(names)
    photos = [
        Photo(
            path,
            person=path.parent.name,
            identity=number[path.parent.name],
            attributes=attributes.get(image, unknown),
            role=roles.get(image),
        )
        for image, path in paths.items()
    ]
    return Listing("lfw", root, photos, names, CROP, _RULE)


read = reader(list_lfw)


def _read_roles(root: Path, paths: dict[str, Path]) -> dict[str, Role]:
    table = root / "roles.csv"
    rows = read_table(table, columns=("identity", "role"))
    check_match(paths, rows, folder=root / "images", table=table)
    for image, row in rows.items():
        if row["identity"] != paths[image].parent.name:
            raise InputError(
                f"{table} gives {image} to {row['identity']}, but it lies in the folder of "
                f"{paths[image].parent.name}; correct the row"
            )
    return {image: parse_role(row["role"], where=f"{table} {image}") for image, row in rows.items()}


def _read_attributes(root: Path, roles: dict[str, Role]) -> dict[str, tuple[float, ...]]:
    table = root / "attributes.csv"
    rows = read_table(table, columns=ATTRIBUTES)
    absent = sorted(set(rows).difference(roles))
    if absent:
        raise InputError(
            f"{table} has a row for {absent[0]}{and_more(absent)}, which is not in "
            f"{root / 'images'}; add the photograph or remove the row"
        )
    unlabelled = [i for i, role in sorted(roles.items()) if role != Role.PUBLIC and i not in rows]
    if unlabelled:
        raise InputError(
            f"{unlabelled[0]}{and_more(unlabelled)} is private, but has no row in {table}; "
            "add the row or remove the photograph"
        )
    return {
        image: tuple(parse_binary(row[a], where=f"{table} {image} {a}") for a in ATTRIBUTES)
        for image, row in rows.items()
    }


def _read_scores(path: Path) -> dict[str, tuple[float, ...]]:
    """The ten attributes of each image, from scores whose sign says whether they are present.

    Lines are separated by tabs; the one that names the columns, person and imagenum first, begins
    with "#".
    """
    lines = read_lines(path)
    header = next((line for line in lines if "\timagenum\t" in line), "")
    columns = [name.strip() for name in header.lstrip("#").strip().split("\t")]
    for name in ("person", "imagenum", *ATTRIBUTES):
        if columns.count(name) != 1:
            raise InputError(
                f"{path} has {columns.count(name)} columns named {name!r}; fetch it again"
            )
    places = [columns.index(name) for name in ATTRIBUTES]
    person, number = columns.index("person"), columns.index("imagenum")
    attributes: dict[str, tuple[float, ...]] = {}
    for line_number, line in enumerate(lines, start=1):
        if line.startswith("#") or not line.strip():
            continue
        values = line.split("\t")
        where = f"{path} line {line_number}"
        try:
            image = f"{values[person].replace(' ', '_')}_{int(values[number]):04d}.jpg"
            present = tuple(float(float(values[place]) > 0) for place in places)
        except (ValueError, IndexError):
            raise InputError(f"{where} is not a row of its columns; fetch it again") from None
        add_once(attributes, image, present, where=where)
    return attributes
