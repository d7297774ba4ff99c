"""Drawings of an evaluation: which attack stands in which panel, and what is drawn as whose."""

from pathlib import Path

import pytest

from fl_crafter.attacks.suite import BUDGETS, beyond_cpu, standard
from fl_crafter.evaluation.results import Results, read_results
from fl_crafter.study import plots
from fl_crafter.study.published import CELEBA

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"


@pytest.fixture(scope="module")
def results() -> Results:
    return read_results(RESULTS / "baselines.json")


def test_every_attack_stands_in_its_panel() -> None:
    attacks = [each for budget in BUDGETS for each in standard(budget)] + beyond_cpu()
    for attack in attacks:
        kind = plots.kind_of(attack.name)
        assert (kind == "adaptive") == attack.adaptive, attack.name
    assert plots.kind_of("average_face") == ""
    assert plots.kind_of("white_box_hybrid") == "hybrid"
    assert {plots.kind_of(attack.name) for attack in attacks} == {"", *plots.KINDS}


def test_a_panel_has_the_best_attack_of_its_kind(results: Results) -> None:
    figure = plots.draw_panels(results)
    by_title = {axes.get_title(): axes for axes in figure.axes}
    assert list(by_title) == ["white box", "black box", "adaptive"]  # no hybrid in this suite
    rows = [row for row in results.results if row.point == "tiprdc-0.1"]
    for title, axes in by_title.items():
        best = max(row.top1 for row in rows if plots.kind_of(row.attack) == title)
        (line,) = (each for each in axes.containers if each.get_label().startswith("tiprdc"))
        assert best == max(line.lines[0].get_ydata())


def test_the_papers_points_are_hollow_and_say_whose_they_are(results: Results) -> None:
    figure = plots.draw_similarity(results)
    (white,) = (axes for axes in figure.axes if axes.get_title() == "white box")
    theirs = {
        tuple(zip(line.get_xdata(), line.get_ydata(), strict=True)): line
        for line in white.lines
        if "in the paper" in line.get_label()
    }
    assert set(theirs) == set(CELEBA.similarity["white box"].values())
    assert {line.get_markerfacecolor() for line in theirs.values()} == {"none"}
    (legend,) = (axes.get_legend() for axes in figure.axes if axes.get_legend())
    assert "advlearn, in the paper" in {text.get_text() for text in legend.get_texts()}


def test_drawings_come_for_the_screen_and_for_print(results: Results, tmp_path: Path) -> None:
    plots.write_plots(results, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    drawings = ("evaluation", "panels", "similarity")
    assert names == {f"{name}.{ending}" for name in drawings for ending in ("png", "svg")}
    assert "Not differential privacy" in plots.draw_worst_case(results).get_suptitle()
    other = results.model_copy(update={"dataset": "folder"})
    plots.write_plots(other, tmp_path / "folder")
    assert not list((tmp_path / "folder").glob("similarity*"))
