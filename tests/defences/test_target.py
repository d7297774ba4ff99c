"""Targets: each person gets the first setting that keeps the promise."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected, Status
from fl_crafter.defences.crafter.utility import FeatureUtility
from fl_crafter.defences.target import Targeted, Unseen, WithinBudget
from fl_crafter.defences.undefended import Undefended
from tests.defences.contract import DefenceContract
from tests.world import World, seeded


class Shift(Defence):
    """Moves every feature by one length, and remembers how many it was given."""

    name = "shift"

    def __init__(self, length: float, status: Status = Status.OK) -> None:
        self.length, self.status = length, status
        self.rows: list[int] = []

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        self.rows.append(len(feature))
        return Protected(feature + self.length, self.status)


class BudgetPerPerson(FeatureUtility):
    """A person's loss counts more the brighter the first value of the feature is."""

    def loss(self, crafted: Tensor, target: Tensor) -> Tensor:
        return super().loss(crafted, target) * target[:, 0, 0, 0].abs()


def feature(*sensitivity: float) -> Tensor:
    result = torch.zeros(len(sensitivity), 1, 2, 2)
    result[:, 0, 0, 0] = torch.tensor(sensitivity)
    return result


class TestTargetedContract(DefenceContract):
    def build(self, world: World) -> Defence:
        return Targeted([Undefended()], promise=WithinBudget(FeatureUtility(), budget=1.0))


def test_the_most_private_release_within_the_budget() -> None:
    rungs = [Shift(3.0), Shift(2.0), Shift(1.0)]
    targeted = Targeted(rungs, promise=WithinBudget(BudgetPerPerson(), budget=1.0))
    clean = feature(0.1, 0.2, 0.9)  # losses 9 s, 4 s, 1 s
    result = targeted.protect(clean, random=seeded())
    moved = (result.feature - clean)[:, 0, 1, 1].tolist()
    assert moved == pytest.approx([3.0, 2.0, 1.0])
    assert result.status == Status.OK
    assert [rung.rows for rung in rungs] == [[3], [2], [1]], "who is served is not crafted again"
    assert result.figures["unmet"] == 0 and result.figures["settings_tried"] == 3


def test_over_budget_is_said() -> None:
    targeted = Targeted([Shift(2.0)], promise=WithinBudget(FeatureUtility(), budget=1.0))
    result = targeted.protect(feature(0.0, 0.0), random=seeded())
    assert result.status == Status.NOT_CONVERGED
    assert result.figures["unmet"] == 1.0


def embed(picture: Tensor) -> Tensor:
    return F.normalize(picture.flatten(1) + torch.tensor([1e-3, 0, 0, 0]), dim=1)


def unseen(limit: float) -> Unseen:
    return Unseen(eavesdropper=lambda seen: seen, embed=embed, limit=limit)


def test_the_smallest_change_that_hides_the_person() -> None:
    rungs = [Shift(0.1), Shift(1.0), Shift(10.0)]
    clean = feature(1.0, 0.1)
    result = Targeted(rungs, promise=unseen(0.8)).protect(clean, random=seeded())
    # cosine of (s + d, d, d, d) with (1, 0, 0, 0)
    assert (result.feature - clean)[:, 0, 1, 1].tolist() == pytest.approx([1.0, 0.1])
    assert result.status == Status.OK


def test_a_person_seen_in_every_setting_is_not_released() -> None:
    result = Targeted([Shift(0.0)], promise=unseen(0.8)).protect(feature(1.0), random=seeded())
    assert result.status == Status.IDENTIFIED


def test_a_setting_that_diverges_ends_it() -> None:
    rungs = [Shift(0.0, Status.DIVERGED), Shift(1.0)]
    targeted = Targeted(rungs, promise=WithinBudget(FeatureUtility(), budget=9.0))
    assert targeted.protect(feature(1.0), random=seeded()).status == Status.DIVERGED


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan")])
def test_a_budget_without_meaning_is_refused(budget: float) -> None:
    with pytest.raises(ValueError, match="budget"):
        WithinBudget(FeatureUtility(), budget=budget)
    with pytest.raises(ValueError, match="at least one"):
        Targeted([], promise=unseen(0.5))


def test_a_setting_that_did_not_converge_is_said() -> None:
    rungs = [Shift(3.0, Status.NOT_CONVERGED), Shift(1.0)]
    targeted = Targeted(rungs, promise=WithinBudget(FeatureUtility(), budget=2.0))
    assert targeted.protect(feature(0.0), random=seeded()).status == Status.NOT_CONVERGED


def test_whom_a_gate_within_refuses_nothing_is_released_of() -> None:
    rungs = [Shift(1.0, Status.IDENTIFIED), Shift(1.0)]
    targeted = Targeted(rungs, promise=WithinBudget(FeatureUtility(), budget=2.0))
    assert targeted.protect(feature(0.0), random=seeded()).status == Status.IDENTIFIED


def test_only_those_who_are_still_seen_are_named() -> None:
    promise = Unseen(eavesdropper=lambda each: each, embed=embed, limit=0.9)
    clean = feature(1.0, 0.001)
    result = Targeted([Shift(0.2)], promise=promise).protect(clean, random=seeded())
    assert result.status == Status.IDENTIFIED and result.identified is not None
    assert result.identified.tolist() == [True, False]
