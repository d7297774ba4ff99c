import pytest
import torch

from fl_crafter.evaluation.bootstrap import (
    Resampling,
    interval_over_people,
    mean_interval,
    rate_interval,
    wilson_interval,
)


def people_who_are_always_or_never_named():
    """20 people with 10 photographs each; all of a person's photographs agree."""
    identity = torch.arange(20).repeat_interleave(10)
    return (identity % 2).double(), identity


def test_people_are_drawn_not_photographs():
    value, identity = people_who_are_always_or_never_named()
    how = Resampling(resamples=4000)
    over_people = mean_interval(value, identity, how=how)
    over_photographs = mean_interval(value, torch.arange(200), how=how)
    # the standard errors are sqrt(.25 / 20) and sqrt(.25 / 200)
    assert over_people[1] - over_people[0] == pytest.approx(2 * 1.96 * 0.1118, rel=0.15)
    assert over_photographs[1] - over_photographs[0] == pytest.approx(2 * 1.96 * 0.0354, rel=0.15)


def test_the_interval_of_a_normal_mean_is_the_textbook_one():
    random = torch.Generator().manual_seed(0)
    value = torch.randn(400, generator=random).double()
    low, high = mean_interval(value, torch.arange(400), how=Resampling(resamples=4000))
    half = 1.96 * float(value.std()) / 20
    assert low == pytest.approx(float(value.mean()) - half, abs=0.015)
    assert high == pytest.approx(float(value.mean()) + half, abs=0.015)


def test_people_weigh_by_their_photographs():
    identity = torch.tensor([1, 1, 1, 2])
    drawn = []

    def first_weights(weight):
        drawn.append(weight)
        return weight[:, 0]

    interval_over_people(first_weights, identity, how=Resampling(resamples=50))
    weight = drawn[0]
    assert weight.shape == (50, 4)
    assert torch.equal(weight[:, 0], weight[:, 2])  # a person's photographs go together
    assert set((weight[:, 0] + weight[:, 3]).tolist()) == {2.0}  # two people are drawn


def test_the_same_seed_gives_the_same_interval():
    value, identity = people_who_are_always_or_never_named()
    first, again, other = (
        mean_interval(value + 0.01 * identity, identity, how=Resampling(resamples=99, seed=seed))
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_wilson_by_hand():
    assert wilson_interval(0, 100) == pytest.approx((0, 0.03699), abs=1e-4)
    assert wilson_interval(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)


@pytest.mark.parametrize("hit", [True, False])
def test_agreement_of_all_photographs_is_not_certainty(hit):
    low, high = rate_interval(
        torch.full((100,), hit), torch.arange(20).repeat(5), how=Resampling(resamples=100)
    )
    # five photographs of one person may be one trial: as sure as 20 people make, not 100
    assert high - low == pytest.approx(0.16113, abs=1e-4)


def test_the_interval_covers_what_people_have_in_common() -> None:
    """All photographs of a person agree: a tenth of people is named, ten are seen."""
    random, identity, covered = torch.Generator().manual_seed(0), torch.arange(10).repeat(30), 0
    for _ in range(200):
        named = torch.rand(10, generator=random) < 0.1
        low, high = rate_interval(named[identity], identity, how=Resampling(resamples=100))
        covered += low <= 0.1 <= high
    assert covered >= 180


def test_resamples_without_a_value_are_left_out():
    identity = torch.arange(3)

    def only_with_the_first_person(weight):
        return torch.where(weight[:, 0] > 0, 2.0, torch.nan)

    how = Resampling(resamples=200)
    assert interval_over_people(only_with_the_first_person, identity, how=how) == (2.0, 2.0)
    with pytest.raises(ValueError, match="undefined"):
        interval_over_people(lambda weight: weight[:, 0] * torch.nan, identity, how=how)
    with pytest.raises(ValueError, match="at least one"):
        mean_interval(torch.empty(0), torch.empty(0, dtype=torch.int64), how=how)
