"""Options that several commands have."""

from typing import Annotated

import typer

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the figures as JSON, and nothing else.")
]
KeepOption = Annotated[
    str,
    typer.Option(
        help="Names of the outputs that the task asks for, such as Smiling,Eyeglasses, of "
        "CelebA's attributes: no other is kept. All by default."
    ),
]
EncoderOption = Annotated[
    str,
    typer.Option(
        help="package.module:function that returns an encoder of your own, with its cloud model "
        "as fl_crafter.cut gives it, instead of the shipped one; see docs/attacks.md."
    ),
]
GeneratorOption = Annotated[
    str,
    typer.Option(
        help="package.module:function that returns the generator that attacks search, instead of "
        "the shipped one; see docs/attacks.md."
    ),
]
