"""`fl-crafter demo`: the whole path on real faces, from photographs to a report."""

import json
import subprocess
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fl_crafter.errors import InputError
from fl_crafter.files import write_text

ORL_CREDIT = "Photographs: The Database of Faces, AT&T Laboratories Cambridge."
CONTROLS = ("none", "substitution", "projection")
DEFENCES = ("none", "substitution", "projection", "crafter")


class Data(StrEnum):
    """Datasets that the demo runs on."""

    ORL = "orl"
    CELEBA = "celeba"
    LFW = "lfw"


def demo(
    data: Annotated[Data, typer.Option(help="orl comes with the set-up.")] = Data.ORL,
    root: Annotated[Path | None, typer.Option(help="The dataset's folder; orl needs none.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("out/demo"),
    utility_weight: Annotated[
        float | None, typer.Option(help="Crafter's beta: larger keeps more utility, less privacy.")
    ] = None,
    people: Annotated[int, typer.Option(help="Private people; orl always has 20.")] = 20,
    clients: Annotated[int, typer.Option(help="Clients that the people are divided among.")] = 4,
    rounds: Annotated[int, typer.Option(help="Rounds of the federation.")] = 2,
    seed: Annotated[int, typer.Option(help="Of splits, defences, training and attacks.")] = 0,
) -> None:
    """Share features of real faces, eavesdrop on them, and write a report of what was seen.

    Crafter runs through Flower and Ray; the defences it is compared with run the same apps in one
    process. With a GPU, everything uses it.
    """
    from fl_crafter.cli.judging import judge_runs, read_faces

    # without a terminal rich would squeeze the table into 80 columns
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 125)
    if data is not Data.ORL and root is None:
        raise InputError(f"--data {data} needs --root, the folder of the unpacked dataset.")
    began = time.monotonic()
    config = _configuration(data, root, people, clients, rounds, seed, utility_weight)
    read_faces({key.replace("-", "_"): value for key, value in config.items()})
    path = _write_config(out / "config.toml", config)
    timings: dict[str, float] = {}
    for part, names, more in (
        ("controls", CONTROLS, ["--in-process"]),
        ("crafter", ("crafter",), []),
    ):
        started = time.monotonic()
        console.rule(f"federation: {', '.join(names)}")
        _simulate(path, out / "runs", names, more)
        timings[f"federation_{part}"] = time.monotonic() - started
    console.rule("eavesdropper and evaluation")
    judge_runs(
        out / "runs",
        list(DEFENCES),
        out=out,
        command=_command(),
        credit=ORL_CREDIT if data is Data.ORL else "",
        timings=timings,
    )
    _show(out, console, seconds=time.monotonic() - began)


def _configuration(
    data: Data,
    root: Path | None,
    people: int,
    clients: int,
    rounds: int,
    seed: int,
    utility_weight: float | None,
) -> dict[str, str | int | float]:
    import torch

    config: dict[str, str | int | float] = {
        "dataset": str(data),
        "data-root": str(root.resolve()) if root else "",
        "image-size": 64,
        "photos-per-person": 6,
        "public-images": 2000,
        "people": 0 if data is Data.ORL else people,
        "clients": clients,
        "rounds": rounds,
        "seed": seed,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }
    if torch.cuda.is_available():
        config["client-gpus"] = 1 / clients
    if utility_weight is not None:
        config["utility-weight"] = utility_weight
    return config


def _write_config(path: Path, config: dict[str, str | int | float]) -> Path:
    # JSON's strings and numbers are TOML's
    lines = [f"{key} = {json.dumps(value)}" for key, value in config.items()]
    write_text(path, "\n".join(lines) + "\n")
    return path


def _simulate(config: Path, runs: Path, defences: tuple[str, ...], more: list[str]) -> None:
    """Run the simulations in a process of their own: nothing in this package imports them."""
    command = [sys.executable, "-m", "simulations", "run", str(config), "--out", str(runs), *more]
    for name in defences:
        command += ["--defence", name]
    status = subprocess.run(command, check=False).returncode
    if status:
        raise typer.Exit(status)


def _command() -> str:
    return " ".join(["fl-crafter", *sys.argv[1:]])


def _show(out: Path, console: Console, *, seconds: float) -> None:
    from rich.table import Table

    from fl_crafter.cli.files import REPORT, SUMMARY
    from fl_crafter.evaluation.record import WORST_CASE, read_summary

    summary = read_summary(out / SUMMARY)
    table = Table(title=f"{summary.dataset}: what an eavesdropper could tell")
    for column in ("defence", "utility AUC", *summary.attacks, "worst case", "epsilon-PII"):
        table.add_column(column)
    for name, record in summary.defences.items():
        named = [f"{record.identification[a].top1:.0%}" for a in summary.attacks]
        worst = record.identification[WORST_CASE]
        named.append(f"{worst.top1:.0%} (chance {worst.chance.top1:.0%})")
        epsilon = "" if record.epsilon_pii is None else f"{record.epsilon_pii:.2f}"
        table.add_row(name, f"{record.utility_auc:.3f}", *named, epsilon)
    console.print(table)
    console.print(
        f"Identification is top-1 of {summary.people} people. This is not differential privacy."
    )
    console.print(f"{seconds:.0f} s; the report is {out / REPORT}")
