"""`fl-crafter`: the command line."""

from typing import Any

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
    evaluate,
    report,
    study,
    train,
)
from fl_crafter.errors import InputError


class _OneSentence(TyperGroup):
    """Shows a user's error as its one sentence and ends with exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            Console(stderr=True, soft_wrap=True).print(f"[red]error:[/] {escape(str(error))}")
            raise typer.Exit(2) from None


app = typer.Typer(
    cls=_OneSentence,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Face features that can be shared with a cloud without giving the person away.",
)
app.command("demo")(demo.demo)
for command in baselines.COMMANDS:
    train.app.command(command.__name__)(command)
app.add_typer(train.app, name="train")
app.command("craft")(craft.craft)
app.command("attack")(attack.attack)
app.command("report")(report.report)
app.add_typer(bench.app, name="bench")
app.add_typer(data.app, name="data")
app.add_typer(study.app, name="study")
app.command("evaluate")(evaluate.evaluate)


if __name__ == "__main__":
    app()
