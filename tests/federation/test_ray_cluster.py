"""Ray of our own is closed to others; a cluster that is there is used, and left running."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import simulations
from simulations.flower_run import (
    end_process,
    find_tool,
    flower_environment,
    free_port,
    start_process,
)
from simulations.ray_cluster import secure_ray

LOOK = "import ray, sys; ray.init(sys.argv[1]); print('processors', ray.cluster_resources())"
USE = """
from simulations.ray_cluster import ray_cluster
with ray_cluster(workers=1, worker_output=False) as ray:
    print("processors", ray.cluster_resources()["CPU"])
"""


def test_a_ray_of_our_own_has_a_new_token_each_time() -> None:
    one, other = dict[str, str](), dict[str, str]()
    secure_ray(one)
    secure_ray(other)
    assert one["RAY_AUTH_MODE"] == "token"
    assert len(one["RAY_AUTH_TOKEN"]) == 64
    assert one["RAY_AUTH_TOKEN"] != other["RAY_AUTH_TOKEN"]


@pytest.mark.parametrize("said", [{"RAY_ADDRESS": "auto"}, {"RAY_AUTH_MODE": "disabled"}])
def test_what_the_user_says_of_authentication_stays(said: dict[str, str]) -> None:
    environment = dict(said)
    secure_ray(environment)
    assert environment == said


def test_what_uses_ray_does_not_import_it_before_it_has_a_token() -> None:
    for source in Path(simulations.__file__).parent.glob("*.py"):
        if source.name != "ray_cluster.py":
            code = source.read_text("utf-8")
            assert not re.search(r"^\s*(import|from) ray\b", code, re.MULTILINE), source


def test_flower_starts_its_ray_with_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert flower_environment(tmp_path)["RAY_AUTH_MODE"] == "token"
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.ray
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
def test_a_cluster_lets_nobody_in_without_its_token_and_outlives_its_users() -> None:
    # a socket's path has room for 107 characters, so that tmp_path would be too long
    with tempfile.TemporaryDirectory(prefix="flc-", ignore_cleanup_errors=True) as name:
        home, port = Path(name), free_port()
        address = f"127.0.0.1:{port}"
        environment = flower_environment(home) | {"RAY_ADDRESS": address}
        start = [find_tool("ray", environment), "start", "--head", "--block", "--num-cpus=3"]
        start += [f"--port={port}", "--include-dashboard=false"]
        head = start_process(start, environment, home / "head.log")
        try:
            _await(lambda: "started" in (home / "head.log").read_text("utf-8"))
            stranger = environment | {"RAY_AUTH_TOKEN": "0" * 64}
            refused = _python(LOOK, address, environment=stranger)
            assert refused.returncode != 0
            assert "processors" not in refused.stdout
            assert "uthenticat" in refused.stderr
            for _ in range(2):
                used = _python(USE, environment=environment)
                assert used.stdout.split() == ["processors", "3.0"], used.stderr
            assert head.poll() is None
        finally:
            end_process(head)


def _python(
    code: str, *arguments: str, environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)


def _await(ready: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.2)
