"""A federated round over Ray against the same work in one process.

    fl-crafter bench round --json out/bench/round.json

Both sides run the same apps on the same photographs (ORL) with the same seed, one client at a time
and one thread each: Ray is given one worker, so that nothing but Flower and Ray themselves is
between the two figures. The first round, which also builds the defence, is left out. The sides take
turns, and each turn gives an overhead of its own: on a machine that other work shares, their range
says how far the median can be trusted.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from fl_crafter.files import write_text
from simulations.config import SimulationConfig
from simulations.launch import Mode, read_result, run_simulation

CLIENTS = 4


def round_seconds(config: SimulationConfig, mode: Mode) -> list[float]:
    """Seconds of each round after the first."""
    with tempfile.TemporaryDirectory() as name:
        folder = run_simulation(config, Path(name), mode=mode, show=lambda line: None)
        rounds: Any = read_result(folder)["rounds"]
    return [each["seconds"] for each in rounds[1:]]


def measure(defence: str, *, rounds: int, turns: int) -> dict[str, Any]:
    """Both sides, in turns."""
    config = SimulationConfig(
        defence=defence,
        clients=CLIENTS,
        rounds=rounds + 1,
        client_cpus=os.cpu_count() or 1,  # one worker
        public_images=200,
        generated_images=300,
        cloud_epochs=1,
    )
    here: list[float] = []
    over_ray: list[float] = []
    overheads: list[float] = []
    for _ in range(turns):
        one, other = round_seconds(config, "in-process"), round_seconds(config, "flower")
        overheads.append(statistics.median(other) / statistics.median(one) - 1)
        here, over_ray = here + one, over_ray + other
    one_process, ray = statistics.median(here), statistics.median(over_ray)
    return {
        "one_process_s": spread(here),
        "ray_s": spread(over_ray),
        "overhead": ray / one_process - 1,
        "overhead_of_each_turn": overheads,
        "overhead_s": ray - one_process,
    }


def spread(seconds: list[float]) -> dict[str, Any]:
    return {
        "median": statistics.median(seconds),
        "range": [min(seconds), max(seconds)],
        "rounds": seconds,
    }


def main() -> None:
    """Run both sides without and with crafting, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench/round.json"))
    parser.add_argument("--rounds", type=int, default=4, help="timed rounds of a run")
    parser.add_argument("--turns", type=int, default=2, help="runs of each side")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the server over Ray, which sets none itself
    content: dict[str, Any] = {
        "machine": f"{os.cpu_count()} x {platform.machine()}",
        "load_average": os.getloadavg(),
        "torch": torch.__version__,
        "clients": CLIENTS,
        "aim": "overhead at most 0.10 with crafting on",
    }
    print(f"{'defence':>8} {'one process':>12} {'Ray':>8} {'overhead':>9}")
    for defence in ("none", "crafter"):
        figures = measure(defence, rounds=arguments.rounds, turns=arguments.turns)
        content[defence] = figures
        print(
            f"{defence:>8} {figures['one_process_s']['median']:10.2f} s "
            f"{figures['ray_s']['median']:6.2f} s {figures['overhead']:+8.1%}",
            flush=True,
        )
    content["reached"] = content["crafter"]["overhead"] <= 0.10
    write_text(arguments.json, json.dumps(content, indent=2) + "\n")
    print(f"in {arguments.json}", file=sys.stderr)


if __name__ == "__main__":
    main()
