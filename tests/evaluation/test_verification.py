"""Verification: thresholds by the share of wrong claims that they accept."""

import pytest
import torch
from torch import Tensor

from fl_crafter.evaluation.verification import acceptances


def accepted(score: Tensor, column: Tensor, *, far: float) -> Tensor:
    """Of each row, whether its own person is accepted."""
    return acceptances(score, column, far=far).gather(1, column[:, None])[:, 0]


def test_a_perfect_score_accepts_everybody_and_an_empty_one_nobody():
    column = torch.tensor([0, 1, 2, 1])
    perfect = torch.nn.functional.one_hot(column, 3).float()
    assert accepted(perfect, column, far=0.0).all()
    assert not accepted(torch.zeros(4, 3), column, far=0.5).any()


def test_the_threshold_accepts_the_rate_that_was_asked_for():
    # impostors of person 0: scores 1 to 10; own scores 0, 5.5, 9.5, 20
    score = torch.zeros(4, 11)
    score[:, 1:] = torch.arange(1.0, 11.0)
    score[:, 0] = torch.tensor([0.0, 5.5, 9.5, 20.0])
    column = torch.zeros(4, dtype=torch.int64)
    assert accepted(score, column, far=0.0).tolist() == [False, False, False, True]
    assert accepted(score, column, far=0.1).tolist() == [False, False, True, True]
    assert accepted(score, column, far=0.5).tolist() == [False, True, True, True]


def test_a_random_score_accepts_as_many_as_impostors():
    random = torch.Generator().manual_seed(0)
    score = torch.rand(4000, 20, generator=random)
    column = torch.randint(20, (4000,), generator=random)
    for far, within in ((0.1, 0.02), (0.01, 0.006)):
        assert float(accepted(score, column, far=far).double().mean()) == pytest.approx(
            far, abs=within
        )


@pytest.mark.parametrize(("people", "far"), [(1, 0.1), (3, 1.0), (3, -0.1)])
def test_nonsense_is_refused(people, far):
    with pytest.raises(ValueError, match="false acceptance|two people"):
        accepted(torch.zeros(2, people), torch.zeros(2, dtype=torch.int64), far=far)
