"""The study's bookkeeping: points, resume, table."""

import json
from pathlib import Path

import pytest

from fl_crafter.defences.configured import NAMES
from fl_crafter.errors import InputError
from fl_crafter.study.frontier import points, read_point, write_point
from fl_crafter.study.table import table, write_results

SETUP = {"dataset": "celeba", "people": 2, "seed": 0, "attacks": ["decoder"]}


def result(defence: str, value: float, auc: float, top1: float) -> dict[str, object]:
    own = {"top1": top1, "interval": (top1 - 0.01, top1 + 0.01), "chance": {"top1": 0.0625}}
    return {
        "defence": defence,
        "value": value,
        "utility_auc": auc,
        "utility_interval": [auc - 0.02, auc + 0.02],
        "identification": {"decoder": own | {"top1": top1 / 2}, "worst_case": own},
    }


def test_every_defence_is_on_the_frontier_and_no_two_points_share_a_file() -> None:
    found = list(points())
    assert {point.defence for point in found} == set(NAMES)
    assert len({point.name for point in found}) == len(found)
    assert sum(point.defence == "crafter" for point in found) >= 6


def test_a_point_that_was_measured_is_read_back(tmp_path: Path) -> None:
    path, own = tmp_path / "points" / "crafter-1.json", result("crafter", 1.0, 0.9, 0.1)
    assert read_point(path, SETUP) is None
    write_point(path, own, SETUP)
    assert read_point(path, SETUP) == json.loads(json.dumps(own))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_point_of_another_study_or_a_broken_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "crafter-1.json"
    write_point(path, result("crafter", 1.0, 0.9, 0.1), SETUP | {"seed": 1})
    with pytest.raises(InputError, match="another study"):
        read_point(path, SETUP)
    path.write_text('{"setup": ')
    with pytest.raises(InputError, match="broken"):
        read_point(path, SETUP)


def test_the_table_has_every_figure(tmp_path: Path) -> None:
    found = [result("none", 1.0, 0.9, 0.75), result("crafter", 10.0, 0.89, 0.08)]
    lines = table(found).splitlines()
    assert len(lines) == 4
    assert "| `crafter` | 10 | 0.890 (0.870–0.910) | 0.040 | 0.080 (0.070–0.090) | 0.062 |" in lines
    write_results(found, tmp_path)
    assert json.loads((tmp_path / "frontier.json").read_text())[1]["defence"] == "crafter"
    assert (tmp_path / "frontier.png").stat().st_size > 5000
    assert not list(tmp_path.glob("partial*"))
