"""CelebA in its official, aligned form: `img_align_celeba/` and the label files beside it.

`list_attr_celeba.txt` and `identity_CelebA.txt` must list exactly the photographs that are in
`img_align_celeba/`; a subset of the dataset with its subset of the lists is welcome. Roles come
from `roles.csv` (image, identity, role) where there is one. Otherwise people are split by a seed:
1000 people with at least 20 photographs are private, 80% of each one's photographs `eval_train`.
The official `list_eval_partition.txt` is not read: it knows neither private people nor such shares.
"""

from pathlib import Path

from fl_crafter.errors import InputError
from fl_crafter.faces.listing import Listing, Photo, reader
from fl_crafter.faces.photo import find_root, list_photos
from fl_crafter.faces.record import Role
from fl_crafter.faces.splits import SPLITS
from fl_crafter.faces.table import add_once, check_match, parse_role, read_lines, read_table

CROP = 148
ATTRIBUTES = tuple(
    """
    5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose
    Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee
    Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes
    No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling
    Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace
    Wearing_Necktie Young
    """.split()
)
"""The official ones, in their order; what the shipped cloud model tells."""
_IMAGES = "img_align_celeba"
_ROLES = "roles.csv"
_RULE = SPLITS["crafter_celeba"]


def list_celeba(root: Path | None) -> Listing:
    """List CelebA.

    Args:
        root: the folder that holds `img_align_celeba`, or the one around it if that is `celeba`.

    Raises:
        InputError: a file, column or row is missing, repeated or broken.
    """
    root = find_root(root, holds=_IMAGES, inner="celeba")
    images = [path.name for path in list_photos(root / _IMAGES)]
    names, attributes = _read_attributes(root / "list_attr_celeba.txt")
    identity = _read_identities(root / "identity_CelebA.txt")
    check_match(images, attributes, folder=root / _IMAGES, table=root / "list_attr_celeba.txt")
    check_match(images, identity, folder=root / _IMAGES, table=root / "identity_CelebA.txt")
    roles: dict[str, Role] = {}
    if (root / _ROLES).exists():
        roles = _read_roles(root / _ROLES, identity)
        check_match(images, roles, folder=root / _IMAGES, table=root / _ROLES)
    photos = [
        Photo(
            root / _IMAGES / image,
            person=str(identity[image]),
            identity=identity[image],
            attributes=attributes[image],
            role=roles.get(image),
        )
        for image in images
    ]
    return Listing("celeba", root, photos, names, CROP, _RULE)


read = reader(list_celeba)


def split_is_drawn(root: Path | None) -> bool:
    """Whether a seed decides who is private, for want of a file that says it.

    Args:
        root: as of `list_celeba`.

    Raises:
        InputError: no CelebA is there.
    """
    return not (find_root(root, holds=_IMAGES, inner="celeba") / _ROLES).exists()


def _read_attributes(path: Path) -> tuple[tuple[str, ...], dict[str, tuple[float, ...]]]:
    """Attribute names, and the attributes (0 or 1) of each image.

    The first line is the number of images, the second names the attributes, and each other line is
    an image followed by -1 or 1 for each attribute.
    """
    lines = [line.split() for line in read_lines(path)]
    rows = [(number, line) for number, line in enumerate(lines[2:], start=3) if line]
    if lines[0] != [str(len(rows))] or len(lines) < 2:
        raise InputError(
            f"{path} has {len(rows)} rows, but its first line says {' '.join(lines[0])!r}; "
            "fetch it again or correct the line"
        )
    names = tuple(lines[1])
    attributes: dict[str, tuple[float, ...]] = {}
    for number, (image, *values) in rows:
        where = f"{path} line {number}"
        if len(values) != len(names):
            raise InputError(
                f"{where} has {len(values)} values for {len(names)} attributes; mend the row"
            )
        wrong = set(values) - {"-1", "1"}
        if wrong:
            raise InputError(f"{where} has the value {min(wrong)!r}; use -1 or 1")
        add_once(attributes, image, tuple(float(v == "1") for v in values), where=where)
    return names, attributes


def _read_identities(path: Path) -> dict[str, int]:
    """The person's number of each image."""
    identity: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2 or not fields[1].isdecimal():
            raise InputError(
                f"{path} line {number} is {line!r}; give an image and its person's number"
            )
        add_once(identity, fields[0], int(fields[1]), where=f"{path} line {number}")
    return identity


def _read_roles(path: Path, identity: dict[str, int]) -> dict[str, Role]:
    """The role of each image; its identity must be the official one."""
    roles = {}
    for image, row in read_table(path, columns=("identity", "role")).items():
        if image in identity and row["identity"] != str(identity[image]):
            raise InputError(
                f"{path} gives {image} to person {row['identity']}, but identity_CelebA.txt to "
                f"{identity[image]}; correct one of them"
            )
        roles[image] = parse_role(row["role"], where=f"{path} {image}")
    return roles
