"""One real `flwr run` with Ray, end to end, and what the launcher makes of failures."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fl_crafter.transcript import Transcript
from simulations import flower_run
from simulations.config import SimulationConfig
from simulations.launch import RunFailed, run_simulation
from simulations.progress import progress_in

MakeConfig = Callable[..., SimulationConfig]


@pytest.mark.ray
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
def test_two_nodes_run_under_ray_as_they_do_in_this_process(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(clients=2, rounds=2)
    lines: list[str] = []
    folder = run_simulation(config, tmp_path / "ray", mode="flower", show=lines.append)
    assert any("round 2/2: 2 replies" in line for line in lines)
    notes = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert notes["mode"] == "flower"
    assert len(list((folder / "truth").iterdir())) == 2 * 3
    assert not (folder / "failures").exists()
    here = run_simulation(config, tmp_path / "here", mode="in-process", show=lambda line: None)
    assert sent(folder) == sent(here)


def sent(folder: Path) -> dict[tuple[int, ...], list[float]]:
    """What crossed the wire, by client, round, purpose and row; replies come in any order."""
    transcript = Transcript.load(folder / "transcript.safetensors")
    keys = zip(
        transcript.client.tolist(),
        transcript.round.tolist(),
        transcript.purpose.tolist(),
        transcript.row.tolist(),
        strict=True,
    )
    values = transcript.feature.flatten(1)[:, ::37]
    return {key: [round(x, 2) for x in row] for key, row in zip(keys, values.tolist(), strict=True)}


def test_a_run_that_flower_reports_as_failed_fails(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(config: SimulationConfig, *, log: Path, show: object) -> None:
        log.write_text("what Flower said\n", encoding="utf-8")
        raise flower_run.FlowerFailed("Flower reports the run as finished:failed")

    monkeypatch.setattr(flower_run, "run_flower", failing)
    with pytest.raises(RunFailed, match="finished:failed"):
        run_simulation(make_config(), tmp_path, show=lambda line: None)
    assert (tmp_path / "none.failed" / "flower.log").read_text() == "what Flower said\n"
    assert not (tmp_path / "none").exists()


def test_a_run_that_stores_nothing_fails(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flower_run, "run_flower", lambda config, *, log, show: None)
    with pytest.raises(RunFailed, match="stored no result"):
        run_simulation(make_config(), tmp_path, show=lambda line: None)


def test_a_superlink_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    program = tmp_path / "flower-superlink"
    program.write_text("#!/bin/sh\necho no room for me\nexit 3\n", encoding="utf-8")
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.defpath}", "FLWR_HOME": str(tmp_path)}
    with (
        pytest.raises(flower_run.FlowerFailed, match="no room for me"),
        flower_run.running_superlink(1, environment, tmp_path / "log"),
    ):
        raise AssertionError("it did not start")


def test_nothing_of_the_package_imports_ray() -> None:
    code = "import sys, simulations.launch, simulations.client_app; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_program_started_in_another_session_ends_with_it(tmp_path: Path) -> None:
    """As Flower starts a simulation, and with it Ray."""
    code = (
        "import subprocess, sys, time\n"
        "far = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "child = subprocess.Popen(far, start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    log = tmp_path / "log"
    environment = {**os.environ, "FLWR_HOME": str(tmp_path)}
    process = flower_run.start_process([sys.executable, "-c", code], environment, log)
    while not (said := log.read_text(encoding="utf-8").strip()):
        assert process.poll() is None
        time.sleep(0.01)
    far = psutil.Process(int(said))
    flower_run.end_process(process)
    assert process.poll() is not None
    assert not far.is_running() or far.status() == psutil.STATUS_ZOMBIE


def test_what_a_client_says_is_no_progress() -> None:
    assert progress_in("[fl-crafter] round 1/2: 4 replies\n") == "round 1/2: 4 replies"
    assert progress_in("WARNING: refused: x [fl-crafter] round 5/5: utility AUC 0.999") is None
