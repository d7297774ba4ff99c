"""How many clients share a GPU: photographs per second of eight Ray clients against one.

    fl-crafter bench gpu --root DIR --json out/bench/gpu.json

The same photographs of CelebA are divided among one client, which has the GPU to itself, and among
eight, each a Ray actor with an eighth of it. A round is all that Flower and Ray do: encoding,
crafting, messages and the server's checks; the server trains nothing. The first round, in which
each worker starts and builds its defence, is left out. Memory is that of the whole GPU, looked at
from outside five times a second, less what was taken before.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.faces import device_name
from fl_crafter.errors import InputError
from fl_crafter.files import write_text
from simulations.config import SimulationConfig
from simulations.launch import read_result, run_simulation

LOOK_EVERY = 0.2  # seconds
SETTLING = 60.0  # seconds that the processes of an earlier run have to give their memory back
SLACK = 64.0  # MB that others on the GPU may take meanwhile


class GpuMemory:
    """The most memory, in MB, that all processes together took while this was entered.

    Args:
        before: what was taken before the first run, see `taken`.
    """

    def __init__(self, before: float) -> None:
        self.before = self.peak = before

    def __enter__(self) -> "GpuMemory":
        until = time.monotonic() + SETTLING
        while self.taken() > self.before + SLACK:
            if time.monotonic() > until:
                raise InputError(
                    f"{self.taken() - self.before:.0f} MB of the GPU are taken {SETTLING:.0f} s "
                    "after the last run; stop what else computes there and start again."
                )
            time.sleep(LOOK_EVERY)
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watcher.join()

    @staticmethod
    def taken() -> float:
        """By all processes, now, in MB."""
        free, total = torch.cuda.mem_get_info()
        return (total - free) / 2**20

    def _watch(self) -> None:
        while not self._done.wait(LOOK_EVERY):
            self.peak = max(self.peak, self.taken())

    @property
    def used(self) -> float:
        """Peak above what was taken at the start."""
        return self.peak - self.before


def measure(config: SimulationConfig, *, before: float) -> dict[str, Any]:
    """One run over Ray; `before` as of `GpuMemory`."""
    with tempfile.TemporaryDirectory() as name, GpuMemory(before) as memory:
        folder = run_simulation(config, Path(name), show=lambda line: None)
        result: Any = read_result(folder)
    rates = [each["rows"] / each["seconds"] for each in result["rounds"][1:]]
    return {
        "clients": config.clients,
        "rows_of_a_round": result["rounds"][-1]["rows"],
        "photographs_per_s": statistics.median(rates),
        "range": [min(rates), max(rates)],
        "gpu_mb": memory.used,
    }


def main() -> None:
    """Measure each number of clients with each defence, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench/gpu.json"))
    parser.add_argument("--root", required=True, type=Path)
    parser.add_argument("--clients", default="1,8", help="numbers, with commas between")
    parser.add_argument("--defences", default="crafter,crafter_published")
    parser.add_argument("--people", type=int, default=160)
    parser.add_argument("--photos", type=int, default=20, help="photographs of each person")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise InputError("torch finds no GPU here; this benchmark shares one among clients.")
    runs, before = [], GpuMemory.taken()
    print(f"{'defence':>18} {'clients':>8} {'photographs/s':>14} {'GPU MB':>8}")
    for defence in arguments.defences.split(","):
        for clients in map(int, arguments.clients.split(",")):
            config = SimulationConfig(
                dataset="celeba",
                data_root=str(arguments.root.resolve()),
                people=arguments.people,
                photos_per_person=arguments.photos,
                public_images=300,
                generated_images=700,
                defence=defence,
                clients=clients,
                rounds=4,
                cloud_epochs=0,
                check_labels=False,
                quota=100_000,
                device="cuda",
                client_gpus=1 / clients,
            )
            runs.append({"defence": defence} | measure(config, before=before))
            last = runs[-1]
            print(
                f"{defence:>18} {clients:8} {last['photographs_per_s']:14.1f} "
                f"{last['gpu_mb']:8.0f}",
                flush=True,
            )
            content = {"device": device_name(), "torch": torch.__version__, "runs": runs}
            write_text(arguments.json, json.dumps(content, indent=2) + "\n")
    print(f"in {arguments.json}", file=sys.stderr)


if __name__ == "__main__":
    main()
