"""Start a run, watch it, and fail when it fails."""

import dataclasses
import importlib.util
import json
import os
import shutil
import time
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file

from fl_crafter.errors import InputError
from fl_crafter.files import only_here
from fl_crafter.machine import versions
from simulations import client_data, run_folder, task
from simulations.config import SimulationConfig
from simulations.progress import Show, listening
from strategies.utility import attribute_utility

Mode = Literal["flower", "in-process", "deployed"]
STATE = "state"


class RunFailed(RuntimeError):
    """A run that did not end well; the text says where its log is."""


def run_simulation(
    config: SimulationConfig,
    out: Path,
    *,
    mode: Mode = "flower",
    resume: bool = False,
    show: Show = print,
) -> Path:
    """Run one configuration and return its run folder, `out/<defence>`.

    The folder appears when everything is in it. A run that fails leaves `out/<defence>.failed` with
    its logs and the server's state, and an earlier run's folder as it was; one that was killed
    leaves `out/<defence>.partial`.

    Args:
        config: whose `output` is set here.
        out: where run folders are made.
        mode: `flower` starts `flwr run` with Ray; `in-process` runs the same apps in this process;
            `deployed` starts Flower's deployment runtime, with TLS and authenticated SuperNodes.
        resume: go on from what a failed or killed run left there.
        show: is given the lines of progress.

    Raises:
        InputError: the user can mend what went wrong.
        RunFailed: anything else went wrong.
    """
    _check_surroundings(config, mode)
    folder = (out / config.defence).absolute()
    if folder.exists() and not (folder / run_folder.CONFIG).is_file():
        raise InputError(f"{folder} exists and is no run folder; name another with --out.")
    with only_here(folder):
        return _run(config, folder, mode=mode, resume=resume, show=show)


def _run(config: SimulationConfig, folder: Path, *, mode: Mode, resume: bool, show: Show) -> Path:
    partial, failed, earlier = (
        folder.with_name(f"{folder.name}.{state}") for state in ("partial", "failed", "earlier")
    )
    if resume and (partial / run_folder.CONFIG).is_file():  # it was stopped while it was put there
        _check_same(partial / run_folder.CONFIG, config)
        return _finish(partial, folder, earlier)
    if earlier.is_dir() and not folder.exists():
        earlier.rename(folder)
    if resume and config.scenario == "deployment":
        raise InputError("a deployment is not resumed; run it without --resume.")
    _prepare(partial, failed, resume=resume)
    config = dataclasses.replace(config, output=str(partial), state=str(partial / STATE))
    began = time.monotonic()
    try:
        if mode == "flower":
            from simulations.flower_run import run_flower

            run_flower(config, log=partial / "flower.log", show=show)
        elif mode == "deployed":
            from simulations.deployment_runtime import run_deployed

            run_deployed(config, log=partial / "flower.log", show=show, stranger=True)
        else:
            _run_here(config, show)
        if not (partial / run_folder.SERVER).is_file():
            raise RunFailed("the server stored no result")
        if config.scenario == "deployment":
            _write_outcome(partial, config)
    except BaseException as error:
        reasons = list(run_folder.read_failures(partial))
        partial.rename(failed)
        if isinstance(error, Exception):
            raise _explained(error, reasons, failed) from error
        raise
    _write_config(partial, config, folder, mode=mode, seconds=time.monotonic() - began)
    return _finish(partial, folder, earlier)


def _check_same(stored: Path, config: SimulationConfig) -> None:
    known = json.loads(stored.read_text(encoding="utf-8"))["config"]
    if SimulationConfig.from_mapping(known, source=str(stored)).lasting() != config.lasting():
        raise InputError(
            f"the run in {stored.parent} has other settings; take those, or run without --resume."
        )


def _finish(partial: Path, folder: Path, earlier: Path) -> Path:
    """Put a run's whole folder in the place of an earlier run's, which is there until then."""
    shutil.rmtree(earlier, ignore_errors=True)
    if folder.exists():
        folder.rename(earlier)
    partial.rename(folder)
    shutil.rmtree(folder / STATE, ignore_errors=True)
    shutil.rmtree(earlier, ignore_errors=True)
    return folder


