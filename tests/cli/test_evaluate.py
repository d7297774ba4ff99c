"""`fl-crafter evaluate`: one sentence for each wrong word, and nothing written before."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fl_crafter.files import only_here
from fl_crafter.study.grid import PLAN, tasks
from fl_crafter.study.plan import Plan
from simulations.__main__ import app as simulations_app
from simulations.evaluation import shares


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--defences", "blur"), "'blur'"),
        (("--defences", "noise:loud"), "'loud'"),
        (("--suite", "mine"), "'mine'"),
        (("--budget", "huge"), "'huge'"),
        (("--evaluator", "no.such:network"), "'no.such:network'"),
        (("--generator", "no.such:network"), "'no.such:network'"),
        (("--encoder", "a:b", "--defences", "none,crafter_z"), "'crafter_z'"),
        (("--encoder", "a:b", "--defences", "tiprdc:weights"), "weights"),
        (("--data", "faces94"), "faces94"),
        ((), "absent"),
    ],
)
def test_a_wrong_word_gets_one_sentence(
    options: tuple[str, ...], named: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    refused("evaluate", "--root", tmp_path / "absent", *options, "--out", out, named=(named,))
    assert not (out / "cells").exists()


def test_an_evaluation_that_goes_on_is_left_alone(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with only_here(out):
        refused("evaluate", "--data", "orl", "--out", out, named=("Another run", str(out)))
    assert not out.exists()


def test_workers_get_equal_shares_and_none_goes_empty() -> None:
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
        seeds=(0, 1),
        evaluators=("sface",),
    )
    dealt = shares(tasks(plan), 3)
    assert sorted(len(share) for share in dealt) == [2, 3, 3]
    assert sorted((p.name, s) for share in dealt for p, s in share) == sorted(
        (p.name, s) for p, s in tasks(plan)
    )
    assert len(shares(tasks(plan), 99)) == 8


def test_workers_need_a_plan(tmp_path: Path) -> None:
    done = CliRunner().invoke(simulations_app, ["evaluate", str(tmp_path)])
    assert done.exit_code == 2 and "no plan" in done.stderr and PLAN in done.stderr
