"""`fl-crafter demo`: the whole path on real faces, from photographs to a report."""

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fl_crafter.cli.child import run_child
from fl_crafter.cli.files import REPORT, SUMMARY, require_dataset_folder
from fl_crafter.cli.options import JsonOption
from fl_crafter.files import to_toml, write_text

ORL_CREDIT = "Photographs: The Database of Faces, AT&T Laboratories Cambridge."
CONTROLS = ("none", "substitution", "projection")
DEFENCES = ("none", "substitution", "projection", "crafter")
UNFINISHED = "unfinished.toml"


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
    people: Annotated[int, typer.Option(min=2, help="Private people; orl always has 20.")] = 20,
    clients: Annotated[
        int, typer.Option(min=1, help="Clients that the people are divided among.")
    ] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the federation.")] = 2,
    seed: Annotated[int, typer.Option(help="Of splits, defences, training and attacks.")] = 0,
    json: JsonOption = False,
) -> None:
    """Share features of real faces, eavesdrop on them, and write a report of what was seen.

    Crafter runs through Flower and Ray; the defences it is compared with run the same apps in one
    process. With a GPU, everything uses it. It takes 5 minutes on two idle cores; stopped by
    Ctrl-C, it goes on with the same command.
    """
    from fl_crafter.cli.judging import judge_runs, read_faces

    # without a terminal rich would squeeze the table into 80 columns
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 125, stderr=json)
    require_dataset_folder(data, root)
    began = time.monotonic()
    config = _configuration(data, root, people, clients, rounds, seed, utility_weight)
    read_faces({key.replace("-", "_"): value for key, value in config.items()})
    # a demo that was stopped leaves this file, and goes on where it was if it asks for the same
    path, again = out / UNFINISHED, to_toml(config)
    resume = path.is_file() and path.read_text(encoding="utf-8") == again
    write_text(path, again)
    timings: dict[str, float] = {}
    for part, names, more in (
        ("controls", CONTROLS, ("--in-process",)),
        ("crafter", ("crafter",), ()),
    ):
        started = time.monotonic()
        console.rule(f"federation: {', '.join(names)}")
        _simulate(path, out / "runs", names, more, resume=resume, quiet=json)
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
    path.replace(out / "config.toml")
    _show(out, console, seconds=time.monotonic() - began)
    if json:
        typer.echo((out / SUMMARY).read_text("utf-8"), nl=False)


def _configuration(
    data: Data,
    root: Path | None,
    people: int,
    clients: int,
    rounds: int,
    seed: int,
    utility_weight: float | None,
) -> dict[str, str | int | float]:
    from fl_crafter.accelerator import default_device

    device = default_device()
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
        "device": device,
    }
    if device == "cuda":
        config["client-gpus"] = 1 / clients
    if utility_weight is not None:
        config["utility-weight"] = utility_weight
    return config


def _simulate(
    config: Path,
    runs: Path,
    defences: tuple[str, ...],
    more: tuple[str, ...],
    *,
    resume: bool,
    quiet: bool,
) -> None:
    """Run the federations that are missing; begun ones go on where they have stored a state."""
    begun, new = [], []
    for name in defences:
        unfinished = (runs / f"{name}.{ending}" / "state" for ending in ("partial", "failed"))
        if resume and (runs / name).is_dir():
            typer.echo(f"  {name} is done", err=quiet)
        elif resume and any(state.is_dir() for state in unfinished):
            begun.append(name)
        else:
            new.append(name)
    for names, how in ((begun, ("--resume",)), (new, ())):
        named = [word for name in names for word in ("--defence", name)]
        given = (config, "--out", runs, *more, *how, *named)
        if names:
            run_child("simulations", "run", *given, results=not quiet)


def _command() -> str:
    return " ".join(["fl-crafter", *sys.argv[1:]])


def _show(out: Path, console: Console, *, seconds: float) -> None:
    from rich.table import Table

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
        if record.epsilon_pii_interval:
            epsilon += " ({:.2f} to {:.2f})".format(*record.epsilon_pii_interval)
        table.add_row(name, f"{record.utility_auc:.3f}", *named, epsilon)
    console.print(table)
    console.print(
        f"Identification is top-1 of {summary.people} people. This is not differential privacy."
    )
    console.print(f"{seconds:.0f} s; the report is {out / REPORT}")
