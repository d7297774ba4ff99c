"""The page of an evaluation: self-checks, trade-off, tables, faces."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from fl_crafter.evaluation.results import Results
from fl_crafter.files import write_text
from fl_crafter.report import words
from fl_crafter.report.grid_plot import grid_plot
from fl_crafter.report.page import environment, package_version
from fl_crafter.report.pictures import Pictures
from fl_crafter.report.viewer import Viewer, viewer


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
    view = viewer(results, pictures)
    return (
        environment()
        .get_template("evaluation.html.j2")
        .render(
            results=results,
            points=list(dict.fromkeys(row.point for row in results.worst_case)),
            plot=grid_plot(results),
            view=view,
            headline=_headline(results, view),
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


def _headline(results: Results, view: Viewer) -> str:
    """The finding in one sentence, without a choice among settings that the results made."""
    shares: dict[bool, list[float]] = {}
    for stop in view.stops:
        shares.setdefault(stop.row.defence == "none", []).append(stop.row.top1)
    plain, defended = shares.get(True), shares.get(False)
    said = f"{len(results.attacks)} attacks together name"
    if plain:
        said = f"Without a defence, {said} {plain[0]:.0%} of the faces"
    if defended:
        low, high = (f"{bound:.0%}" for bound in (min(defended), max(defended)))
        share = low if low == high else f"{low} to {high}"
        said += f"; with one, {share}" if plain else f" {share} of the faces"
    return said
