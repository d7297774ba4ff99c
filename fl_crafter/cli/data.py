"""`fl-crafter data`: datasets that a user has."""

import csv
import dataclasses
import io
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from fl_crafter.cli.options import JsonOption

app = typer.Typer(no_args_is_help=True, help="Look at a dataset before it is used.")

NameArgument = Annotated[str, typer.Argument(help="celeba, lfw, vggface2, wild112 or folder.")]
RootArgument = Annotated[Path, typer.Argument(help="The dataset's folder.")]
SplitOption = Annotated[
    str | None,
    typer.Option(help="Name of a split: celeba_1000, crafter_celeba, crafter_lfw, ..."),
]
SeedOption = Annotated[int, typer.Option(help="Of the split.")]
PeopleOption = Annotated[int | None, typer.Option(min=1, help="Private people.")]


@app.command()
def check(
    name: NameArgument,
    root: RootArgument,
    split: SplitOption = None,
    people: PeopleOption = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Say what is there, what is missing, and what will be used; a sample is decoded."""
    from fl_crafter.faces.check import check_dataset, describe, figures, find_parts
    from fl_crafter.faces.listing import Limits

    _, missing = find_parts(name, root)
    for part in missing:
        if part.needed:
            typer.echo(f"missing   {part.path}: {part.holds}", err=json)
    found = check_dataset(name, root, limits=Limits(people=people, seed=seed, split=split))
    if json:
        known = {"dataset": name, "split": found.split, "size": found.size}
        counts = dataclasses.asdict(figures(found)) | {"attributes": found.attributes}
        typer.echo(dumps(known | counts))
        return
    typer.echo(describe(name, found))


@app.command()
def split(
    name: NameArgument,
    root: RootArgument,
    out: Annotated[Path, typer.Option(help="CSV file (image, identity, role), as roles.csv.")],
    split: SplitOption = None,
    people: PeopleOption = None,
    seed: SeedOption = 0,
) -> None:
    """Store who is private, photograph by photograph: the same file for the same seed."""
    from fl_crafter.faces.listing import Limits, chosen_photos
    from fl_crafter.faces.open import list_dataset
    from fl_crafter.files import write_text

    limits = Limits(people=people, seed=seed, split=split)
    photos = chosen_photos(list_dataset(name, root), limits=limits)
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(("image", "identity", "role"))
    for photo in photos:
        inside = f"{photo.person}/{photo.path.name}" if name in _BY_FOLDER else photo.path.name
        rows.writerow((inside, photo.person, photo.role))
    write_text(out, written.getvalue())
    typer.echo(f"{out}: {len(photos):,} photographs")


_BY_FOLDER = ("vggface2", "wild112")  # where a file's name alone is not unique
