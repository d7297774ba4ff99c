"""Labeled Faces in the Wild, 250 x 250 pixels, in either of two layouts.

- With labels: `images/NAME/NAME_0001.jpg`, `roles.csv` (image, identity, role) and `attributes.csv`
  (image and binary columns, of which the paper's ten are read). Private photographs must have
  attributes; those of public photographs may be unknown.
- Plain, as LFW is published: `NAME/NAME_0001.jpg`. There are no attributes, and people are split by
  a seed: 38 people (the paper's number) with at least 20 photographs are private.
"""

from pathlib import Path

from fl_crafter.errors import InputError
from fl_crafter.faces.listing import Limits, Photo, load_faces
from fl_crafter.faces.photo import list_people, require_root
from fl_crafter.faces.record import Faces, Role
from fl_crafter.faces.splits import SplitRule
from fl_crafter.faces.table import and_more, check_match, parse_binary, parse_role, read_table

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
_RULE = SplitRule(private=38, minimum_photos=20, test_share=0.2)


def read(
    root: Path | None,
    *,
    size: int = 64,
    people: int | None = None,
    photos_per_person: int | None = None,
    public: int | None = None,
    seed: int = 0,
) -> Faces:
    """Read LFW, or a part of it.

    Args:
        root: the folder that holds `images` or one sub-folder per person, or the one around it if
            that is `lfw`.
        size: side of the images in pixels.
        people: number of private people to read; None for all.
        photos_per_person: at most so many photographs of each private person.
        public: at most so many public photographs.
        seed: chooses among them, and makes the split of the plain layout.

    Raises:
        InputError: a file, column, row or photograph is missing, repeated or broken.
    """
    limits = Limits(people, photos_per_person, public, seed)
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
    attributes = _read_attributes(root, roles) if labelled else {}
    names = ATTRIBUTES if labelled else ()
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
    return load_faces(
        "lfw",
        root,
        photos,
        attribute_names=names,
        crop=CROP,
        size=size,
        limits=limits,
        rule=_RULE,
    )


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
