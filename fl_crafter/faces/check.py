"""What of a dataset is in a folder, what is missing, and what will be used."""

from dataclasses import dataclass
from pathlib import Path

from fl_crafter.errors import InputError
from fl_crafter.faces import lfw, vggface2
from fl_crafter.faces.listing import Limits, Photo, chosen_photos
from fl_crafter.faces.open import SIZES, list_dataset
from fl_crafter.faces.photo import read_photo
from fl_crafter.faces.record import Role

SAMPLE = 20


@dataclass(frozen=True)
class Part:
    """A file or folder that a dataset may have.

    Attributes:
        path: below the dataset's folder.
        holds: what it is for.
        needed: without it the dataset cannot be read.
    """

    path: str
    holds: str
    needed: bool = False


PARTS: dict[str, tuple[Part, ...]] = {
    "celeba": (
        Part("img_align_celeba", "the aligned photographs", needed=True),
        Part("list_attr_celeba.txt", "40 attributes of each", needed=True),
        Part("identity_CelebA.txt", "who is on each", needed=True),
        Part("roles.csv", "who is public; without it people are split by a seed"),
    ),
    "lfw": (
        Part("images", "the photographs, where roles.csv and attributes.csv are beside them"),
        Part("roles.csv", "who is public; without it people are split by a seed"),
        Part("attributes.csv", "attributes as 0 and 1"),
        Part(lfw.SCORES, "attributes as published scores, for photographs without images/"),
    ),
    "vggface2": (
        Part("train", "people's folders; they may also be in the folder itself"),
        Part("test", "more people's folders"),
        Part(vggface2.LABELS, "hair colours, and perhaps roles"),
        Part(vggface2.MAAD, "published attributes, in place of labels.csv"),
    ),
}
PARTS["wild112"] = PARTS["vggface2"]
PARTS["folder"] = ()  # one sub-folder per person

WHOLE = {"celeba": (202_599, 10_177), "lfw": (13_233, 5_749), "vggface2": (3_311_286, 9_131)}
"""Photographs and people of the whole datasets, as published."""


@dataclass(frozen=True)
class Check:
    """What was found.

    Attributes:
        there: parts that are there.
        missing: parts that are not.
        photos: that will be used, with their roles.
        listed: photographs in the folder, used or not.
        people: on these.
        attributes: names.
        size: side in pixels that the images will have.
        split: where the roles are from.
    """

    there: tuple[Part, ...]
    missing: tuple[Part, ...]
    photos: tuple[Photo, ...]
    listed: int
    people: int
    attributes: tuple[str, ...]
    size: int
    split: str


def find_parts(name: str, root: Path) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """The parts of a dataset that are in a folder, and those that are not.

    Raises:
        InputError: the folder does not exist, or the dataset has no layout of its own.
    """
    if name not in PARTS:
        raise InputError(f"dataset {name!r} has no layout to check; use one of {', '.join(PARTS)}")
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give the folder of the unpacked dataset")
    if (root / name).is_dir():
        root = root / name
    there = tuple(part for part in PARTS[name] if (root / part.path).exists())
    return there, tuple(part for part in PARTS[name] if part not in there)


def check_dataset(name: str, root: Path, *, limits: Limits) -> Check:
    """Read all label files, give roles, and decode a sample of the photographs.

    Args:
        name: `celeba`, `lfw`, `vggface2`, `wild112` or `folder`.
        root: the dataset's folder.
        limits: how much will be read; its seed and split say who is private.

    Raises:
        InputError: a needed part is missing, or a file is not as it should be.
    """
    there, missing = find_parts(name, root)
    lacking = [part.path for part in missing if part.needed]
    if lacking:
        raise InputError(f"{root} lacks {', '.join(lacking)}; fetch what is missing and try again")
    listing = list_dataset(name, root)
    photos = chosen_photos(listing, limits=limits)
    for photo in photos[:: max(1, len(photos) // SAMPLE)]:
        read_photo(photo.path, crop=listing.crop, size=SIZES[name])
    if limits.split:
        split = f"{limits.split}, seed {limits.seed}"
    elif all(photo.role is None for photo in listing.photos):
        split = f"the dataset's usual one, seed {limits.seed}"
    else:
        split = "the roles in the folder"
    return Check(
        there=there,
        missing=missing,
        photos=tuple(photos),
        listed=len(listing.photos),
        people=len({photo.identity for photo in listing.photos}),
        attributes=listing.attribute_names,
        size=SIZES[name],
        split=split,
    )


@dataclass(frozen=True)
class Figures:
    """The numbers of a check; they name nobody.

    Attributes:
        listed_photographs: in the folder, used or not.
        listed_people: on these.
        used_photographs: by role.
        used_people: by role.
        labelled_photographs: used ones with an attribute that is known.
    """

    listed_photographs: int
    listed_people: int
    used_photographs: dict[str, int]
    used_people: dict[str, int]
    labelled_photographs: int


def figures(check: Check) -> Figures:
    """What a check has counted."""
    by_role = {role: [photo for photo in check.photos if photo.role == role] for role in Role}
    return Figures(
        listed_photographs=check.listed,
        listed_people=check.people,
        used_photographs={str(role): len(own) for role, own in by_role.items()},
        used_people={str(r): len({each.identity for each in own}) for r, own in by_role.items()},
        # nan is unknown
        labelled_photographs=sum(any(v == v for v in photo.attributes) for photo in check.photos),
    )


def describe(name: str, check: Check) -> str:
    """The check in lines for a person to read; it names nobody."""
    lines = [f"there     {part.path}: {part.holds}" for part in check.there]
    lines += [
        f"{'missing' if part.needed else 'optional'}  {part.path}: {part.holds}"
        for part in check.missing
    ]
    count = figures(check)
    whole = WHOLE.get(name)
    of = f"; the whole dataset has {whole[0]:,} of {whole[1]:,}" if whole else ""
    lines.append(f"listed    {check.listed:,} photographs of {check.people:,} people{of}")
    for role, photographs in count.used_photographs.items():
        people = count.used_people[role]
        lines.append(f"used      {role}: {photographs:,} photographs of {people:,} people")
    lines.append(
        f"labels    {len(check.attributes)} attributes, known for "
        f"{count.labelled_photographs:,} of {len(check.photos):,} photographs"
        if check.attributes
        else "labels    none: identification can be measured, utility cannot"
    )
    lines.append(f"split     {check.split}")
    lines.append(f"size      {check.size} x {check.size} pixels")
    return "\n".join(lines)
