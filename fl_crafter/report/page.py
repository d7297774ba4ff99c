"""Write the report: one HTML page that holds everything it shows and asks for nothing."""

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from fl_crafter.evaluation import WORST_CASE, Summary
from fl_crafter.files import write_text
from fl_crafter.picture import data_uri
from fl_crafter.report import words
from fl_crafter.report.pictures import Pictures
from fl_crafter.report.plot import trade_off
from fl_crafter.report.verdict import headline, verdict


def write_report(summary: Summary, pictures: Pictures | None, path: Path) -> None:
    """Write the page through a temporary file, so that no half-written page is left.

    Args:
        summary: the figures.
        pictures: the faces to show; None for a page without faces.
        path: of the page, usually `report.html`.
    """
    write_text(path, render_report(summary, pictures))


def render_report(summary: Summary, pictures: Pictures | None) -> str:
    """The page's HTML."""
    findings = verdict(summary)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            summary=summary,
            findings=findings,
            headline=headline(findings),
            plot=trade_off(summary),
            photographs=max((own.photographs for own in summary.defences.values()), default=0),
            rows=picture_rows(summary, pictures) if pictures is not None else [],
            shown_defences=_shown(summary, pictures),
            judged_attacks=[*summary.attacks, WORST_CASE],
            worst_case=WORST_CASE,
            words=words,
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            package_version=package_version(),
        )
    )


def environment() -> Environment:
    """Templates with the page's own words and formats."""
    made = Environment(
        loader=PackageLoader("fl_crafter.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        attack=words.attack_name,
        dataset=words.dataset_name,
        defence=words.defence_name,
        duration=words.duration,
        figure=words.figure,
        figures=words.figure_interval,
        percent=words.percent,
        percents=words.percent_interval,
        plain=words.plain,
    )
    return made


def _shown(summary: Summary, pictures: Pictures | None) -> list[str]:
    shown = {defence for defence, _ in pictures.reconstruction} if pictures else set()
    return [name for name in summary.defences if name in shown]


def picture_rows(summary: Summary, pictures: Pictures) -> list[dict[str, object]]:
    """One entry per photograph: the raw face, then by attack and defence what was made of it."""
    rows = []
    for place, raw in enumerate(pictures.raw):
        cells = {
            (attack, defence): {
                "image": data_uri(pictures.reconstruction[defence, attack][place]),
                "named": _verdict(pictures, defence, attack, place),
            }
            for attack in summary.attacks
            for defence in _shown(summary, pictures)
            if (defence, attack) in pictures.reconstruction
        }
        rows.append({"raw": data_uri(raw), "cells": cells})
    return rows


def _verdict(pictures: Pictures, defence: str, attack: str, place: int) -> bool | None:
    named = pictures.named.get((defence, attack))
    return None if named is None else bool(named[place])


def package_version() -> str:
    """Of this package; empty where it is not installed."""
    try:
        return version("fl-crafter")
    except PackageNotFoundError:
        return ""