def _prepare(partial: Path, failed: Path, *, resume: bool) -> None:
    """Make the folder of a new run, or take the one that an unfinished run left."""
    if not resume:
        for stale in (partial, failed):
            shutil.rmtree(stale, ignore_errors=True)
        partial.mkdir(parents=True)
        return
    if failed.is_dir() and not partial.exists():
        failed.rename(partial)
    if not (partial / STATE).is_dir():
        raise InputError(f"there is no unfinished run in {partial}; run it without --resume.")
    shutil.rmtree(partial / run_folder.FAILURES, ignore_errors=True)


def _check_surroundings(config: SimulationConfig, mode: Mode) -> None:
    """Refuse at once what would fail after a minute of starting."""
    if config.data_root and not Path(config.data_root).is_dir():
        raise InputError(f"data-root {config.data_root} is no folder; name the dataset's folder.")
    gpu = torch.cuda.is_available()
    if config.device == "cuda" and not gpu:
        raise InputError("device is cuda but torch finds no GPU here; take cpu.")
    if mode != "flower":
        return
    if importlib.util.find_spec("ray") is None:
        raise InputError(
            "Ray is not installed; install fl-crafter[simulation] or run with --in-process."
        )
    if "RAY_ADDRESS" in os.environ:
        return  # another cluster, of another size
    if config.client_gpus and not gpu:
        raise InputError("client-gpus asks for a GPU but there is none here; set it to 0.")
    processors = os.cpu_count() or 1
    if config.client_cpus > processors:
        raise InputError(
            f"client-cpus is {config.client_cpus} but there are {processors} processors; lower it."
        )


def _run_here(config: SimulationConfig, show: Show) -> None:
    from simulations import client_app, server_app
    from simulations.in_process import run_in_process

    with listening(show):
        run_in_process(config, server_app=server_app.app, client_app=client_app.app)


def _explained(error: Exception, reasons: list[dict[str, str]], failed: Path) -> Exception:
    """The error to show: the user's own mistake where a participant noted one."""
    mistakes = [InputError(reason["sentence"]) for reason in reasons if reason["input"]]
    if isinstance(error, InputError):
        mistakes.append(error)
    if mistakes:
        if not list((failed / STATE).glob("features/*")):  # nothing to resume from
            shutil.rmtree(failed, ignore_errors=True)
        return mistakes[0]
    sentence = reasons[0]["sentence"] if reasons else str(error)
    goes_on = ", and --resume goes on" if (failed / STATE).is_dir() else ""
    return RunFailed(f"the run failed: {sentence.rstrip('.')}; its notes are in {failed}{goes_on}.")


def _write_config(
    partial: Path, config: SimulationConfig, folder: Path, *, mode: Mode, seconds: float
) -> None:
    settings = config.run_config() | {"output": str(folder)}
    content = {
        "config": settings,
        "mode": mode,
        "versions": versions(),
        "seconds": seconds,
    }
    run_folder.write_json(partial / run_folder.CONFIG, content)


def _write_outcome(partial: Path, config: SimulationConfig) -> None:
    """Join predictions to what the clients know, which a deployed server never learns."""
    predictions = load_file(partial / run_folder.PREDICTIONS)
    asked = task.task(config)
    attributes = client_data.faces(config).attributes[:, asked.columns]
    labels = torch.full_like(predictions["score"], float("nan"))
    agreed = []
    for path in sorted((partial / run_folder.TRUTH).glob("*.json")):
        truth = json.loads(path.read_text(encoding="utf-8"))
        own = predictions["client"] == truth["client"]
        own &= predictions["round"] == truth["round"]
        labels[own] = attributes[truth["index"]][predictions["row"][own]]
    for path in sorted((partial / run_folder.CHECKS).glob("*.json")):
        agreed.append(bool(json.loads(path.read_text(encoding="utf-8"))["agrees"]))
    utility = attribute_utility(predictions["score"], labels, names=asked.names)
    content = {"utility_auc": utility.mean, "auc": utility.auc, "skipped": utility.skipped}
    counts = {"answers_agreed": sum(agreed), "answers_disputed": len(agreed) - sum(agreed)}
    run_folder.write_json(partial / run_folder.OUTCOME, content | counts)


def read_result(folder: Path) -> dict[str, object]:
    """The summary of a finished run: the server's, or a deployment's outcome."""
    outcome = folder / run_folder.OUTCOME
    path = outcome if outcome.is_file() else folder / run_folder.SERVER
    return json.loads(path.read_text(encoding="utf-8"))
