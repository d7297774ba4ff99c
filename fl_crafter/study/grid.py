"""The grid: one file for each cell, so that it can be stopped, go on, and be shared by workers."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from fl_crafter.errors import InputError
from fl_crafter.evaluation.bootstrap import Resampling
from fl_crafter.evaluation.cell import Cell
from fl_crafter.evaluation.checks import check_cells
from fl_crafter.evaluation.collect import attack_results, linkabilities, worst_cases
from fl_crafter.evaluation.results import Check, Results
from fl_crafter.evaluation.setup_checks import are_strangers, check_setup
from fl_crafter.faces import celeba
from fl_crafter.files import write_text
from fl_crafter.machine import machine, versions
from fl_crafter.picture import as_bytes
from fl_crafter.progress import Remaining
from fl_crafter.study.audit import audit
from fl_crafter.study.bench import Bench, open_bench
from fl_crafter.study.floors import floors
from fl_crafter.study.measure import Pictures, measure
from fl_crafter.study.photographs import are_alike
from fl_crafter.study.plan import Plan
from fl_crafter.study.points import Point
from fl_crafter.tensor_files import write_safetensors

PLAN, AUDIT = "plan.json", "self_checks.json"
SHOWN_PEOPLE = 10
Task = tuple[Point, int]


def tasks(plan: Plan) -> list[Task]:
    """Point and seed of each cell; all points of a seed before the next seed."""
    return [(point, seed) for seed in plan.seeds for point in plan.points()]


def cell_path(out: Path, task: Task) -> Path:
    """The file of a cell's figures."""
    point, seed = task
    return out / "cells" / f"{point.name}-seed{seed}.json"


def missing(plan: Plan, out: Path) -> list[Task]:
    """The cells that are not measured yet.

    Raises:
        InputError: a cell is broken, or was measured under another plan.
    """
    return [task for task in tasks(plan) if read_cell(out, task, plan) is None]


def run_cells(
    plan: Plan, chosen: list[Task], out: Path, *, bench: Bench, announce: Callable[[str], None]
) -> None:
    """Measure cells and write each whole, with its pictures beside it."""
    remaining = Remaining(len(chosen))
    made_with = {"machine": machine(), "versions": versions(), **_of_bench(bench)}
    for point, seed in chosen:
        began = time.monotonic()
        cell, pictures = measure(bench, point, seed)
        _write_pictures(out, bench, cell, pictures)
        content = {"plan": _fixed(plan, point), "made_with": made_with}
        content["cell"] = cell.model_dump(mode="json")
        write_text(cell_path(out, (point, seed)), json.dumps(content) + "\n")
        worst = cell.worst_case[bench.main].within(1).double().mean()
        announce(
            f"{point.name}, seed {seed}: AUC {cell.utility_auc:.3f}, worst case {worst:.1%}, "
            f"{time.monotonic() - began:.0f} s; {remaining.part_done()}"
        )


def _fixed(plan: Plan, point: Point) -> dict[str, Any]:
    """What a cell was measured with, its defence's settings or weights included."""
    return plan.fixed() | {"point": point.fixed()}


def read_cell(out: Path, task: Task, plan: Plan) -> Cell | None:
    """The figures of a cell; None where it was not measured yet.

    Raises:
        InputError: the file is broken, or was measured under another plan.
    """
    path = cell_path(out, task)
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text("utf-8"))
        if stored["plan"] != _fixed(plan, task[0]):
            raise InputError(f"{path} is of another evaluation; name another folder with --out.")
        if not {"machine", "versions", "learnt", "photographs"} <= set(stored["made_with"]):
            raise KeyError("made_with")
        return Cell.model_validate_json(json.dumps(stored["cell"]))
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is broken; remove it to measure that cell again.") from error


def _write_pictures(out: Path, bench: Bench, cell: Cell, pictures: Pictures) -> None:
    """The first photograph of each of the first people, in the form that reports read."""
    first: dict[int, int] = {}
    for place, person in enumerate(bench.identity.tolist()):
        first.setdefault(person, place)
    row = torch.tensor(sorted(first.values())[:SHOWN_PEOPLE])
    tensors = {"raw": as_bytes(bench.faces.image[bench.test[row]])}
    for attack, image in pictures.items():
        tensors[f"reconstruction/{cell.point}/{attack}"] = as_bytes(image[row])
        hit = cell.judged[bench.main][attack].guess.within(1)
        tensors[f"named/{cell.point}/{attack}"] = hit[row]
    path = out / "pictures" / f"{cell.point}-seed{cell.seed}.safetensors"
    write_safetensors(path, tensors, metadata={"format": "fl-crafter pictures"})


