"""Flower's deployment runtime, for real: TLS, node keys, a SuperNode that dies, the end of all."""

import importlib.util
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from simulations.config import SimulationConfig
from simulations.launch import run_simulation

MakeConfig = Callable[..., SimulationConfig]


@pytest.mark.ray
@pytest.mark.timeout(1200)
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
def test_a_supernode_killed_after_a_round_costs_its_own_rounds_and_no_other(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    lines: list[str] = []
    processes: list[int] = []

    def show(line: str) -> None:
        lines.append(line)
        processes.extend(int(found) for found in re.findall(r", process (\d+)$", line))
        if line.startswith("round 1/"):
            os.kill(processes[-1], signal.SIGKILL)

    config = make_config(clients=2, rounds=2, timeout=300.0)
    folder = run_simulation(config, tmp_path, mode="deployed", show=show)
    assert "a SuperNode with an unknown key was turned away" in lines
    rounds = json.loads((folder / "server.json").read_text(encoding="utf-8"))["rounds"]
    assert [one["replies"] for one in rounds] == [2, 1]
    assert rounds[1]["rows_in_all"] == rounds[0]["rows"] + rounds[1]["rows"]
    assert len(processes) == 3
    for process in processes:  # each led a process group, of which nothing is left
        with pytest.raises(ProcessLookupError):
            os.killpg(process, 0)
