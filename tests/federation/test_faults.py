"""What breaks, and what is left of the run: each row of docs/federation.md's table of faults."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import torch
from flwr.app import Message
from safetensors.torch import load_file

from fl_crafter.errors import InputError
from fl_crafter.files import to_toml
from fl_crafter.transcript import Transcript
from simulations import client_app
from simulations.config import SimulationConfig
from simulations.in_process import InProcessGrid, flower_identity
from simulations.launch import RunFailed, run_simulation
from simulations.server_app import serve

MakeConfig = Callable[..., SimulationConfig]
ROOT = Path(__file__).parents[2]


def notes(folder: Path) -> dict[str, object]:
    return json.loads((folder / "server.json").read_text(encoding="utf-8"))


def quiet(line: str) -> None:
    pass


def test_a_server_killed_in_the_middle_of_a_round_goes_on_as_if_nothing_had_happened(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(rounds=4)
    toml = tmp_path / "run.toml"
    toml.write_text(to_toml(config.run_config()), encoding="utf-8")
    command = [sys.executable, "-m", "simulations", "run", str(toml), "--in-process", "--out"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "killed")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    features = tmp_path / "killed" / "none.partial" / "state" / "features"
    while not list(features.glob("train-000002-*.safetensors")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path.name for path in features.glob("train-000001-*.safetensors")}
    assert len(kept) == 4
    resumed = run_simulation(
        config, tmp_path / "killed", mode="in-process", resume=True, show=quiet
    )
    whole = run_simulation(config, tmp_path / "whole", mode="in-process", show=quiet)
    assert not (resumed / "state").exists()
    for name in ("cloud.safetensors", "predictions.safetensors", "transcript.safetensors"):
        one, other = load_file(resumed / name), load_file(whole / name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key].nan_to_num(9), other[key].nan_to_num(9)) for key in one)
    assert notes(resumed)["utility_auc"] == notes(whole)["utility_auc"]


def test_a_run_is_not_resumed_with_other_settings(make_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no unfinished run"):
        run_simulation(make_config(), tmp_path, mode="in-process", resume=True, show=quiet)
    few = make_config(minimum_replies=5)
    with pytest.raises(RunFailed, match="fewer than 5 valid training replies.*--resume goes on"):
        run_simulation(few, tmp_path, mode="in-process", show=quiet)
    with pytest.raises(InputError, match="other settings"):
        run_simulation(make_config(seed=1), tmp_path, mode="in-process", resume=True, show=quiet)


def test_a_run_that_is_stopped_when_all_is_written_loses_nothing(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    config = make_config()
    before = run_simulation(make_config(seed=1), tmp_path, mode="in-process", show=quiet)
    earlier = notes(before)
    with monkeypatch.context() as patch:
        patch.setattr("simulations.launch._finish", stop)
        with pytest.raises(KeyboardInterrupt):
            run_simulation(config, tmp_path, mode="in-process", show=quiet)
    assert notes(before) == earlier
    written = notes(tmp_path / "none.partial")
    with pytest.raises(InputError, match="has other settings"):
        run_simulation(make_config(seed=2), tmp_path, mode="in-process", resume=True, show=quiet)
    resumed = run_simulation(config, tmp_path, mode="in-process", resume=True, show=quiet)
    assert notes(resumed) == written != earlier
    assert {path.name for path in tmp_path.iterdir()} == {"none", ".none.lock"}
    assert not (resumed / "state").exists()


def test_a_deployment_is_not_resumed(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(scenario="deployment", output=str(tmp_path))
    with pytest.raises(InputError, match="a deployment is not resumed; run it without --resume"):
        run_simulation(config, tmp_path, mode="in-process", resume=True, show=quiet)


def test_a_run_that_left_nothing_to_go_on_from_does_not_offer_to(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: SimulationConfig, show: Callable[[str], None]) -> None:
        raise OSError("no port is free")

    monkeypatch.setattr("simulations.launch._run_here", fail)
    with pytest.raises(RunFailed, match="no port is free; its notes are in .*none.failed.$"):
        run_simulation(make_config(), tmp_path, mode="in-process", show=quiet)
    with pytest.raises(InputError, match="no unfinished run"):
        run_simulation(make_config(), tmp_path, mode="in-process", resume=True, show=quiet)


class LateGrid(InProcessGrid):
    """Every second client's replies take longer than the server waits."""

    delay = 3600.0

    def __init__(self, config: SimulationConfig) -> None:
        super().__init__(client_app.app, clients=config.clients, run_config=config.run_config())
        self._ready: dict[str, float] = {}

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        kept = list(messages)
        sent = list(super().push_messages(kept))
        for name, message in zip(sent, kept, strict=True):
            slow = message.metadata.dst_node_id % 2
            self._ready[name] = time.monotonic() + slow * self.delay
        return sent

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        now = time.monotonic()
        return super().pull_messages([name for name in message_ids if self._ready[name] <= now])


@pytest.fixture
def identity() -> Iterator[None]:
    with flower_identity():
        yield


@pytest.mark.usefixtures("identity")
def test_half_the_clients_are_slow_and_the_others_are_not_kept_waiting(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(timeout=0.5, output=str(tmp_path))
    serve(LateGrid(config), config)
    rounds = notes(tmp_path)["rounds"]
    assert [r["replies"] for r in rounds] == [2, 2]  # type: ignore[attr-defined]
    assert all(r["seconds"] < LateGrid.delay for r in rounds)  # type: ignore[attr-defined]
    transcript = Transcript.load(tmp_path / "transcript.safetensors")
    assert transcript.client.unique().tolist() == [0, 2]


def test_a_message_at_the_cap_passes_and_one_above_it_is_never_sent(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    at = run_simulation(make_config(quota=25), tmp_path, mode="in-process", show=quiet)
    assert notes(at)["evaluation_rows"] == 100
    with pytest.raises(InputError, match="has 25 photographs for round 1; raise the quota"):
        run_simulation(make_config(quota=24), tmp_path / "above", mode="in-process", show=quiet)


def descendants(process: int) -> list[int]:
    """Processes below this one, found by their parents' ids."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = [], [process]
    while waiting:
        waiting += children.get(waiting.pop(), [])
        found = list({*found, *waiting})
    return found


def client_workers() -> list[int]:
    """Ray workers below this process that hold a ClientApp."""
    found = []
    for process in descendants(os.getpid()):
        try:
            title = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::ClientAppActor"):
            found.append(process)
    return found


@pytest.mark.ray
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_a_ray_worker_is_killed_in_the_middle_of_a_round(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    """The run ends with a clear status, well or not, and --resume completes it."""
    config = make_config(clients=2, rounds=3, timeout=60.0)
    killed: list[int] = []
    kept: list[int] = []
    features = tmp_path / "none.partial" / "state" / "features"

    def kill_one() -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until and not killed:
            stored = list(features.glob("train-000001-*.safetensors"))
            if stored:
                for process in client_workers()[:1]:
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
                    kept.append(len(stored))
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        folder = run_simulation(config, tmp_path, mode="flower", show=quiet)
    except RunFailed as failure:
        assert "--resume goes on" in str(failure)
        folder = run_simulation(config, tmp_path, mode="in-process", resume=True, show=quiet)
    finally:
        killer.join()
    assert killed
    assert len(notes(folder)["rounds"]) == 3  # type: ignore[arg-type]
    first = notes(folder)["rounds"][0]  # type: ignore[index]
    # the other client's reply may have been under way in the worker that died
    assert first["replies"] >= kept[0], "what round 1 had brought was lost"
