"""`fl-crafter report`: draw the page of a finished run or evaluation again."""

from pathlib import Path
from typing import Annotated

import typer

from fl_crafter.cli.files import PICTURES, REPORT, RESULTS, SUMMARY
from fl_crafter.errors import InputError


def report(
    run: Annotated[
        Path, typer.Argument(help="Folder of a run or evaluation: its summary or results.")
    ],
) -> None:
    """Draw report.html again from the figures and pictures that a run or evaluation stored."""
    if (run / RESULTS).is_file():
        _evaluation(run)
    elif (run / SUMMARY).is_file():
        _run(run)
    else:
        raise InputError(
            f"{run} holds neither {SUMMARY} nor {RESULTS}; name the --out folder of 'fl-crafter "
            "demo' or 'fl-crafter evaluate' that has ended."
        )
    typer.echo(str(run / REPORT))


def _run(run: Path) -> None:
    from fl_crafter.evaluation.record import read_summary
    from fl_crafter.report.page import write_report
    from fl_crafter.report.pictures import Pictures

    summary = read_summary(run / SUMMARY)
    pictures = Pictures.load(run / PICTURES) if (run / PICTURES).exists() else None
    write_report(summary, pictures, run / REPORT)


def _evaluation(run: Path) -> None:
    from fl_crafter.evaluation.results import read_results
    from fl_crafter.report.evaluation_page import read_pictures, write_evaluation_page

    results = read_results(run / RESULTS)
    write_evaluation_page(results, read_pictures(results, run / "pictures"), run / REPORT)
