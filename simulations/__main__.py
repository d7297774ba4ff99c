"""`python -m simulations run CONFIG.toml --out DIR`, and `python -m simulations evaluate DIR`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from fl_crafter.defences.labels import label_epsilon
from fl_crafter.errors import InputError
from simulations.config import SimulationConfig
from simulations.launch import RunFailed, read_result, run_simulation

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
_console = Console(highlight=False, soft_wrap=True)
_errors = Console(stderr=True, highlight=False, soft_wrap=True)


@app.callback()
def _main() -> None:
    """Run federations of clients that share protected features."""


@app.command()
def run(
    config: Annotated[
        Path, typer.Argument(help="TOML file, see simulations/conf/development.toml.")
    ],
    out: Annotated[Path, typer.Option(help="Where the run folders DIR/<defence> are made.")],
    in_process: Annotated[
        bool, typer.Option("--in-process", help="The same apps without Flower's engine and Ray.")
    ] = False,
    deployed: Annotated[
        bool, typer.Option("--deployed", help="SuperLink and SuperNodes with TLS, on this machine.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from what a failed or killed run left.")
    ] = False,
    defence: Annotated[
        list[str] | None,
        typer.Option(help="Instead of the file's; may be given several times, for several runs."),
    ] = None,
) -> None:
    """Run one configuration, once per defence."""
    if in_process and deployed:
        raise typer.BadParameter("take --in-process or --deployed, not both")
    try:
        settings = SimulationConfig.from_toml(config)
        runs = [
            dataclasses.replace(settings, defence=name) for name in defence or [settings.defence]
        ]
        for one in runs:
            _console.print(f"[bold]{one.defence}[/]: {one.clients} clients, {one.rounds} rounds")
            if one.label_flip and one.scenario == "development":
                epsilon = label_epsilon(one.label_flip)
                _console.print(f"labels: randomised, with an epsilon of {epsilon:.2f} for each")
            folder = run_simulation(
                one,
                out,
                mode="in-process" if in_process else "deployed" if deployed else "flower",
                resume=resume,
                show=_show,
            )
            utility = read_result(folder)["utility_auc"]
            _console.print(f"[bold]{one.defence}[/]: utility AUC {utility:.3f}, in {folder}")
    except InputError as error:
        _errors.print(f"[red]error:[/] {escape(str(error))}")
        raise typer.Exit(2) from None
    except RunFailed as error:
        _errors.print(f"[red]failed:[/] {escape(str(error))}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        _errors.print("[yellow]stopped:[/] --resume goes on from what the server has stored.")
        raise typer.Exit(130) from None


@app.command()
def pins(
    config: Annotated[Path, typer.Argument(help="TOML file of the runs to take part in.")],
    released: Annotated[Path, typer.Option(help="Folder for what this client has released.")],
    client: Annotated[int, typer.Option(min=0, help="Number of the client, from 0.")] = 0,
    photographs: Annotated[
        Path | None,
        typer.Option(
            help="The client's own, in the layout of the dataset; by default a part of that.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Print the node configuration with which a client takes part in such runs, and no others."""
    from simulations.pins import node_settings

    try:
        settings = SimulationConfig.from_toml(config)
        own = str(photographs.resolve()) if photographs else ""
        folder = str(released.resolve())
        typer.echo(node_settings(settings, client=client, released=folder, photographs=own))
    except InputError as error:
        _errors.print(f"[red]error:[/] {escape(str(error))}")
        raise typer.Exit(2) from None


@app.command()
def evaluate(
    out: Annotated[Path, typer.Argument(help="Folder with the plan of `fl-crafter evaluate`.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes that measure cells.")] = 2,
) -> None:
    """Measure the cells of an evaluation that are missing, over Ray."""
    from simulations.evaluation import measure_over_ray

    try:
        count = measure_over_ray(out.resolve(), workers)
        _console.print(f"{count} cells measured by {workers} workers")
    except InputError as error:
        _errors.print(f"[red]error:[/] {escape(str(error))}")
        raise typer.Exit(2) from None


def _show(line: str) -> None:
    _console.print(f"  {line}", markup=False)


if __name__ == "__main__":
    app()
