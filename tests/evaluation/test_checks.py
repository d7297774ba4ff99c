"""The evaluation's checks of itself, on cells whose figures a test chooses."""

from typing import Any

import pytest
import torch

from fl_crafter.evaluation import Resampling
from fl_crafter.evaluation.cell import Cell, Guess, Judged, Likeness, Release
from fl_crafter.evaluation.checks import Bounds, Kinds, check_cells
from fl_crafter.evaluation.collect import attack_results, worst_cases
from fl_crafter.evaluation.record import Chance, ChanceOfRates, Identification
from fl_crafter.evaluation.results import Check
from fl_crafter.evaluation.setup_checks import check_setup

PHOTOS = 40
IDENTITY = torch.arange(PHOTOS) // 2
KINDS = Kinds(
    white=["white_box"],
    black=["black_box"],
    adaptive=["nearest", "adaptive", "undone"],
    decoders=["adaptive"],
    un_crafters=["undone"],
)
HOW = Resampling(resamples=300)
BOUNDS = Bounds("SFace", KINDS, 0.3, IDENTITY, HOW)
ORACLE = Identification(
    top1=1.0,
    top5=1.0,
    interval=(0.9, 1.0),
    interval_top5=(0.9, 1.0),
    chance=Chance(top1=0.05, top5=0.25),
)


def guessed(share: float) -> Guess:
    hit = [place < share * PHOTOS for place in range(PHOTOS)]
    return Guess(
        rank=tuple(0 if each else 7 for each in hit),
        accepted={far: tuple(hit) for far in ("0.001", "0.01", "0.1")},
        chance=ChanceOfRates(top1=0.05, top5=0.25, tar_far_1e2=0.01, tar_far_1e3=0.001),
        roc={"0.001": share, "0.01": share, "0.1": share},
    )


def cell(named: dict[str, float], *, defence: str = "none", seed: int = 0, **changes: Any) -> Cell:
    """A cell in which each attack names the first so many photographs."""
    release = {
        "change": 0.5,
        "spread": 0.8,
        "gradient": 1.0,
        "status": {"ok": 1},
        "figures": {},
        "seconds": 1.0,
    }
    curve = changes.pop("curve", (2.0, 1.0))
    zero = changes.pop("zero_gradients", 0.0)
    ssim = changes.pop("ssim", {})
    return Cell(
        defence=defence,
        parameter="" if defence == "none" else "utility_weight",
        value=1.0,
        seed=seed,
        release=Release(**release | changes),
        utility_auc=0.9,
        utility_interval=(0.88, 0.92),
        development_auc=0.91,
        development_interval=(0.89, 0.93),
        likeness={
            attack: Likeness(
                ssim=ssim.get(attack, 0.5),
                psnr=20.0,
                perceptual_distance=0.3,
                loss_curve=curve,
                zero_gradients=zero,
                seconds=1.0,
            )
            for attack in named
        },
        judged={
            "SFace": {
                attack: Judged(
                    guess=guessed(share), feature_similarity=0.4, feature_similarity_floor=0.1
                )
                for attack, share in named.items()
            }
        },
        worst_case={"SFace": guessed(max(named.values()))},
        linked={},
    )


GOOD = {"white_box": 0.95, "black_box": 0.9, "adaptive": 0.9}


def failed(*cells: Cell) -> list[tuple[str, str]]:
    checks = check_cells(cells, oracle=ORACLE, bounds=BOUNDS)
    return [(check.point, check.name) for check in checks if not check.passed]


def test_a_good_evaluation_passes() -> None:
    hidden = {attack: 0.1 for attack in GOOD}
    assert failed(cell(GOOD), cell(hidden, defence="crafter")) == []


@pytest.mark.parametrize(
    ("named", "changes", "name"),
    [
        ({"white_box": 0.8, "black_box": 0.8, "adaptive": 0.8}, {}, "undefended faces are"),
        ({"white_box": 0.3, "black_box": 0.95, "adaptive": 0.95}, {}, "white box at least"),
        ({"white_box": 0.95, "black_box": 0.95, "adaptive": 0.3}, {}, "adaptive at least"),
        (GOOD, {"zero_gradients": 0.5}, "no zero gradients"),
        (GOOD, {"curve": (2.0, 1.0, 1.2, 0.9)}, "searches settle"),
    ],
)
def test_a_weak_attack_is_flagged(named: dict[str, float], changes: Any, name: str) -> None:
    found = failed(cell(named, **changes))
    assert len(found) == 1 and found[0][1].startswith(name)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"spread": 0.0}, "releases differ"),
        ({"change": 0.0}, "the defence acts"),
        ({"status": {"ok": 2, "diverged": 1}}, "the defence ended"),
    ],
)
def test_a_broken_defence_is_flagged_at_its_point_only(changes: Any, name: str) -> None:
    bad = cell({attack: 0.1 for attack in GOOD}, defence="crafter", **changes)
    cells = [cell(GOOD), bad]
    checks = check_cells(cells, oracle=ORACLE, bounds=BOUNDS)
    (only,) = [check for check in checks if not check.passed]
    assert only.name.startswith(name) and only.point == "crafter-1"
    rows = attack_results(cells, identity=IDENTITY, checks=checks, how=HOW)
    assert {row.point: row.reliable for row in rows} == {"none": True, "crafter-1": False}