def evaluate(
    plan: Plan,
    out: Path,
    *,
    command: str,
    announce: Callable[[str], None],
    elsewhere: Callable[[], None] | None = None,
) -> Results:
    """Measure what is missing, check, and put all together.

    Args:
        plan: of the evaluation.
        out: folder of everything that is written.
        command: that the user typed, for the record.
        announce: is told of progress.
        elsewhere: has the cells measured by other processes; by default this one does it.
    """
    began = time.monotonic()
    left = missing(plan, out)
    announce(f"{len(left)} of {len(tasks(plan))} cells to measure")
    if left and elsewhere is not None:
        plan.write(out / PLAN)  # which those processes read
        elsewhere()
        left = missing(plan, out)
    bench = open_bench(plan)
    _check_photographs(plan, out, bench)
    plan.write(out / PLAN)  # not before what is there has been found to be of it
    run_cells(plan, left, out, bench=bench, announce=announce)
    announce("the evaluation checks itself")
    checks = _audited(plan, out, bench)
    return _results(plan, out, bench, checks, command=command, seconds=time.monotonic() - began)


def _of_bench(bench: Bench) -> dict[str, Any]:
    """What a plan does not say, and must be the same for cells to stand in one table."""
    return {"learnt": bench.learnt, "photographs": bench.photographs}


def _check_photographs(plan: Plan, out: Path, bench: Bench) -> None:
    """Refuse cells of other photographs, or of a cloud model that learnt from others.

    Raises:
        InputError: a cell is of one.
    """
    for task in tasks(plan):
        path = cell_path(out, task)
        if not path.is_file():
            continue
        known = _made_with(path)
        alike = are_alike(known["photographs"], bench.photographs)
        if not alike or known["learnt"] != bench.learnt:
            what = "a cloud model that learnt from other photographs" if alike else "other faces"
            raise InputError(f"{path} is of {what}; name another folder with --out.")


def _audited(plan: Plan, out: Path, bench: Bench) -> list[Check]:
    """The checks that need computing, from their file where it is of the same plan and defences."""
    made_for: dict[str, Any] = plan.fixed() | {
        "points": {point.name: point.fixed() for point in plan.points()},
        **_of_bench(bench),
    }
    path = out / AUDIT
    if path.is_file():
        try:
            stored = json.loads(path.read_text("utf-8"))
            if stored["plan"] == made_for:
                return [Check.model_validate(each) for each in stored["checks"]]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is broken; remove it to check again.") from error
    checks = audit(bench)
    content = {"plan": made_for, "checks": [check.model_dump(mode="json") for check in checks]}
    write_text(path, json.dumps(content, indent=1) + "\n")
    return checks


def strangers(plan: Plan) -> list[Check]:
    """Whether the shipped networks, which learnt from CelebA, may have met the private people."""
    if plan.data != "celeba":
        return []
    return [are_strangers(split_is_drawn=celeba.split_is_drawn(Path(plan.root)))]


def _results(
    plan: Plan, out: Path, bench: Bench, audited: list[Check], *, command: str, seconds: float
) -> Results:
    cells = list(_cells(plan, out))
    made_with = [_made_with(cell_path(out, task)) for task in tasks(plan)]
    how, points = Resampling(), plan.points()
    oracle = {name: own.raw_identification(how=how) for name, own in bench.truth.items()}
    people = len(bench.truth[bench.main].gallery.identity)
    checks = [
        *check_setup(
            oracle[bench.main],
            people=len(bench.identity.unique()),
            seeds=plan.seeds,
            defences=[point.defence for point in points],
        ),
        *strangers(plan),
        *audited,
        *check_cells(cells, oracle=oracle[bench.main], bounds=bench.bounds),
    ]
    known: dict[str, Any] = {"identity": bench.identity, "checks": checks, "how": how}
    attacks = [each for cell in cells for each in cell.likeness.values()]
    return Results(
        dataset=bench.faces.name,
        people=people,
        photographs=len(bench.test),
        public_photographs=len(bench.knowledge.public_image),
        evaluators=tuple(bench.evaluators),
        seeds=plan.seeds,
        suite=plan.suite,
        budget=plan.budget,
        attacks=plan.attack_settings(),
        generator=plan.generator,
        encoder=plan.encoder,
        uploads=plan.uploads,
        releases=plan.releases,
        batch=plan.batch,
        drawn=plan.drawn,
        attributes=plan.attributes,
        size=plan.size,
        public_data=plan.public_data,
        learnt=bench.learnt,
        settings={point.name: str(point.settings) for point in points},
        versions={
            name: _all_of(own["versions"].get(name, "none") for own in made_with)
            for name in sorted({name for own in made_with for name in own["versions"]})
        },
        machine=_all_of(own["machine"] for own in made_with),
        command=command,
        seconds={
            "defences": sum(cell.release.seconds for cell in cells),
            "attacks": sum(each.seconds for each in attacks),
            "this run": seconds,
        },
        oracle=oracle,
        floors=floors(bench),
        self_checks=tuple(checks),
        results=tuple(attack_results(cells, **known)),
        worst_case=tuple(worst_cases(cells, **known)),
        linkability=tuple(linkabilities(cells, **known)),
    )


def _cells(plan: Plan, out: Path) -> Iterator[Cell]:
    for task in tasks(plan):
        cell = read_cell(out, task, plan)
        if cell is None:
            raise InputError(f"{cell_path(out, task)} went missing; run the evaluation again.")
        yield cell


def _made_with(path: Path) -> dict[str, Any]:
    """Machine and versions of a cell, which may be from another one, and what its cloud learnt."""
    return json.loads(path.read_text("utf-8"))["made_with"]


def _all_of(values: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(values))
