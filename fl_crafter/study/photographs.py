"""Which photographs are public, which are tested, and which belong to the same people."""

import dataclasses
import math
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fl_crafter.errors import InputError
from fl_crafter.evaluation.truth import PrivateTruth
from fl_crafter.faces.open import open_faces
from fl_crafter.faces.record import Faces, Role
from fl_crafter.study.plan import Plan

FEWEST_PUBLIC = 100
SAME = 0.02  # difference of two sketches


def spread_over_people(identity: Int64[Tensor, " tests"], count: int) -> Int64[Tensor, " some"]:
    """Places of `count` photographs, as many of each person as possible; 0 or too many: all.

    People come in an order that has nothing to do with their numbers.
    """
    if not 0 < count < len(identity):
        return torch.arange(len(identity))
    people, person = identity.unique(return_inverse=True)
    turn = torch.empty_like(person)
    seen = torch.zeros(len(people), dtype=torch.int64)
    for place, own in enumerate(person.tolist()):
        turn[place] = seen[own]
        seen[own] += 1
    order = torch.randperm(len(people), generator=torch.Generator().manual_seed(0))
    key = turn * len(people) + order[person]
    return key.argsort()[:count].sort().values


def restricted(truth: PrivateTruth, place: Int64[Tensor, " some"]) -> PrivateTruth:
    """The truth of some of the test photographs, among all people of the gallery."""
    return dataclasses.replace(
        truth,
        test=truth.test[place],
        landmarks=truth.landmarks[place],
        embedding=truth.embedding[place],
    )


def other_uploads(truth: PrivateTruth, count: int) -> list[Int64[Tensor, " tests"]]:
    """Positions of further test photographs of the same people, `count` for each.

    Raises:
        InputError: somebody has fewer.
    """
    faces, owned = truth.faces, dict[int, list[int]]()
    for place, role in enumerate(faces.role):
        if role == Role.EVAL_TEST:
            owned.setdefault(int(faces.identity[place]), []).append(place)
    rows = [
        [place for place in owned[person] if place != own][:count]
        for own, person in zip(truth.test.tolist(), truth.identity.tolist(), strict=True)
    ]
    fewest = min(map(len, rows))
    if fewest < count:
        raise InputError(
            f"Somebody has {fewest + 1} test photographs; --uploads takes no more, or give more "
            "--photos."
        )
    return list(torch.tensor(rows, dtype=torch.int64).T)


def sketch(image: Float[Tensor, "count 3 height width"]) -> list[float]:
    """A few numbers that tell these photographs from others, and show nothing of them.

    Sums over all pixels with random signs, of photographs and of pixels (Alon et al., 1999), in
    units that do not grow with their number. Decoders of images differ in the last bit from machine
    to machine, which moves the numbers by less than `SAME`.
    """
    random = torch.Generator().manual_seed(0)
    flat = image.flatten(1)
    signs = [torch.randint(2, (n, 4), generator=random) * 2.0 - 1 for n in flat.shape]
    return ((flat @ signs[1]) * signs[0]).sum(0).div(flat.numel() ** 0.5).tolist()


def are_alike(one: list[float], other: list[float]) -> bool:
    """Whether two sketches are of the same photographs."""
    pairs = zip(one, other, strict=True)
    return all(math.isclose(a, b, rel_tol=0, abs_tol=SAME) for a, b in pairs)


def public_photographs(plan: Plan, faces: Faces) -> Faces:
    """The public photographs; labels that the dataset does not have are unknown.

    Raises:
        InputError: there are too few.
    """
    name, public = plan.data, faces
    if plan.public_data:
        name, root = plan.public_data, Path(plan.public_root) if plan.public_root else None
        # as few private people as a reader takes: they are not wanted here
        public = open_faces(
            name, root, size=plan.size, people=2, photos_per_person=2, public=plan.public
        )
    public = public.with_role(Role.PUBLIC)
    if len(public) < FEWEST_PUBLIC:
        raise InputError(
            f"{name} has {len(public)} public photographs; defences and eavesdroppers need "
            f"{FEWEST_PUBLIC} or more; name a dataset that has them with --public-data."
        )
    wanted, known = faces.attribute_names, public.attribute_names
    labels = torch.full((len(public), len(wanted)), torch.nan)
    for column, label in enumerate(wanted):
        if label in known:
            labels[:, column] = public.attributes[:, known.index(label)]
    return dataclasses.replace(public, attributes=labels, attribute_names=wanted)