def test_only_attacks_that_step_can_settle() -> None:
    def settled(*curve: float) -> list[float | None]:
        checks = check_cells([cell(GOOD, curve=curve)], oracle=ORACLE, bounds=BOUNDS)
        return [check.figure for check in checks if check.name == "searches settle"]

    assert settled() == settled(0.3) == settled(0.3, 0.2) == []
    assert settled(2.0, 1.5, 0.5) == [1.0]
    assert settled(2.0, 1.0, 1.5, 0.5) == [1.5]  # a better restart does not excuse the course


def test_a_dead_gradient_wants_an_attack_that_needs_none() -> None:
    static = {"white_box": 0.1, "black_box": 0.1}
    assert failed(cell(static | {"adaptive": 0.1}, defence="crafter", gradient=0.0)) == []
    wanted = ("crafter-1", "no attack relies on a dead gradient")
    assert wanted in failed(cell(static, defence="crafter", gradient=0.0))
    # what only looks up a neighbour has learnt nothing, nor has what draws worse than an average
    floor = cell(static | {"nearest": 0.1}, defence="crafter", gradient=0.0)
    assert wanted in failed(floor)
    lost = cell(static | {"adaptive": 0.1}, defence="crafter", gradient=0.0, ssim={"adaptive": 0.1})
    assert wanted in failed(lost)
    for error, answers in ((0.4, True), (1.0, False)):  # 1 is the mean feature's
        undone = cell(static | {"undone": 0.1}, defence="crafter", gradient=0.0, curve=(error,))
        assert (wanted not in failed(undone)) == answers


def test_an_adaptive_attack_that_draws_worse_than_the_average_face_is_flagged() -> None:
    hidden = {attack: 0.1 for attack in GOOD}
    for drawn, wanted in ((0.29, []), (0.1, [("crafter-1", "adaptive decoders have learnt")])):
        bad = cell(hidden, defence="crafter", ssim={"adaptive": drawn})
        assert failed(cell(GOOD), bad) == wanted


def test_an_un_crafter_that_is_worse_than_the_mean_feature_is_flagged() -> None:
    hidden = {attack: 0.1 for attack in (*GOOD, "undone")}
    for error, wanted in ((1.0, []), (300.0, [("crafter-1", "un-crafters have learnt")])):
        assert failed(cell(GOOD), cell(hidden, defence="crafter", curve=(error,))) == wanted


def test_features_and_labels_must_link_as_well_as_labels() -> None:
    for both, wanted in ((0.5, []), (0.2, [("none", "features and labels at least as good"[:35])])):
        linked = {"labels": guessed(0.5), "released features and labels": guessed(both)}
        found = failed(cell(GOOD).model_copy(update={"linked": linked}))
        assert [(point, name[:35]) for point, name in found] == wanted


def test_a_defence_in_the_encoder_is_not_asked_whether_it_acts() -> None:
    hidden = {attack: 0.1 for attack in GOOD}
    assert failed(cell(GOOD), cell(hidden, defence="advlearn", change=0.0)) == []


def test_a_difference_by_chance_is_not_flagged() -> None:
    close = {"white_box": 0.925, "black_box": 0.95, "adaptive": 0.925}
    assert failed(cell(close)) == []


def test_few_people_seeds_or_a_blind_judge_are_flagged() -> None:
    good = {"people": 20, "seeds": [0, 1, 2], "defences": ["none", "crafter"]}

    def names(oracle: Identification = ORACLE, **changes: Any) -> list[str]:
        checks: list[Check] = check_setup(oracle, **good | changes)
        return [check.name for check in checks if not check.passed]

    assert names() == []
    assert names(people=3) == ["enough people"]
    assert names(seeds=[0]) == ["enough seeds"]
    assert names(defences=["crafter"]) == ["there is a reference"]
    assert names(ORACLE.model_copy(update={"top1": 0.5})) == ["the judge sees"]


def test_seeds_are_averaged_and_kept() -> None:
    cells = [cell({"white_box": share}, seed=seed) for seed, share in enumerate((0.5, 0.6, 0.7))]
    (row,) = worst_cases(cells, identity=IDENTITY, checks=[], how=HOW)
    assert row.top1 == pytest.approx(0.6)
    assert row.top1_by_seed == pytest.approx((0.5, 0.6, 0.7))
    assert row.intervals["top1"][0] < 0.6 < row.intervals["top1"][1]
    assert row.best_attack == "white_box" and row.seeds == (0, 1, 2)
