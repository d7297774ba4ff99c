"""Guesses: what one attack names and has accepted, and what any of several does."""

import pytest
import torch

from fl_crafter.evaluation.cell import Guess, guess, worst_guess
from fl_crafter.evaluation.evaluate import AttackJudgement, judge_all_pictures
from fl_crafter.evaluation.metrics import ranks_of

PHOTOS, PEOPLE = 80, 40
COLUMN = torch.arange(PHOTOS) % PEOPLE


def scores(seed: int, *, seen: float) -> torch.Tensor:
    """Random scores of everybody, with so much more for the true person."""
    score = torch.rand(PHOTOS, PEOPLE, generator=torch.Generator().manual_seed(seed))
    return score.scatter_add(1, COLUMN[:, None], torch.full((PHOTOS, 1), seen))


def worst_of(*score: torch.Tensor) -> Guess:
    named = {str(place): each for place, each in enumerate(score)}
    return worst_guess({name: ranks_of(each) for name, each in named.items()}, named, COLUMN)


def test_an_attack_that_gives_everybody_high_scores_hides_no_other() -> None:
    sharp = scores(0, seen=1.0)
    alone = guess(ranks_of(sharp), sharp, COLUMN)
    floor = 5 + 0 * sharp  # an average face is as like everybody
    both = worst_of(sharp, floor)
    assert alone.roc["0.001"] == 1 == both.roc["0.001"] == both.roc["0.01"]


def test_the_worst_case_is_no_better_than_any_attack_for_any_photograph() -> None:
    attacks = [scores(seed, seen=0.2) * (seed + 1) for seed in range(4)]
    worst = worst_of(*attacks)
    for score in attacks:
        own = guess(ranks_of(score), score, COLUMN)
        assert all(a <= b for a, b in zip(worst.rank, own.rank, strict=True))
        for far, accepted in own.accepted.items():
            assert all(a >= b for a, b in zip(worst.accepted[far], accepted, strict=True))


def test_chance_grows_with_the_number_of_attacks() -> None:
    """Guesses that know nothing are accepted as often as chance says."""
    one = scores(0, seen=0.0)
    single = guess(ranks_of(one), one, COLUMN).chance
    assert single.tar_far_1e2 == pytest.approx(0.01, abs=0.004)
    many = worst_of(*(scores(seed, seen=0.0) for seed in range(9)))
    assert many.chance.tar_far_1e2 == pytest.approx(1 - 0.99**9, abs=0.01)
    assert many.chance.tar_far_1e3 == pytest.approx(1 - 0.999**9, abs=0.005)
    assert many.roc["0.01"] == pytest.approx(many.chance.tar_far_1e2, abs=0.07)


def judged(seed: int, *, seen: float, hubs: float) -> AttackJudgement:
    """An attack by whose pictures some people resemble everybody."""
    score = scores(seed, seen=seen)
    score[:, :3] += hubs
    return AttackJudgement(torch.zeros(PHOTOS, 3, 2, 2), ranks_of(score), score, score)


def test_all_pictures_tell_more_than_the_best_of_them() -> None:
    every = {str(seed): judged(seed, seen=0.3, hubs=2.0) for seed in range(9)}
    joined = judge_all_pictures(every)
    together = guess(joined.rank, joined.score, COLUMN)
    best = max(
        float(guess(e.rank, e.score, COLUMN).within(1).double().mean()) for e in every.values()
    )
    assert float(together.within(1).double().mean()) > 0.8 > 0.2 > best
    assert together.chance.top1 == pytest.approx(1 / PEOPLE), "it is one guess"


def test_pictures_of_nobody_name_nobody_together() -> None:
    every = {str(seed): judged(seed, seen=0.0, hubs=2.0) for seed in range(9)}
    joined = judge_all_pictures(every)
    assert float(guess(joined.rank, joined.score, COLUMN).within(1).double().mean()) < 0.1
