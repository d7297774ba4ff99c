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
import ssl
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from fl_crafter.files import to_toml
from simulations.config import SimulationConfig
from simulations.progress import Show, progress_in
from simulations.ray_cluster import secure_ray

STARTING = 240.0  # seconds; a busy machine takes minutes to import everything
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
        app = write_app(config, home)
        port = free_port()
        environment = flower_environment(home)
        home.joinpath("config.toml").write_text(CONNECTION.format(port=port), encoding="utf-8")
        with running_superlink(port, environment, home / "superlink.log") as superlink:
            show(f"Flower starts {config.clients} clients")
            stream_run(app, simulated_clients(config), environment, superlink, log=log, show=show)
            status = run_status(environment)
        if status != "finished:completed":
            raise FlowerFailed(f"Flower reports the run as {status}")


def write_app(config: SimulationConfig, home: Path) -> Path:
    """The app's directory: a pyproject.toml that names our apps and the configuration."""
    app = home / "fl-crafter-run"
    app.mkdir()
    app.joinpath("pyproject.toml").write_text(APP + to_toml(config.run_config()), encoding="utf-8")
    return app


def flower_environment(home: Path) -> dict[str, str]:
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
    # Ray would lower its workers' priority by 15, and beside other work the clients starve
    environment.setdefault("RAY_worker_niceness", "0")
    secure_ray(environment)
    return environment


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find_tool(name: str, environment: dict[str, str]) -> str:
    """Path of a program of Flower's; refused if it is missing."""
    found = shutil.which(name, path=environment["PATH"])
    if found is None:
        raise FlowerFailed(f"the program {name} is missing; install fl-crafter[simulation]")
    return found


@contextmanager
def running_superlink(
    port: int,
    environment: dict[str, str],
    log: Path,
    *,
    arguments: Sequence[str] = ("--insecure", "--simulation"),
    certificate: Path | None = None,
) -> Generator["subprocess.Popen[bytes]", None, None]:
    """A SuperLink on the loopback, ended when the block is left.

    Args:
        port: to listen on.
        environment: see `flower_environment`.
        log: file for what it says.
        arguments: what kind of SuperLink it is.
        certificate: of the authority that signed its own; without one it speaks plain HTTP.
    """
    command = [find_tool("flower-superlink", environment), *arguments]
    command += ["--isolation", "subprocess", "--host", "127.0.0.1", "--port", str(port)]
    process = start_process(command, environment, log)
    try:
        _await_health(process, port, log, certificate)
        yield process
    finally:
        end_process(process)


def start_process(
    command: Sequence[str], environment: dict[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    """Start a program in a session of its own, which `end_process` ends."""
    with log.open("wb") as file:
        return subprocess.Popen(
            list(command),
            env=environment,
            cwd=environment["FLWR_HOME"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _await_health(
    process: "subprocess.Popen[bytes]", port: int, log: Path, certificate: Path | None
) -> None:
    context = ssl.create_default_context(cafile=certificate) if certificate else None
    scheme = "https" if certificate else "http"
    until = time.monotonic() + STARTING
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            address = f"{scheme}://127.0.0.1:{port}/health"
            with urllib.request.urlopen(address, timeout=1, context=context):
                return
        except OSError:
            time.sleep(0.1)
    tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise FlowerFailed(f"the SuperLink did not start: {' '.join(tail) or 'it said nothing'}")


def end_process(process: "subprocess.Popen[bytes]") -> None:
    """End a program and all that it started, of any session; nobody else's Ray."""
    # Flower starts a simulation in a session of its own, where it would outlive the SuperLink
    started = _descendants(process.pid)
    process.terminate()
    try:
        process.wait(ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for each in started:
        with suppress(psutil.NoSuchProcess):
            each.terminate()
    for each in psutil.wait_procs(started, timeout=ENDING)[1]:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    with suppress(ProcessLookupError):  # what had lost its parent before
        os.killpg(process.pid, signal.SIGKILL)


def _descendants(process: int) -> list[psutil.Process]:
    try:
        return psutil.Process(process).children(recursive=True)
    except psutil.NoSuchProcess:  # it has ended already
        return []


def simulated_clients(config: SimulationConfig) -> list[str]:
    """Arguments of `flwr run` that make a federation of this configuration's size."""
    federation = (
        f"num-supernodes={config.clients} client-resources-num-cpus={config.client_cpus} "
        f"client-resources-num-gpus={config.client_gpus}"
    )
    return ["--federation-config", federation]


def stream_run(
    app: Path,
    arguments: Sequence[str],
    environment: dict[str, str],
    superlink: "subprocess.Popen[bytes]",
    *,
    log: Path,
    show: Show,
) -> None:
    """`flwr run --stream`: everything goes to the log, progress is shown."""
    command = [find_tool("flwr", environment), "run", str(app), "local", "--stream"]
    process = subprocess.Popen(
        [*command, *arguments],
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


def run_status(environment: dict[str, str]) -> str:
    """Status of the one run of our SuperLink."""
    command = [find_tool("flwr", environment), "list", "local", "--format", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    try:
        return str(json.loads(done.stdout)["runs"][0]["status"])
    except (ValueError, KeyError, IndexError) as error:
        raise FlowerFailed(f"the run's status cannot be read: {done.stderr.strip()}") from error
