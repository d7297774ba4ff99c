"""`fl-crafter report`: draw the page of a finished run again."""

from pathlib import Path
from typing import Annotated

import typer

from fl_crafter.cli.files import PICTURES, REPORT, SUMMARY


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run, with its summary.json.")],
) -> None:
    """Draw report.html again from the figures and pictures that a run stored."""
    from fl_crafter.evaluation.record import read_summary
    from fl_crafter.report.page import write_report
    from fl_crafter.report.pictures import Pictures

    summary = read_summary(run / SUMMARY)
    pictures = Pictures.load(run / PICTURES) if (run / PICTURES).exists() else None
    write_report(summary, pictures, run / REPORT)
    typer.echo(str(run / REPORT))
