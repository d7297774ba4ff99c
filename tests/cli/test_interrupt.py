"""Ctrl-C: exit code 130, one sentence, and a state from which the same command goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import Result

from fl_crafter import progress, protection
from fl_crafter.cli import demo
from fl_crafter.defences.noise import Noise
from fl_crafter.faces import images
from fl_crafter.progress import deferred_interrupt
from fl_crafter.training import loop
from fl_crafter.training.loop import Trainable, run_training


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five grey photographs, without sub-folders."""
    root = tmp_path / "photographs"
    root.mkdir()
    for number in range(5):
        Image.new("RGB", (64, 64), (40 * number,) * 3).save(root / f"{number}.png")
    return root


def press(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, at: int) -> None:
    """Press Ctrl-C in the course of the call of a method that is the `at`th, from 1."""
    whole, calls = getattr(owner, name), 0

    def pressed(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(*arguments, **options)

    monkeypatch.setattr(owner, name, pressed)


def test_crafting_goes_on_where_it_was(
    folder: Path, run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def options(out: Path) -> tuple[object, ...]:
        return ("craft", folder, "--out", out, "--defence", "noise", "--batch", 2, "--seed", 3)

    monkeypatch.setattr(protection, "DRAWN", 80)  # public faces
    whole, out = tmp_path / "whole.safetensors", tmp_path / "out" / "features.safetensors"
    told = json.loads(run(*options(whole), "--json").stdout)
    assert told["features"] == 5 and told["figures"]["utility_loss"] > 0
    with monkeypatch.context() as patch:
        press(patch, Noise, "protect", at=2)
        stopped = run(*options(out))
    assert stopped.exit_code == 130
    assert "run the same command again" in stopped.stderr and "Traceback" not in stopped.output
    assert [path.name for path in out.parent.iterdir()] == ["features.safetensors.unfinished"]
    left = load_file(next(out.parent.iterdir()))
    assert left["feature"].shape[0] == 4
    assert list(left) == ["feature"], "nothing from which the draws could be had"
    again = run(*options(out), "--json")
    assert json.loads(again.stdout)["figures"] == pytest.approx(told["figures"])
    assert [path.name for path in out.parent.iterdir()] == ["features.safetensors"]
    assert torch.equal(load_file(out)["feature"], load_file(whole)["feature"])


def test_an_error_keeps_what_was_crafted(
    folder: Path, run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protection, "DRAWN", 80)
    # as if the last one broke only after it had been looked at
    monkeypatch.setattr(images, "check_photos", lambda paths, size: None)
    photographs, out = folder, tmp_path / "out"
    last = max(photographs.iterdir())
    whole = last.read_bytes()
    options = ("craft", photographs, "--out", out, "--defence", "noise", "--batch", 2)
    known = last.stat()
    last.write_bytes(whole[:50].ljust(len(whole), b"0"))
    os.utime(last, ns=(known.st_atime_ns, known.st_mtime_ns))
    failed = run(*options)
    assert failed.exit_code == 2 and not out.exists()
    kept = load_file(tmp_path / "out.unfinished")["feature"].clone()
    assert len(kept) == 4
    last.write_bytes(whole)
    os.utime(last, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert run(*options).exit_code == 0
    assert torch.equal(load_file(out)["feature"][:4], kept)


def test_a_release_cannot_be_repeated_unless_asked(
    folder: Path, run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who could draw the noise again would have the clean features."""
    monkeypatch.setattr(protection, "DRAWN", 80)
    released = []
    for name in ("one", "other"):
        out = tmp_path / name
        assert run("craft", folder, "--out", out, "--defence", "noise").exit_code == 0
        released.append(load_file(out)["feature"])
    assert float((released[0] - released[1]).abs().mean()) > 0.1


def test_training_stores_the_step_that_it_ends_at(tmp_path: Path) -> None:
    module = torch.nn.Linear(1, 1)
    trainable = Trainable({"module": module}, {}, torch.Generator())
    path, seen = tmp_path / "checkpoint.safetensors", []

    def step(index: int) -> dict[str, float]:
        seen.append(index)
        if index == 3 and len(seen) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        with torch.no_grad():
            module.weight.fill_(index)  # what comes after Ctrl-C is still part of the step
        return {"loss": 1.0}

    def train() -> None:
        run_training(step, trainable, steps=6, title="t", checkpoint=path, checkpoint_every=100)

    with pytest.raises(KeyboardInterrupt):
        train()
    assert seen == [0, 1, 2, 3]
    module.weight.data.zero_()
    train()
    assert seen == [0, 1, 2, 3, 4, 5] and float(module.weight.detach()) == 5
    assert loop.read_metadata(path)["step"] == "6"


def test_a_second_interrupt_does_not_wait() -> None:
    before = signal.getsignal(signal.SIGINT)
    with deferred_interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.pressed
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_left_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 30.0, 80.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    remaining = progress.Remaining(3)
    said = [remaining.part_done() for _ in range(2)]
    assert said == ["about 1 min 0 s left", "about 40.0 s left"]
    assert remaining.part_done() == "the last one"


def test_a_stopped_demo_goes_on(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The federations that are asked for, without running any."""
    asked: list[list[str]] = []

    def child(*words: object, results: bool) -> None:
        if len(asked) == 1:
            raise KeyboardInterrupt
        asked.append([str(word) for word in words])

    monkeypatch.setattr(demo, "run_child", child)
    out = tmp_path / "out"
    stopped = run("demo", "--out", out)
    assert stopped.exit_code == 130 and "federations that are done are kept" in stopped.stderr
    assert asked[0][-6:] == [
        "--defence",
        "none",
        "--defence",
        "substitution",
        "--defence",
        "projection",
    ]
    (out / "runs" / "none").mkdir(parents=True)
    (out / "runs" / "substitution.failed" / "state").mkdir(parents=True)
    monkeypatch.setattr(demo, "run_child", lambda *words, results: asked.append([*map(str, words)]))
    assert run("demo", "--out", out).exit_code == 1  # there is nothing to judge
    assert [words[-3:] for words in asked[1:]] == [
        ["--resume", "--defence", "substitution"],
        ["--in-process", "--defence", "projection"],
        [str(out / "runs"), "--defence", "crafter"],
    ]
    asked.clear()
    assert run("demo", "--out", out, "--seed", "1").exit_code == 1  # another demo
    assert len(asked) == 2 and "--resume" not in asked[0]


# a suite that a script runs in the background ignores the signal, and so would they
HEEDING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
SLOW = f"""{HEEDING}
import pathlib, time
try:
    pathlib.Path("ready").touch()
    time.sleep(200)
except KeyboardInterrupt:
    time.sleep(1)
    pathlib.Path("stored").touch()
"""


def test_a_process_that_was_started_may_store_its_state(tmp_path: Path) -> None:
    """As a terminal does it: the signal goes to both processes."""
    (tmp_path / "slow.py").write_text(SLOW)
    root = str(Path(__file__).resolve().parents[2])
    parent = subprocess.Popen(
        [sys.executable, "-c", f"{HEEDING}from fl_crafter.cli.child import *; run_child('slow')"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": root},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (tmp_path / "ready").exists():
        assert parent.poll() is None
        time.sleep(0.05)
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.wait() != 0
    assert (tmp_path / "stored").exists()
