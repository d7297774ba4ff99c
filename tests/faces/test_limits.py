"""Limits on roles that a dataset gives."""

from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fl_crafter.faces.listing import Limits, Photo, choose
from fl_crafter.faces.record import Role

people = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(any), min_size=1, max_size=8
)


def _photos(counts: list[tuple[int, int]], public: int) -> list[Photo]:
    roles = [(99, Role.PUBLIC)] * public
    for person, (train, test) in enumerate(counts):
        roles += [(person, Role.EVAL_TRAIN)] * train + [(person, Role.EVAL_TEST)] * test
    return [
        Photo(Path(str(place)), person=str(who), identity=who, role=role)
        for place, (who, role) in enumerate(roles)
    ]


@settings(max_examples=150, deadline=None)
@given(
    counts=people,
    public=st.integers(0, 9),
    each=st.none() | st.integers(2, 12),
    most=st.integers(0, 12),
    seed=st.integers(0, 99),
)
def test_shares_and_order_are_kept(
    counts: list[tuple[int, int]], public: int, each: int | None, most: int, seed: int
) -> None:
    photos = _photos(counts, public)
    limits = Limits(photos_per_person=each, public=most, seed=seed)
    chosen = choose(photos, limits=limits)
    assert [p for p in photos if p in chosen] == chosen, "the order of the listing"
    kept = Counter((photo.identity, photo.role) for photo in chosen)
    assert kept[99, Role.PUBLIC] == min(public, most)
    for person, (train, test) in enumerate(counts):
        own = kept[person, Role.EVAL_TRAIN], kept[person, Role.EVAL_TEST]
        assert sum(own) == (train + test if each is None else min(each, train + test))
        assert bool(own[0]) == bool(train) and bool(own[1]) == bool(test)
        if own != (train, test):
            assert abs(own[1] - sum(own) * test / (train + test)) <= 1
    assert chosen == choose(photos, limits=limits)


@settings(max_examples=50, deadline=None)
@given(counts=people, seed=st.integers(0, 99), data=st.data())
def test_people_are_kept_whole(
    counts: list[tuple[int, int]], seed: int, data: st.DataObject
) -> None:
    asked = data.draw(st.integers(1, len(counts)))
    chosen = choose(_photos(counts, 3), limits=Limits(people=asked, seed=seed))
    kept = Counter(photo.identity for photo in chosen)
    assert kept.pop(99) == 3
    assert len(kept) == asked
    assert all(count == sum(counts[person]) for person, count in kept.items())
