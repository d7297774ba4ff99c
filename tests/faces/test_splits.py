"""Splits and partitions: whole people, every photograph once, the same for the same seed."""

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_crafter.faces.record import Faces, Role
from fl_crafter.faces.splits import SplitRule, partition_people, split_people

counts_of_photos = st.lists(st.integers(1, 12), min_size=2, max_size=25)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=60, deadline=None)


def _identity(counts: list[int], seed: int = 0) -> list[int]:
    """People 10, 13, 16 and so on, their photographs mixed."""
    everyone = [10 + 3 * person for person, count in enumerate(counts) for _ in range(count)]
    order = torch.randperm(len(everyone), generator=torch.Generator().manual_seed(seed))
    return [everyone[place] for place in order.tolist()]


def _faces(identity: list[int]) -> Faces:
    return Faces(
        name="synthetic",
        image=torch.zeros(len(identity), 3, 2, 2),
        identity=torch.tensor(identity),
        attributes=torch.zeros(len(identity), 0),
        attribute_names=(),
        role=(Role.EVAL_TRAIN,) * len(identity),
    )


@few
@given(counts=counts_of_photos, seed=seeds, share=st.floats(0.05, 0.95), least=st.integers(2, 5))
def test_split_puts_nobody_on_two_sides(
    counts: list[int], seed: int, share: float, least: int
) -> None:
    counts = [*counts, 6]  # somebody is always eligible
    identity = _identity(counts, seed)
    rule = SplitRule(private=7, minimum_photos=least, test_share=share)
    role = split_people(identity, seed=seed, rule=rule)
    assert len(role) == len(identity)
    photos = Counter(identity)
    roles: dict[int, Counter[Role]] = {person: Counter() for person in photos}
    for person, own in zip(identity, role, strict=True):
        roles[person][own] += 1
    private = {person for person in photos if Role.PUBLIC not in roles[person]}
    for person, own in roles.items():
        if person in private:
            assert photos[person] >= least
            assert own[Role.EVAL_TRAIN] >= 1 and own[Role.EVAL_TEST] >= 1
            assert abs(own[Role.EVAL_TEST] - share * photos[person]) <= 1
        else:
            assert set(own) == {Role.PUBLIC}
    eligible = sum(count >= least for count in counts)
    most = min(7, eligible)
    assert len(private) == (most if most < len(counts) else len(counts) // 2)
    assert role == split_people(identity, seed=seed, rule=rule)


def test_another_seed_is_another_split() -> None:
    identity = _identity([6] * 20)
    rule = SplitRule(private=10)
    splits = {split_people(identity, seed=seed, rule=rule) for seed in range(5)}
    assert len(splits) == 5


def test_the_number_asked_for_overrides_the_rule() -> None:
    identity = _identity([6] * 20)
    role = split_people(identity, seed=0, rule=SplitRule(private=10), private=4)
    private = {p for p, own in zip(identity, role, strict=True) if own != Role.PUBLIC}
    assert len(private) == 4


@few
@given(seed=seeds)
def test_balanced_split_has_both_classes_everywhere(seed: int) -> None:
    identity = _identity([4] * 12, seed)
    rare = torch.tensor([float(person in (10, 16, 22)) for person in identity])
    own = torch.tensor([float(place % 2) for place in range(len(identity))])
    attributes = torch.stack([rare, own], 1)
    rule = SplitRule(private=6, test_share=0.5, balanced=True)
    role = split_people(identity, seed=seed, rule=rule, attributes=attributes)
    for side in Role:
        values = attributes[torch.tensor([each == side for each in role])]
        assert values.min(0).values.tolist() == [0, 0]
        assert values.max(0).values.tolist() == [1, 1]


def test_balance_that_cannot_be_had_is_refused(refused: Callable[..., str]) -> None:
    identity = _identity([4] * 6)
    only_one_person = torch.tensor([[float(person == 10)] for person in identity])
    rule = SplitRule(private=3, balanced=True)
    refused(
        lambda: split_people(identity, seed=0, rule=rule, attributes=only_one_person),
        "people=3",
        "both classes",
    )


@pytest.mark.parametrize("asked", [0, 3, 50])
def test_more_people_than_are_eligible_are_refused(refused: Callable[..., str], asked: int) -> None:
    identity = _identity([9, 9, 1, 2, 3])
    rule = SplitRule(minimum_photos=5)
    refused(
        lambda: split_people(identity, seed=0, rule=rule, private=asked),
        f"people={asked}",
        "2 of 5 people have at least 5",
        "ask for 1 to 2",
    )


def test_somebody_stays_public(refused: Callable[..., str]) -> None:
    identity = _identity([9, 9, 9])
    refused(lambda: split_people(identity, seed=0, rule=SplitRule(), private=3), "ask for 1 to 2")


@pytest.mark.parametrize("counts", [[9], [1, 1, 1]])
def test_a_split_that_cannot_be_made_is_refused(
    refused: Callable[..., str], counts: list[int]
) -> None:
    identity = _identity(counts)
    refused(lambda: split_people(identity, seed=0, rule=SplitRule()), f"of {len(counts)} people")


@few
@given(counts=counts_of_photos, seed=seeds, data=st.data())
def test_partition_deals_whole_people_and_every_photograph_once(
    counts: list[int], seed: int, data: st.DataObject
) -> None:
    clients = data.draw(st.integers(1, len(counts)))
    faces = _faces(_identity(counts, seed))
    held = partition_people(faces, clients, seed)
    assert len(held) == clients
    assert sorted(place for own in held for place in own) == list(range(len(faces)))
    people = [set(faces.identity[own].tolist()) for own in held]
    assert all(own == sorted(own) for own in held)
    assert all(people), "a client holds nobody"
    assert sum(len(own) for own in people) == len(counts), "a person is with two clients"
    loads = [len(own) for own in held]
    assert max(loads) - min(loads) <= max(counts)
    assert held == partition_people(faces, clients, seed)


def test_equal_people_are_dealt_equally_and_by_seed() -> None:
    faces = _faces(_identity([10] * 20))
    assert [len(own) for own in partition_people(faces, 4, 0)] == [50] * 4
    assert partition_people(faces, 4, 0) != partition_people(faces, 4, 1)


@pytest.mark.parametrize("seed", range(6))
def test_the_largest_person_is_dealt_first(seed: int) -> None:
    faces = _faces(_identity([1, 1, 1, 1, 4], seed))
    assert [len(own) for own in partition_people(faces, 2, seed)] == [4, 4]


@pytest.mark.parametrize("clients", [-1, 0, 4])
def test_clients_without_people_are_refused(refused: Callable[..., str], clients: int) -> None:
    faces = _faces(_identity([5, 5, 5]))
    refused(
        lambda: partition_people(faces, clients, 0), f"clients={clients}", "3 people", "synthetic"
    )
