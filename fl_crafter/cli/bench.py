"""`fl-crafter bench`: measure what the documentation claims of speed."""

from pathlib import Path
from typing import Annotated

import typer

from fl_crafter.cli.child import run_child
from fl_crafter.errors import InputError

app = typer.Typer(no_args_is_help=True, help="Measure speed and memory, both sides in one process.")
CHECKOUT = Path(__file__).parents[2]


@app.command()
def crafting(
    json: Annotated[Path, typer.Option(help="File of the figures.")] = Path(
        "out/bench/crafting.json"
    ),
    images: Annotated[int, typer.Option(min=2, help="Faces of a batch.")] = 32,
    steps: Annotated[
        int, typer.Option(min=4, help="The authors' outer steps; 450 in the paper.")
    ] = 12,
    seeds: Annotated[int, typer.Option(min=1, help="Number of repetitions.")] = 3,
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder of another generator and its amortiser, such as the paper's g1."),
    ] = None,
) -> None:
    """Time to the authors' loop's quality, theirs beside ours; wants two idle cores or a GPU."""
    size = ["--images", images, "--steps", steps, "--seeds", seeds]
    _run("crafting", *size, *(["--weights", weights] if weights else []), "--json", json)


@app.command()
def designs(
    json: Annotated[Path, typer.Option(help="File of the figures.")] = Path(
        "out/bench/designs.json"
    ),
    images: Annotated[int, typer.Option(min=4, help="Faces of a batch.")] = 32,
    seeds: Annotated[int, typer.Option(min=1, help="Number of repetitions.")] = 1,
) -> None:
    """Ways to craft: distances, simulated eavesdroppers and solvers on one batch of faces."""
    _run("designs", "--images", images, "--seeds", seeds, "--json", json)


@app.command("round")
def federated_round(
    json: Annotated[Path, typer.Option(help="File of the figures.")] = Path("out/bench/round.json"),
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds of a run.")] = 4,
    turns: Annotated[int, typer.Option(min=1, help="Runs of each side, by turns.")] = 2,
) -> None:
    """A federated round over Ray against the same work in one process, crafting off and on."""
    _run("federation_round", "--rounds", rounds, "--turns", turns, "--json", json)


@app.command()
def scale(
    json: Annotated[Path, typer.Option(help="File of the figures.")] = Path("out/bench/scale.json"),
    clients: Annotated[str, typer.Option(help="Sizes, with commas between.")] = "10,100,1000",
    rows: Annotated[int, typer.Option(min=1, help="Features of a client's message.")] = 4,
) -> None:
    """Wall time and the server's peak memory with many virtual clients."""
    if not all(size.strip().isdigit() and int(size) > 0 for size in clients.split(",")):
        raise InputError(f"--clients must be numbers with commas between, not {clients!r}.")
    _run("federation_scale", "--clients", clients, "--rows", rows, "--json", json)


@app.command()
def clients(
    root: Annotated[Path, typer.Option(help="CelebA's folder.")],
    json: Annotated[Path, typer.Option(help="File of the figures.")] = Path(
        "out/bench/clients.json"
    ),
    people: Annotated[int, typer.Option(min=1, help="Private people.")] = 100,
    photos: Annotated[int, typer.Option(min=2, help="Photographs of each.")] = 10,
) -> None:
    """Utility with 4, 20 and 100 clients beside the same work without a federation."""
    _run(
        "federation_clients",
        *("--root", root, "--people", people, "--photos", photos, "--json", json),
    )


@app.command()
def gpu(
    root: Annotated[Path, typer.Option(help="CelebA's folder.")],
    json: Annotated[Path, typer.Option(help="File of the figures.")] = Path("out/bench/gpu.json"),
    clients: Annotated[str, typer.Option(help="Numbers, with commas between.")] = "1,8",
    defences: Annotated[
        str, typer.Option(help="Names, with commas between.")
    ] = "crafter,crafter_published",
    photos: Annotated[int, typer.Option(min=2, help="Photographs of each person.")] = 20,
) -> None:
    """Photographs per second of eight Ray clients that share a GPU, against one alone on it."""
    _run(
        "federation_gpu",
        *("--root", root, "--clients", clients, "--defences", defences, "--photos", photos),
        *("--json", json),
    )


@app.command()
def labels(
    json: Annotated[
        Path, typer.Option(help="File of the figures; the plot goes beside it.")
    ] = Path("out/bench/labels.json"),
    data: Annotated[str, typer.Option(help="Name of the faces.")] = "orl",
    root: Annotated[Path | None, typer.Option(help="The dataset's folder; orl needs none.")] = None,
    people: Annotated[int, typer.Option(min=0, help="Private people; 0 takes all.")] = 0,
    photos: Annotated[
        int, typer.Option(min=0, help="Photographs of each, at most; 0 takes all.")
    ] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Number of repetitions.")] = 3,
) -> None:
    """What randomised response costs in utility, and what it saves in linkability by labels."""
    given = ["--root", root] if root else []
    given += ["--data", data, "--people", people, "--photos", photos, "--seeds", seeds]
    _run("labels", *given, "--json", json)


def _run(module: str, *arguments: str | int | Path) -> None:
    """Run a benchmark, which only a checkout has, in a process of its own."""
    if not (CHECKOUT / "benchmarks" / f"{module}.py").is_file():
        raise InputError("The benchmarks are not in the wheel; run them in a checkout.")
    given = [each.resolve() if isinstance(each, Path) else each for each in arguments]
    run_child(f"benchmarks.{module}", *given, folder=CHECKOUT)
