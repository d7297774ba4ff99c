"""The evaluation's checks of its solver and its defences fail where those are broken."""

import pytest
import torch

from fl_crafter.defences.base import Protected
from fl_crafter.inversion.inverters import LevenbergMarquardt
from fl_crafter.study import audit
from fl_crafter.study.bench import Bench

RECOVERED = "a drawn face is recovered"
NEARER = "more steps come nearer"
OPEN = "noise at its limit reproduces none"


def passed(bench: Bench) -> dict[str, bool]:
    return {check.name: check.passed for check in audit.audit(bench)}


def one_feature(defence: object, feature: torch.Tensor, **_: object) -> list[Protected]:
    return [Protected(feature.mean(0).expand_as(feature))]


def test_what_works_passes(bench: Bench) -> None:
    assert passed(bench) == {RECOVERED: True, NEARER: True, OPEN: True}


def test_a_search_that_does_not_move_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = LevenbergMarquardt(steps=1, damping=1e9)
    monkeypatch.setattr(audit, "LONG", stuck)
    monkeypatch.setattr(audit, "SHORT", stuck)
    found = passed(bench)
    assert not found[RECOVERED]
    assert not found[NEARER], "as near is not nearer"


def test_a_defence_that_hides_at_its_open_end_fails(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "protect", one_feature)
    assert not passed(bench)[OPEN]
