"""The grid's bookkeeping: files, resume, results, tables."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fl_crafter import machine
from fl_crafter.errors import InputError
from fl_crafter.evaluation.results import Results, read_results, write_results
from fl_crafter.report.pictures import Pictures
from fl_crafter.study import grid
from fl_crafter.study.bench import Bench
from fl_crafter.study.photographs import are_alike, sketch
from fl_crafter.study.plan import Plan
from fl_crafter.study.table import markdown, write_tables


class OneStep(Plan):
    """The smoke budget of the standard suite."""


@pytest.fixture(scope="module")
def small(make_plan: Callable[..., Plan], bench: Bench) -> tuple[Plan, Bench]:
    """A plan whose attacks cost nothing, and its bench."""
    known = dataclasses.asdict(make_plan(seeds=(0, 1)))
    plan = OneStep(**known)
    fields = {each.name: getattr(bench, each.name) for each in dataclasses.fields(Bench)}
    return plan, Bench(**fields | {"plan": plan, "_prepared": {}})


@pytest.fixture(scope="module")
def evaluated(
    small: tuple[Plan, Bench], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Plan, Bench, Path, Results]]:
    plan, bench = small
    out = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "open_bench", lambda plan: bench)
        results = grid.evaluate(plan, out, command="test", announce=lambda line: None)
        yield plan, bench, out, results


def test_an_evaluation_goes_on_where_it_was(
    evaluated: tuple[Plan, Bench, Path, Results],
) -> None:
    plan, _, out, results = evaluated
    names = {"none-seed0", "none-seed1", "noise-1-seed0", "noise-1-seed1"}
    assert {path.stem for path in (out / "cells").iterdir()} == names
    assert {path.stem for path in (out / "pictures").iterdir()} == names
    (out / "cells" / "noise-1-seed1.json").unlink()
    lines: list[str] = []
    again = grid.evaluate(plan, out, command="test", announce=lines.append)
    assert lines[0] == "1 of 4 cells to measure"
    assert sum(line.startswith("noise-1") for line in lines) == 1

    def figures(results: Results) -> list[dict]:
        return [row.model_dump() for row in results.results]

    assert figures(again) == figures(results)


def test_whom_the_networks_may_have_met_is_asked_of_celeba_alone(
    make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    def passed(data: str) -> list[bool]:
        plan = make_plan(data=data, root=str(tmp_path))
        return [check.passed for check in grid.strangers(plan)]

    (tmp_path / "celeba" / "img_align_celeba").mkdir(parents=True)
    assert passed("lfw") == [] and passed("celeba") == [False]
    (tmp_path / "celeba" / "roles.csv").touch()
    assert passed("celeba") == [True]


def test_results_hold_every_row_and_no_picture(
    evaluated: tuple[Plan, Bench, Path, Results],
) -> None:
    plan, bench, out, results = evaluated
    attacks = [attack.name for attack in plan.attacks()]
    assert len(results.results) == 2 * 2 * (len(attacks) + 1), "and the guess from all pictures"
    assert [row.point for row in results.worst_case] == ["none", "noise-1"]
    assert {row.seed for row in results.results} == {0, 1}
    assert not results.reliable  # two seeds, and attacks that do next to nothing
    assert not any(row.reliable for row in results.worst_case)
    for worst in results.worst_case:
        for seed, top1 in zip(worst.seeds, worst.top1_by_seed, strict=True):
            own = [
                r.top1
                for r in results.results
                if (r.point, r.seed) == (worst.point, seed) and r.attack in attacks
            ]
            assert top1 >= max(own)
        for figure in ("top1", "top5", "tar_far_1e2", "tar_far_1e3"):
            for attack in attacks:
                own = [
                    getattr(r, figure)
                    for r in results.results
                    if (r.point, r.attack) == (worst.point, attack)
                ]
                assert getattr(worst, figure) >= sum(own) / len(own) - 1e-9
    write_results(results, out / "results.json")
    assert read_results(out / "results.json") == results
    stored = json.loads((out / "results.json").read_text())
    assert {"results", "worst_case", "self_checks", "floors", "versions"} <= stored.keys()
    assert "planted" in stored["dataset"] and str(out) not in json.dumps(stored)


def test_tables_mark_what_is_unreliable(evaluated: tuple[Plan, Bench, Path, Results]) -> None:
    _, _, out, results = evaluated
    text = markdown(results)
    assert "| all pictures, one guess | worst case" in text
    assert "| `noise` ⚠ | 1 |" in text and "**warning** ⚠" in text
    write_tables(results, out)
    assert (out / "evaluation.png").stat().st_size > 5000
    assert "panels.svg" in {path.name for path in out.iterdir()}
    assert not list(out.glob("*.partial"))


def test_pictures_are_those_of_reports(evaluated: tuple[Plan, Bench, Path, Results]) -> None:
    _, bench, out, _ = evaluated
    path = out / "pictures" / "noise-1-seed0.safetensors"
    pictures = Pictures.load(path)
    assert len(pictures.raw) == grid.SHOWN_PEOPLE
    assert {defence for defence, _ in pictures.reconstruction} == {"noise-1"}
    assert load_file(path)["raw"].dtype == torch.uint8
    first = (bench.faces.image[bench.test[0]] * 255).round().to(torch.uint8)
    assert torch.equal(pictures.raw[0], first)


def test_a_cell_of_another_plan_or_a_broken_one_is_refused(
    evaluated: tuple[Plan, Bench, Path, Results], tmp_path: Path
) -> None:
    plan, _, out, _ = evaluated
    task = next(task for task in grid.tasks(plan) if task[0].defence == "none")
    path = grid.cell_path(tmp_path, task)
    path.parent.mkdir()
    stored = json.loads(grid.cell_path(out, task).read_text())
    moved = dataclasses.replace(task[0], batch=task[0].batch + 1)
    for changed, asked in ((stored | {"plan": {}}, task), (stored, (moved, task[1]))):
        path.write_text(json.dumps(changed))
        with pytest.raises(InputError, match="another evaluation"):
            grid.read_cell(tmp_path, asked, plan)
    for broken in ('{"plan": ', "{}", json.dumps(stored | {"cell": {"defence": "none"}})):
        path.write_text(broken)
        with pytest.raises(InputError, match="broken"):
            grid.read_cell(tmp_path, task, plan)


def test_another_cloud_model_is_measured_and_checked_anew(
    small: tuple[Plan, Bench],
    evaluated: tuple[Plan, Bench, Path, Results],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, bench = small
    out = shutil.copytree(evaluated[2], tmp_path / "out")
    checked: list[Bench] = []
    monkeypatch.setattr(grid, "audit", lambda bench: checked.append(bench) or [])

    def again() -> Results:
        return grid.evaluate(plan, out, command="test", announce=lambda line: None)

    monkeypatch.setattr(grid, "open_bench", lambda plan: bench)
    assert again().learnt == bench.learnt and not checked
    other = dataclasses.replace(bench, learnt="other photographs")
    monkeypatch.setattr(grid, "open_bench", lambda plan: other)
    with pytest.raises(InputError, match="learnt from other photographs; name another folder"):
        again()
    shutil.rmtree(out / "cells")
    assert again().learnt == "other photographs" and checked == [other]


def test_other_faces_of_the_same_names_are_refused(
    small: tuple[Plan, Bench],
    evaluated: tuple[Plan, Bench, Path, Results],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, bench = small
    knowledge = dataclasses.replace(bench.knowledge, public_image=bench.knowledge.public_image / 2)
    other = dataclasses.replace(bench, knowledge=knowledge)
    monkeypatch.setattr(grid, "open_bench", lambda plan: other)
    moved = dataclasses.replace(plan, root="/data/moved")  # where else they are does not matter
    before = (evaluated[2] / grid.PLAN).read_text()
    with pytest.raises(InputError, match="is of other faces; name another folder"):
        grid.evaluate(moved, evaluated[2], command="test", announce=lambda line: None)
    assert (evaluated[2] / grid.PLAN).read_text() == before


def test_the_plan_of_a_folder_is_not_replaced_by_one_that_is_refused(
    evaluated: tuple[Plan, Bench, Path, Results], tmp_path: Path
) -> None:
    out = shutil.copytree(evaluated[2], tmp_path / "out")
    before = (out / grid.PLAN).read_text()
    other = dataclasses.replace(evaluated[0], faces=2)
    with pytest.raises(InputError, match="another evaluation"):
        grid.evaluate(other, out, command="test", announce=lambda line: None)
    assert (out / grid.PLAN).read_text() == before


def test_a_sketch_tells_photographs_apart_and_bears_other_decoders() -> None:
    image = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    last_bit = (image + torch.randn_like(image) / 255).clamp(0, 1)
    assert are_alike(sketch(image), sketch(last_bit))
    assert not are_alike(sketch(image), sketch(image.flip(0)))
    one_other = torch.cat([image[:-1], 1 - image[-1:]])
    assert not are_alike(sketch(image), sketch(one_other))


def test_cells_name_the_commit_of_a_checkout(
    evaluated: tuple[Plan, Bench, Path, Results], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert evaluated[3].versions.get("commit", "") == machine.commit()
    machine.commit.cache_clear()
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "fl_crafter/machine.py"))
    assert machine.commit() == "" and "commit" not in machine.versions()
    machine.commit.cache_clear()


def test_other_processes_may_measure(
    small: tuple[Plan, Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, bench = small
    monkeypatch.setattr(grid, "open_bench", lambda plan: bench)
    measured: list[str] = []

    def worker() -> None:
        left = grid.missing(OneStep.read(tmp_path / grid.PLAN), tmp_path)
        own = [task for task in grid.tasks(plan) if task[0].name in {p.name for p, _ in left}]
        grid.run_cells(plan, own, tmp_path, bench=bench, announce=measured.append)

    lines: list[str] = []
    grid.evaluate(plan, tmp_path, command="test", announce=lines.append, elsewhere=worker)
    assert len(measured) == 4 and not any("seed" in line for line in lines)


def test_appearance_alone_is_the_same_and_says_what_is_left_out(
    evaluated: tuple[Plan, Bench, Path, Results], tmp_path: Path
) -> None:
    plan, bench, _, results = evaluated
    alone = dataclasses.replace(plan, appearance_only=True, seeds=(0,))
    fields = {each.name: getattr(bench, each.name) for each in dataclasses.fields(Bench)}
    with pytest.MonkeyPatch.context() as patch:
        own = Bench(**fields | {"plan": alone, "_prepared": {}})
        patch.setattr(grid, "open_bench", lambda plan: own)
        found = grid.evaluate(alone, tmp_path, command="test", announce=lambda line: None)
    assert [row.top1 for row in found.results] == [
        row.top1 for row in results.results if row.seed == 0
    ]
    assert not found.linkability
    assert {row.development_auc for row in found.worst_case} == {None}
    text = markdown(found)
    assert "## Linkability" not in text and "| – |" in text
    with pytest.raises(InputError, match="another evaluation"):
        grid.missing(plan, tmp_path)
