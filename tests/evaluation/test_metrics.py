import pytest
import torch
from sklearn.metrics import roc_auc_score

from fl_crafter.evaluation.metrics import (
    Gallery,
    build_gallery,
    chance,
    mean_auc,
    named,
    ranks,
    ranks_of,
    similarity_to_others,
    structural_similarity,
    utility,
    weighted_auc,
)


def test_a_gallery_is_the_mean_direction_of_each_person():
    embedding = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    gallery = build_gallery(embedding, torch.tensor([7, 7, 3]))
    assert gallery.identity.tolist() == [3, 7]
    torch.testing.assert_close(gallery.embedding, torch.tensor([[-1.0, 0.0], [0.5**0.5, 0.5**0.5]]))


def test_a_person_outside_the_gallery_is_refused():
    gallery = Gallery(torch.eye(2), torch.tensor([3, 7]))
    assert gallery.column(torch.tensor([7, 3, 7])).tolist() == [1, 0, 1]
    for stranger in (1, 5, 9):
        with pytest.raises(ValueError, match="not in the gallery"):
            gallery.column(torch.tensor([3, stranger]))


def test_ranks_and_hits_by_hand():
    gallery = Gallery(torch.eye(3), torch.tensor([0, 1, 2]))
    rank = ranks(torch.tensor([[0.9, 0.1, 0.5], [0.0, 0.2, 1.0]]), gallery)
    assert rank.tolist() == [[0, 2, 1], [2, 1, 0]]
    column = torch.tensor([2, 2])
    assert named(rank, column, within=1).tolist() == [False, True]
    assert named(rank, column, within=2).tolist() == [True, True]


def test_chance_of_one_ranking_is_a_fair_guess():
    random = torch.Generator().manual_seed(0)
    rank = torch.rand(40, 8, generator=random).argsort(1).argsort(1)
    column = torch.arange(8).repeat(5)
    for within in (1, 5):
        assert chance(rank, column, within=within) == pytest.approx(within / 8)


def test_chance_of_combined_rankings_is_what_permuting_the_truth_gives():
    random = torch.Generator().manual_seed(0)
    one, other = (torch.rand(60, 6, generator=random).argsort(1).argsort(1) for _ in range(2))
    best = torch.minimum(one, other)
    column = torch.randint(6, (60,), generator=random)
    shuffled = [
        named(best, column[torch.randperm(60, generator=random)], within=1).float().mean()
        for _ in range(3000)
    ]
    exact = chance(best, column, within=1)
    assert exact == pytest.approx(float(torch.stack(shuffled).mean()), abs=0.005)
    assert 1 / 6 < exact <= 2 / 6


def test_similarity_to_others_leaves_the_own_person_out():
    similarity = torch.tensor([[1.0, 0.9, 0.2], [0.1, 0.3, 1.0]])
    value = similarity_to_others(similarity, torch.tensor([4, 5]), torch.tensor([4, 4, 5]))
    assert value == pytest.approx((0.2 + 0.1 + 0.3) / 3)
    with pytest.raises(ValueError, match="two people"):
        similarity_to_others(similarity, torch.tensor([4, 4]), torch.tensor([4, 4, 4]))


def test_structural_similarity_of_constant_images_in_closed_form():
    one, other = torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert float(structural_similarity(one, other)) == pytest.approx(expected, rel=1e-3)
    assert float(structural_similarity(one, one)) == pytest.approx(1)


def test_structural_similarity_equals_its_definition_in_one_window():
    random = torch.Generator().manual_seed(1)
    one, other = (torch.rand(1, 1, 11, 11, generator=random, dtype=torch.float64) for _ in "ab")
    offset = torch.arange(11, dtype=torch.float64) - 5
    weight = torch.exp(-(offset[:, None] ** 2 + offset[None] ** 2) / 4.5)
    weight = weight / weight.sum()
    a, b = one[0, 0], other[0, 0]
    mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
    variance_a, variance_b = (
        (weight * (a - mean_a) ** 2).sum(),
        (weight * (b - mean_b) ** 2).sum(),
    )
    covariance = (weight * (a - mean_a) * (b - mean_b)).sum()
    expected = ((2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)) / (
        (mean_a**2 + mean_b**2 + 1e-4) * (variance_a + variance_b + 9e-4)
    )
    assert float(structural_similarity(one, other)) == pytest.approx(float(expected))


def test_auc_by_hand_with_a_tie():
    score = torch.tensor([0.1, 0.4, 0.4, 0.9])
    positive = torch.tensor([False, False, True, True])
    weight = torch.ones(1, 4, dtype=torch.float64)
    assert float(weighted_auc(score, positive, weight)) == pytest.approx(3.5 / 4)


def test_weights_count_like_repeated_photographs():
    random = torch.Generator().manual_seed(2)
    score = torch.randint(5, (30,), generator=random).float()
    positive = torch.rand(30, generator=random) < 0.4
    times = torch.randint(0, 4, (30,), generator=random)
    value = weighted_auc(score, positive, times[None].double())
    repeated_score, repeated = score.repeat_interleave(times), positive.repeat_interleave(times)
    assert float(value) == pytest.approx(roc_auc_score(repeated.numpy(), repeated_score.numpy()))


def test_a_class_that_is_missing_makes_the_auc_undefined():
    weight = torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64)
    assert weighted_auc(torch.arange(3.0), torch.tensor([False, False, True]), weight).isnan()


def test_utility_names_what_it_skips_and_ignores_unknown_labels():
    unknown = float("nan")
    score = torch.tensor([[0.1, 1.0, 0.0], [0.9, 2.0, 0.0], [0.0, 3.0, 0.0]])
    labels = torch.tensor([[0, 1, unknown], [1, 1, unknown], [unknown, 1, unknown]])
    judged = utility(score, labels, names=("glasses", "male", "smile"))
    assert judged.auc == {"glasses": 1.0}
    assert judged.skipped == ("male", "smile")


def test_mean_auc_is_over_the_attributes_that_a_resample_can_judge():
    score = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    labels = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    weight = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 0, 0]], dtype=torch.float64)
    value = mean_auc(score, labels, weight)
    assert value[:2].tolist() == [0.5, 1.0]
    assert value[2].isnan()


def test_scores_that_are_no_numbers_rank_nobody_first() -> None:
    score = torch.tensor([[0.1, float("nan")], [0.3, 0.2]])
    with pytest.raises(ValueError, match="not finite"):
        ranks_of(score)
    with pytest.raises(ValueError, match="not finite"):
        weighted_auc(score[:, 1], torch.tensor([True, False]), torch.ones(1, 2))
