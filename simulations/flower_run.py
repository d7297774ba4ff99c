"""One `flwr run` in surroundings of its own: home, port, SuperLink, temporary files.

What has to be so, and why:

- The SuperLink is ours: started here with the environment it needs, ended by its own process id.
- Flower copies the app directory, without weights and tables, and runs it elsewhere. So the
  directory made here holds no code: the apps are found in the installed package, and all paths are
  absolute.
- `flwr run` exits with 0 even when the run failed; the status is asked for afterwards.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulations.config import SimulationConfig, Value
from simulations.progress import Show, progress_in

STARTING = 60.0  # seconds
ENDING = 20.0

APP = """\
[project]
name = "fl-crafter-run"
version = "0.0.0"
description = "One run of fl-crafter"
license = "Apache-2.0"

[tool.flwr.app]
publisher = "fl-crafter"

[tool.flwr.app.components]
serverapp = "simulations.server_app:app"
clientapp = "simulations.client_app:app"

[tool.flwr.app.config]
"""

CONNECTION = """\
[superlink]
default = "local"

[superlink.local]
address = "127.0.0.1:{port}"
insecure = true
"""


class FlowerFailed(RuntimeError):
    """Flower could not start the run, or the run did not complete."""


def run_flower(config: SimulationConfig, *, log: Path, show: Show) -> None:
    """Run a configuration with Flower and Ray, and wait for its end.

    Args:
        config: with absolute paths.
        log: file for everything that Flower says.
        show: is given the lines of progress.

    Raises:
        FlowerFailed: the run did not complete.
    """
    # Ray makes sockets below this directory, and a socket's path has room for 107 characters
    with tempfile.TemporaryDirectory(prefix="flc-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        app = home / "fl-crafter-run"
        app.mkdir()
        app.joinpath("pyproject.toml").write_text(
            APP + to_toml(config.run_config()), encoding="utf-8"
        )
        port = _free_port()
        environment = _environment(home)
        home.joinpath("config.toml").write_text(CONNECTION.format(port=port), encoding="utf-8")
        with _superlink(port, environment, home / "superlink.log") as superlink:
            show(f"Flower starts {config.clients} clients")
            _stream(app, config, environment, superlink, log=log, show=show)
            status = _status(environment)
        if status != "finished:completed":
            raise FlowerFailed(f"Flower reports the run as {status}")


def to_toml(values: dict[str, Value]) -> str:
    """Flat TOML; JSON's spelling of strings and numbers is TOML's too."""
    return "".join(
        f"{key} = {json.dumps(value, allow_nan=False)}\n" for key, value in values.items()
    )


def _environment(home: Path) -> dict[str, str]:
    """The environment of the SuperLink and of all that it starts."""
    environment = dict(os.environ)
    # an editable or uninstalled package must be found by Flower's processes and Ray's workers
    root = str(Path(__file__).resolve().parent.parent)
    if root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        known = [root, environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, known))
    scripts = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
    environment["PATH"] = os.pathsep.join([*scripts, environment.get("PATH", os.defpath)])
    environment |= {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "PYTHONUNBUFFERED": "1",
    }
    environment.setdefault("RAY_TMPDIR", str(home))
    return environment


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _tool(name: str, environment: dict[str, str]) -> str:
    found = shutil.which(name, path=environment["PATH"])
    if found is None:
        raise FlowerFailed(f"the program {name} is missing; install fl-crafter[simulation]")
    return found


@contextmanager
def _superlink(
    port: int, environment: dict[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """A SuperLink on the loopback, ended when the block is left."""
    command = [_tool("flower-superlink", environment), "--insecure", "--simulation"]
    command += ["--isolation", "subprocess", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=environment["FLWR_HOME"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await_health(process, port, log)
        yield process
    finally:
        _end(process)


def _await_health(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + STARTING
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise FlowerFailed(f"the SuperLink did not start: {' '.join(tail) or 'it said nothing'}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the SuperLink and what is left of its own process group; nobody else's Ray."""
    process.terminate()
    try:
        process.wait(ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGTERM)
    except ProcessLookupError:
        return  # nothing was left


def _stream(
    app: Path,
    config: SimulationConfig,
    environment: dict[str, str],
    superlink: "subprocess.Popen[bytes]",
    *,
    log: Path,
    show: Show,
) -> None:
    """`flwr run --stream`: everything goes to the log, progress is shown."""
    federation = (
        f"num-supernodes={config.clients} client-resources-num-cpus={config.client_cpus} "
        f"client-resources-num-gpus={config.client_gpus}"
    )
    command = [_tool("flwr", environment), "run", str(app), "local", "--stream"]
    process = subprocess.Popen(
        [*command, "--federation-config", federation],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    # without its SuperLink the stream might wait for ever
    watch = threading.Thread(target=lambda: (superlink.wait(), process.terminate()), daemon=True)
    watch.start()
    try:
        assert process.stdout is not None
        with log.open("w", encoding="utf-8") as file, process.stdout as output:
            for line in output:
                file.write(line)
                progress = progress_in(line)
                if progress is not None:
                    show(progress)
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if superlink.poll() is not None:
        raise FlowerFailed("the SuperLink ended before the run did")
    if code != 0:
        raise FlowerFailed(f"flwr run exited with {code}")


def _status(environment: dict[str, str]) -> str:
    """Status of the one run of our SuperLink."""
    command = [_tool("flwr", environment), "list", "local", "--format", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    try:
        return str(json.loads(done.stdout)["runs"][0]["status"])
    except (ValueError, KeyError, IndexError) as error:
        raise FlowerFailed(f"the run's status cannot be read: {done.stderr.strip()}") from error
