"""Options that several commands have."""

from typing import Annotated

import typer

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the figures as JSON, and nothing else.")
]
GeneratorOption = Annotated[
    str,
    typer.Option(
        help="package.module:function that returns the generator that attacks search, instead of "
        "the shipped one; see docs/attacks.md."
    ),
]
