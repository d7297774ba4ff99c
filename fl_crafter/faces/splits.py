"""Who is public, who is private, and which client holds whom: always whole people."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.errors import InputError
from fl_crafter.faces.record import Faces, Role

_REDRAWS = 1000


@dataclass(frozen=True)
class SplitRule:
    """How a dataset without roles of its own is split by identity.

    Attributes:
        private: private people where the caller names no number; fewer where fewer are eligible.
        minimum_photos: photographs that a person needs to be private.
        test_share: share of a private person's photographs that become `eval_test`.
        balanced: redraw until every attribute has both classes among the public, the
            `eval_train` and the `eval_test` photographs.
        most_photographed: the private people are those with the most photographs instead of drawn;
            of equals the one with the lower number.
    """

    private: int = 1000
    minimum_photos: int = 2
    test_share: float = 0.2
    balanced: bool = False
    most_photographed: bool = False


SPLITS: dict[str, SplitRule] = {
    # the usual one of model inversion (Zhang et al., CVPR 2020): 30,000 photographs are private
    "celeba_1000": SplitRule(
        private=1000, minimum_photos=2, test_share=0.1, most_photographed=True
    ),
    # Crafter's sizes: people are drawn, four fifths of each one's photographs are eval_train
    "crafter_celeba": SplitRule(private=1000, minimum_photos=20, test_share=0.2),
    "crafter_lfw": SplitRule(private=38, minimum_photos=20, test_share=0.2),
    "crafter_vggface2": SplitRule(private=1000, minimum_photos=10, test_share=0.2),
}
"""Splits by their name, which with a seed says who is private in any copy of the dataset."""


def named_split(name: str) -> SplitRule:
    """The rule of this name.

    Raises:
        InputError: there is none.
    """
    if name not in SPLITS:
        raise InputError(f"split {name!r} is unknown; use one of {', '.join(SPLITS)}")
    return SPLITS[name]


def split_people(
    identity: Sequence[int],
    *,
    seed: int,
    rule: SplitRule,
    private: int | None = None,
    attributes: Float[Tensor, "count attributes"] | None = None,
) -> tuple[Role, ...]:
    """Give every photograph a role, so that nobody is on two sides.

    Args:
        identity: the person on each photograph.
        seed: the same seed gives the same split.
        rule: who may be private and how photographs are shared out.
        private: number of private people; None takes the rule's number, or as many as are
            eligible, but where that is everybody then half of them, so that some are public.
        attributes: 0, 1 or nan; needed where the rule is `balanced`.

    Returns:
        One role per photograph: each private person has at least one `EVAL_TRAIN` and one
        `EVAL_TEST` photograph, all others are `PUBLIC`.

    Raises:
        InputError: too few people are eligible, or no balanced split was found.
    """
    places = _places(identity)
    eligible = [p for p, own in places.items() if len(own) >= max(2, rule.minimum_photos)]
    count = _private_count(private, len(eligible), len(places), rule)
    if rule.most_photographed:
        eligible = sorted(eligible, key=lambda person: -len(places[person]))[:count]
    random = torch.Generator().manual_seed(seed)
    if not rule.balanced:
        return _draw_roles(places, eligible, count, rule.test_share, random)
    assert attributes is not None, "a balanced split needs the attributes"
    for _ in range(_REDRAWS):
        role = _draw_roles(places, eligible, count, rule.test_share, random)
        if _has_both_classes(role, attributes):
            return role
    raise InputError(
        f"people={count} private people leave an attribute without both classes on some side in "
        f"{_REDRAWS} draws; ask for another number of people"
    )


def partition_people(faces: Faces, clients: int, seed: int) -> list[list[int]]:
    """Deal whole people to clients, so that the clients hold about equally many photographs.

    People are shuffled, and then dealt from the most photographed down, each to the client that
    holds the fewest photographs so far. Two clients differ by at most one person's photographs.

    Args:
        faces: what is dealt, all of it; select the private photographs before.
        clients: number of clients.
        seed: the same seed gives the same partition.

    Returns:
        Places in `faces` for each client, rising.

    Raises:
        InputError: there are fewer people than clients, or no client.
    """
    places = _places(faces.identity.tolist())
    if not 1 <= clients <= len(places):
        raise InputError(
            f"clients={clients} cannot share {len(places)} people of {faces.name}; "
            f"ask for 1 to {len(places)} clients"
        )
    random = torch.Generator().manual_seed(seed)
    people = draw(sorted(places), len(places), random)
    people.sort(key=lambda person: -len(places[person]))  # stable: equals stay shuffled
    held: list[list[int]] = [[] for _ in range(clients)]
    for person in people:
        min(held, key=len).extend(places[person])
    return [sorted(own) for own in held]


def _places(identity: Sequence[int]) -> dict[int, list[int]]:
    """Places of each person's photographs, people in rising order."""
    places: dict[int, list[int]] = {person: [] for person in sorted(set(identity))}
    for place, person in enumerate(identity):
        places[person].append(place)
    return places


def _private_count(asked: int | None, eligible: int, everybody: int, rule: SplitRule) -> int:
    needed = f"{max(2, rule.minimum_photos)} photographs"
    if eligible == 0 or everybody < 2:
        raise InputError(
            f"{eligible} of {everybody} people have at least {needed}, but a split needs one such "
            "person and another to be public; add photographs or a file with roles"
        )
    if asked is None:
        count = min(rule.private, eligible)
        return count if count < everybody else everybody // 2
    most = min(eligible, everybody - 1)
    if not 1 <= asked <= most:
        raise InputError(
            f"people={asked} is not possible, as {eligible} of {everybody} people have at least "
            f"{needed} and one person must be public; ask for 1 to {most}"
        )
    return asked


def draw(values: Sequence[int], count: int, random: torch.Generator) -> list[int]:
    """Draw at most `count` of the values without replacement, in random order."""
    order = torch.randperm(len(values), generator=random)[:count]
    return [values[place] for place in order.tolist()]


def _draw_roles(
    places: dict[int, list[int]],
    eligible: list[int],
    count: int,
    test_share: float,
    random: torch.Generator,
) -> tuple[Role, ...]:
    role = [Role.PUBLIC] * sum(len(own) for own in places.values())
    for person in sorted(draw(eligible, count, random)):
        own = places[person]
        tests = min(max(1, round(test_share * len(own))), len(own) - 1)
        for rank, place in enumerate(draw(own, len(own), random)):
            role[place] = Role.EVAL_TEST if rank < tests else Role.EVAL_TRAIN
    return tuple(role)


def _has_both_classes(
    role: tuple[Role, ...], attributes: Float[Tensor, "count attributes"]
) -> bool:
    for side in Role:
        own = attributes[torch.tensor([each == side for each in role])]
        if not ((own == 0).any(0) & (own == 1).any(0)).all():
            return False
    return True
