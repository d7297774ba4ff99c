"""The page of an evaluation: self-checks, trade-off, tables, faces."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from fl_crafter.evaluation.results import Results, WorstCase
from fl_crafter.files import write_text
from fl_crafter.report import words
from fl_crafter.report.grid_plot import grid_plot
from fl_crafter.report.page import data_uri, environment, package_version
from fl_crafter.report.pictures import Pictures


def write_evaluation_page(results: Results, pictures: Mapping[str, Pictures], path: Path) -> None:
    """Write the page whole.

    Args:
        results: the figures.
        pictures: by point, of the first seed; points without any show no faces.
        path: of the page.
    """
    write_text(path, render_evaluation(results, pictures))


def render_evaluation(results: Results, pictures: Mapping[str, Pictures]) -> str:
    """The page's HTML."""
    shown = [row for row in results.worst_case if _has_pictures(row, results, pictures)]
    return (
        environment()
        .get_template("evaluation.html.j2")
        .render(
            results=results,
            points=list(dict.fromkeys(row.point for row in results.worst_case)),
            plot=grid_plot(results),
            shown=shown,
            rows=_picture_rows(shown, pictures),
            words=words,
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            package_version=package_version(),
        )
    )


def read_pictures(results: Results, folder: Path) -> dict[str, Pictures]:
    """The pictures of each point's first seed, where they are still there.

    Raises:
        InputError: a file holds no pictures.
    """
    found = {}
    for row in results.worst_case:
        path = folder / f"{row.point}-seed{row.seeds[0]}.safetensors"
        if path.is_file():
            found[row.point] = Pictures.load(path)
    return found


def _has_pictures(row: WorstCase, results: Results, pictures: Mapping[str, Pictures]) -> bool:
    own = pictures.get(row.point)
    key = (row.point, row.best_attack)
    return row.evaluator == results.evaluators[0] and own is not None and key in own.reconstruction


def _picture_rows(
    shown: list[WorstCase], pictures: Mapping[str, Pictures]
) -> list[dict[str, object]]:
    """One entry per photograph: the raw face, then by point what its best attack made of it."""
    if not shown:
        return []
    raw = pictures[shown[0].point].raw
    return [
        {
            "raw": data_uri(face),
            "cells": {
                row.point: {
                    "image": data_uri(
                        pictures[row.point].reconstruction[row.point, row.best_attack][place]
                    ),
                    "named": bool(pictures[row.point].named[row.point, row.best_attack][place]),
                }
                for row in shown
            },
        }
        for place, face in enumerate(raw)
    ]
