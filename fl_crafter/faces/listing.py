"""From labelled file names to faces: check all, choose what is asked for, decode only that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fl_crafter.errors import InputError
from fl_crafter.faces.photo import read_photo
from fl_crafter.faces.record import Faces, Role, refuse_two_sides
from fl_crafter.faces.splits import SplitRule, draw, named_split, split_people


@dataclass(frozen=True)
class Photo:
    """What is known of a photograph before it is decoded.

    Attributes:
        path: the file.
        person: the person, as the dataset names them.
        identity: the person's number.
        attributes: 0, 1 or nan for each attribute.
        role: None where the dataset names no roles.
    """

    path: Path
    person: str
    identity: int
    attributes: tuple[float, ...] = ()
    role: Role | None = None


@dataclass(frozen=True)
class Limits:
    """How much of a dataset to read, chosen by seed.

    Attributes:
        people: number of private people; None for all of them or, where the split is by seed, for
            the dataset's usual number.
        photos_per_person: at most so many photographs of each private person, in the shares of
            `eval_train` and `eval_test` that the person has.
        public: at most so many public photographs.
        seed: chooses among them, and makes the split where the dataset has none.
        split: name of a split to make by seed, in place of any roles of the dataset; one of
            `fl_crafter.faces.splits.SPLITS`.
    """

    people: int | None = None
    photos_per_person: int | None = None
    public: int | None = None
    seed: int = 0
    split: str | None = None

    def __post_init__(self) -> None:
        """Refuse limits that leave nothing to work with."""
        for field, least in (("people", 1), ("photos_per_person", 2), ("public", 0)):
            value = getattr(self, field)
            if value is not None and value < least:
                raise InputError(f"{field}={value} is too small; ask for {least} or more")


@dataclass(frozen=True)
class Listing:
    """A dataset as its files list it; nothing is decoded.

    Attributes:
        name: the dataset, as it is called in tables.
        root: the dataset's folder, for error messages.
        photos: everything that the dataset lists.
        attribute_names: one name per attribute.
        crop: side of the central square in pixels; None for each photograph's shorter side.
        rule: how to split by seed, where the photographs have no roles.
    """

    name: str
    root: Path
    photos: Sequence[Photo]
    attribute_names: tuple[str, ...]
    crop: int | None
    rule: SplitRule


def chosen_photos(listing: Listing, *, limits: Limits) -> list[Photo]:
    """Check a listing, give roles, and choose what is within the limits.

    Raises:
        InputError: the listing is empty, a person is both public and private, or more people are
            asked for than there are.
    """
    root, photos = listing.root, listing.photos
    if not photos:
        raise InputError(f"{root} holds no photographs; give the folder of the unpacked dataset")
    refuse_two_sides(str(root), [photo.person for photo in photos], [p.role for p in photos])
    rule = named_split(limits.split) if limits.split else listing.rule
    try:
        if limits.split or all(photo.role is None for photo in photos):
            photos = _with_roles(photos, limits=limits, rule=rule)
        return choose(photos, limits=limits)
    except InputError as error:
        raise InputError(f"{root}: {error}") from None


def load_faces(listing: Listing, *, size: int, limits: Limits) -> Faces:
    """Choose photographs and decode them.

    Args:
        listing: of the dataset.
        size: side of the images in pixels.
        limits: how much to read.

    Raises:
        InputError: see `chosen_photos`, or a photograph cannot be decoded.
    """
    if size < 8:
        raise InputError(f"size={size} is too small for a face; ask for 8 pixels or more")
    chosen = chosen_photos(listing, limits=limits)
    image = torch.empty(len(chosen), 3, size, size)  # filled in place: no second copy
    for place, photo in enumerate(chosen):
        image[place] = read_photo(photo.path, crop=listing.crop, size=size)
    attributes = torch.tensor([photo.attributes for photo in chosen], dtype=torch.float32)
    return Faces(
        name=listing.name,
        image=image,
        identity=torch.tensor([photo.identity for photo in chosen], dtype=torch.int64),
        attributes=attributes.reshape(len(chosen), len(listing.attribute_names)),
        attribute_names=listing.attribute_names,
        role=tuple(_known(photo.role) for photo in chosen),
    )


def reader(list_dataset: Callable[[Path | None], Listing]) -> Callable[..., Faces]:
    """The function that reads a dataset, from the one that lists it."""

    def read(
        root: Path | None = None,
        *,
        size: int = 64,
        people: int | None = None,
        photos_per_person: int | None = None,
        public: int | None = None,
        seed: int = 0,
        split: str | None = None,
    ) -> Faces:
        """Read the dataset, or a part of it.

        Args:
            root: the dataset's folder.
            size: side of the images in pixels.
            people: see `Limits`, as the others.
            photos_per_person: of each private person.
            public: public photographs.
            seed: of choice and split.
            split: name of a split.

        Raises:
            InputError: a file, column, row or photograph is missing, repeated or broken.
        """
        limits = Limits(people, photos_per_person, public, seed, split)
        return load_faces(list_dataset(root), size=size, limits=limits)

    return read


def choose(photos: Sequence[Photo], *, limits: Limits) -> list[Photo]:
    """The photographs within the limits, in the order of the listing.

    Raises:
        InputError: more private people are asked for than there are, or nothing is left.
    """
    random = torch.Generator().manual_seed(limits.seed)
    private = sorted({photo.identity for photo in photos if photo.role != Role.PUBLIC})
    if limits.people is not None:
        if limits.people > len(private):
            raise InputError(
                f"people={limits.people} is not possible, as there are {len(private)} private "
                "people; ask for fewer"
            )
        private = sorted(draw(private, limits.people, random))
    own: dict[int, dict[Role, list[int]]] = {
        person: {Role.EVAL_TRAIN: [], Role.EVAL_TEST: []} for person in private
    }
    public = []
    for place, photo in enumerate(photos):
        if photo.role == Role.PUBLIC:
            public.append(place)
        elif photo.identity in own:
            own[photo.identity][_known(photo.role)].append(place)
    if limits.public is not None:
        public = draw(public, limits.public, random)
    kept = set(public)
    for person in private:
        train, test = own[person][Role.EVAL_TRAIN], own[person][Role.EVAL_TEST]
        kept.update(_draw_shares(train, test, limits.photos_per_person, random))
    if not kept:
        raise InputError("nothing is left to read; raise the limits people or public")
    return [photos[place] for place in sorted(kept)]


def _draw_shares(
    train: list[int], test: list[int], limit: int | None, random: torch.Generator
) -> list[int]:
    """At most `limit` photographs of a person, at least one of each kind that there is."""
    total = len(train) + len(test)
    if limit is None or limit >= total:
        return train + test
    tests = min(max(1, round(limit * len(test) / total)), limit - 1) if train else limit
    tests = min(tests, len(test))
    return draw(train, limit - tests, random) + draw(test, tests, random)


def _with_roles(photos: Sequence[Photo], *, limits: Limits, rule: SplitRule) -> list[Photo]:
    roles = split_people(
        [photo.identity for photo in photos],
        seed=limits.seed,
        rule=rule,
        private=limits.people,
        attributes=torch.tensor([photo.attributes for photo in photos]),
    )
    return [replace(photo, role=role) for photo, role in zip(photos, roles, strict=True)]


def _known(role: Role | None) -> Role:
    assert role is not None, "roles are given before photographs are chosen"
    return role
