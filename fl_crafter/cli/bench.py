"""`fl-crafter bench`: measure what the documentation claims of speed."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from fl_crafter.errors import InputError

app = typer.Typer(no_args_is_help=True, help="Measure speed and memory, both sides in one process.")
CHECKOUT = Path(__file__).parents[2]


@app.command()
def crafting(
    json: Annotated[Path, typer.Option(help="File of the figures.")] = Path(
        "out/bench/crafting.json"
    ),
    images: Annotated[int, typer.Option(min=2, help="Faces of a batch.")] = 32,
    steps: Annotated[int, typer.Option(min=1, help="Outer steps; 450 in the paper.")] = 3,
    seeds: Annotated[int, typer.Option(min=1, help="Number of repetitions.")] = 3,
) -> None:
    """The authors' crafting loop beside ours; wants a checkout, and two idle cores or a GPU."""
    if not (CHECKOUT / "benchmarks" / "crafting.py").is_file():
        raise InputError("The benchmarks are not in the wheel; run them in a checkout.")
    arguments = ["--images", images, "--steps", steps, "--seeds", seeds, "--json", json.resolve()]
    command = [sys.executable, "-m", "benchmarks.crafting", *map(str, arguments)]
    status = subprocess.run(command, cwd=CHECKOUT, check=False).returncode
    if status:
        raise typer.Exit(status)
