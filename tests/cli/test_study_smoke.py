"""`fl-crafter study run smoke`, as a user runs it: every defence, every attack, both scenarios."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fl_crafter.assets.trained import TRAINED
from fl_crafter.attacks.suite import standard
from fl_crafter.evaluation.cell import ALL_PICTURES
from fl_crafter.evaluation.results import read_results
from fl_crafter.study.points import SCALES

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(1200)
def test_the_smoke_study_has_every_defence_under_every_attack_in_both_scenarios(
    data_root: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "fl_crafter.cli.main", "study", "run", "smoke"]
    options = ["--root", str(data_root / "celeba"), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, *options],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = read_results(tmp_path / "out" / "results.json")
    defences = {row.defence for row in results.worst_case}
    assert defences == set(SCALES) | set(TRAINED)
    attacks = {attack.name for attack in standard("smoke")}
    for defence in defences:
        own = [row for row in results.results if row.defence == defence]
        assert {row.attack for row in own} == attacks | {ALL_PICTURES}
    for row in results.worst_case:
        assert 0 < row.utility_auc < 1  # deployment
        assert row.development_auc is not None and 0 < row.development_auc < 1
        assert not row.reliable  # nor does it claim to be, at this size
    assert (tmp_path / "out" / "evaluation.md").is_file()
