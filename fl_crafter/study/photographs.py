"""Which photographs are tested, and which belong to the same people."""

import dataclasses

import torch
from jaxtyping import Int64
from torch import Tensor

from fl_crafter.errors import InputError
from fl_crafter.evaluation.truth import PrivateTruth
from fl_crafter.faces.record import Role


def spread_over_people(identity: Int64[Tensor, "tests"], count: int) -> Int64[Tensor, "some"]:
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


def restricted(truth: PrivateTruth, place: Int64[Tensor, "some"]) -> PrivateTruth:
    """The truth of some of the test photographs, among all people of the gallery."""
    return dataclasses.replace(
        truth,
        test=truth.test[place],
        landmarks=truth.landmarks[place],
        embedding=truth.embedding[place],
    )


def other_uploads(truth: PrivateTruth, count: int) -> list[Int64[Tensor, "tests"]]:
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
