"""Measure the cells of an evaluation in several processes, over Ray."""

from pathlib import Path

from fl_crafter.study.bench import open_bench
from fl_crafter.study.grid import PLAN, Task, missing, run_cells
from fl_crafter.study.plan import Plan
from simulations.ray_cluster import ray_cluster


def measure_over_ray(out: Path, workers: int) -> int:
    """Measure what is missing of the plan in a folder; each worker writes its own cells.

    Args:
        out: folder of the evaluation, with its plan.
        workers: processes; each holds a bench of its own.

    Returns:
        Number of cells that were measured.

    Raises:
        InputError: the folder holds no plan, or cells of another one.
    """
    plan = Plan.read(out / PLAN)
    left = missing(plan, out)
    if not left:
        return 0
    with ray_cluster(workers=workers, worker_output=True) as ray:
        run = ray.remote(num_cpus=1)(_measure)
        ray.get([run.remote(plan, share, out) for share in shares(left, workers)])
    return len(left)


def shares(tasks: list[Task], workers: int) -> list[list[Task]]:
    """The tasks dealt to at most so many workers, none of which goes empty."""
    return [tasks[worker::workers] for worker in range(min(workers, len(tasks)))]


def _measure(plan: Plan, tasks: list[Task], out: Path) -> None:
    run_cells(plan, tasks, out, bench=open_bench(plan), announce=print)
