"""Cells over Ray: every missing one is measured once, by a process of its own."""

import gc
import importlib.util
import os
from pathlib import Path

import pytest

from fl_crafter.files import write_text
from fl_crafter.study.grid import PLAN, Task, cell_path
from fl_crafter.study.plan import Plan
from simulations import evaluation


@pytest.mark.ray
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the processes that Ray starts
def test_every_missing_cell_is_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(
        data="celeba",
        root="",
        people=4,
        photos=4,
        faces=0,
        public=300,
        defences="none,noise",
        suite="decoders",
        budget="cpu",
        seeds=(0,),
        evaluators=("sface",),
    )

    def leave_a_note(plan: Plan, tasks: list[Task], out: Path) -> None:
        """In the place of the measurement, which takes a dataset: who would have done it."""
        for task in tasks:
            write_text(cell_path(out, task).with_suffix(".note"), str(os.getpid()))

    plan.write(tmp_path / PLAN)
    monkeypatch.setattr(evaluation, "_measure", leave_a_note)
    assert evaluation.measure_over_ray(tmp_path, 2) == 4
    notes = {path.stem: path.read_text() for path in (tmp_path / "cells").glob("*.note")}
    assert notes.keys() == {"none-seed0", "noise-2-seed0", "noise-1-seed0", "noise-0.5-seed0"}
    assert len(set(notes.values())) == 2 and str(os.getpid()) not in notes.values()
    gc.collect()  # while the filter holds
