"""`fl-crafter`: the command line."""

import errno
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from fl_crafter.cli import (
    attack,
    baselines,
    bench,
    craft,
    data,
    demo,
    doctor,
    evaluate,
    report,
    study,
    train,
)
from fl_crafter.cli.examples import add_examples
from fl_crafter.errors import InputError

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed, or doctor finds that the demo cannot run; 2 wrong input or "
    "usage, with one sentence that says what to mend; 130 stopped by Ctrl-C, with one sentence "
    "that says how to go on."
)
# How to go on after Ctrl-C, by command.
GO_ON = {
    "attack": "run the same command again: attacks that are done are kept",
    "bench": "nothing was written; run the same command again",
    "craft": "run the same command again: photographs that are done are kept",
    "demo": "run the same command again: federations that are done are kept",
    "evaluate": "run the same command again: cells that are done are kept",
    "study": "run the same command again: training and cells that are done are kept",
    "train": "run the same command again: it goes on from the step that it stopped at",
}


class _OneSentence(TyperGroup):
    """Ends with one sentence and its exit code where the user can go on by it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        errors = Console(stderr=True, soft_wrap=True)
        try:
            return super().invoke(ctx)
        except InputError as error:
            errors.print(f"[red]error:[/] {escape(str(error))}")
            raise typer.Exit(2) from None
        except OSError as error:  # a folder that cannot be written, or a disk that is full
            if error.errno in (None, errno.EPIPE):  # of a reader that has gone typer takes care
                raise
            named = f"{error.filename}: " if error.filename else ""
            errors.print(f"[red]failed:[/] {escape(named + (error.strerror or str(error)))}.")
            raise typer.Exit(1) from None
        except FloatingPointError as error:
            errors.print(f"[red]failed:[/] {escape(str(error))}")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            how = GO_ON.get(str(ctx.invoked_subcommand), "run the same command again")
            errors.print(f"\n[yellow]stopped:[/] {how}.")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_OneSentence,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=f"New here? Run 'fl-crafter doctor', then 'fl-crafter demo'.\n\n{EXIT_CODES}",
)


def _show_version(wanted: bool) -> bool:
    if not wanted:
        return wanted
    try:
        typer.echo(f"fl-crafter {version('fl-crafter')}")
    except PackageNotFoundError:
        typer.echo("fl-crafter, not installed")
    raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Face features that can be shared with a cloud without giving the person away."""


app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("craft")(craft.craft)
app.command("attack")(attack.attack)
app.command("evaluate")(evaluate.evaluate)
app.command("report")(report.report)
for command in baselines.COMMANDS:
    train.app.command(command.__name__)(command)
for name, group in (
    ("data", data.app),
    ("train", train.app),
    ("study", study.app),
    ("bench", bench.app),
):
    app.add_typer(group, name=name)
add_examples(app)


if __name__ == "__main__":
    app()
