"""The page of an evaluation: what failed is marked wherever it stands."""

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from fl_crafter.cli.main import app
from fl_crafter.evaluation.record import ChanceOfRates
from fl_crafter.evaluation.results import (
    AttackResult,
    Check,
    Linkability,
    Results,
    WorstCase,
    write_results,
)
from fl_crafter.picture import data_uri
from fl_crafter.report import Pictures
from fl_crafter.report.evaluation_page import render_evaluation
from fl_crafter.report.grid_plot import BOTTOM, LEFT, LETTER, RIGHT, TOP, grid_plot
from fl_crafter.report.viewer import viewer
from fl_crafter.study.table import markdown
from tests.report.conftest import identified

RATES = {
    "top5": 0.5,
    "tar_far_1e2": 0.3,
    "tar_far_1e3": 0.1,
    "chance": ChanceOfRates(top1=0.01, top5=0.05, tar_far_1e2=0.02, tar_far_1e3=0.002),
}


def rates(defence: str, value: float, top1: float, *, reliable: bool = True) -> dict[str, Any]:
    interval = (max(0.0, top1 - 0.05), min(1.0, top1 + 0.05))
    names = ("top1", "top5", "tar_far_1e2", "tar_far_1e3", "utility_auc")
    weighted = defence == "crafter"
    return RATES | {
        "defence": defence,
        "parameter": "utility_weight" if weighted else "",
        "value": value,
        "utility_weight": value if weighted else None,
        "reliable": reliable,
        "top1": top1,
        "intervals": dict.fromkeys(names, interval),
    }


def results(*, reliable: bool) -> Results:
    points = [("none", 1.0, 0.9), ("crafter", 0.1, 0.06), ("crafter", 10.0, 0.12)]
    bad = Check(name="the defence acts", passed=reliable, text="it does not", point="crafter-10")
    good = Check(name="enough people", passed=True, figure=160, text="160 people")

    def sound(defence: str, value: float) -> bool:
        return reliable or (defence, value) != ("crafter", 10.0)

    worst = [
        WorstCase(
            **rates(d, v, top1, reliable=sound(d, v)),
            evaluator="SFace",
            seeds=(0, 1),
            top1_by_seed=(top1, top1),
            best_attack="adaptive_decoder",
            roc={"0.01": 0.3},
            utility_auc=0.85 + 0.01 * place,
        )
        for place, (d, v, top1) in enumerate(points)
    ]
    single = [
        AttackResult(
            **rates(d, v, top1, reliable=sound(d, v)),
            attack="adaptive_decoder",
            evaluator="SFace",
            seed=seed,
            feature_similarity=0.4,
            feature_similarity_floor=0.1,
            ssim=0.5,
            psnr=18.25,
            perceptual_distance=0.7,
            utility_auc=0.85,
        )
        for d, v, top1 in points
        for seed in (0, 1)
    ]
    linked = [
        Linkability(
            **rates(d, v, top1, reliable=sound(d, v)),
            evidence=evidence,
            seeds=(0, 1),
            labels_top1=0.451,
        )
        for (d, v, top1), evidence in zip(
            points, ("labels", "released features", "released features"), strict=True
        )
    ]
    return Results(
        dataset="celeba",
        people=160,
        photographs=320,
        public_photographs=4000,
        evaluators=("SFace",),
        seeds=(0, 1),
        suite="standard",
        budget="cpu",
        attacks={"adaptive_decoder": "AdaptiveDecoder(steps=150)"},
        settings={"none": "<none>"},
        versions={"torch": "2.13.0"},
        machine="x86_64",
        command="fl-crafter evaluate --root <folder>",
        seconds={"attacks": 61.0},
        oracle={"SFace": identified(0.978)},
        floors={"SFace": {"average_face": identified(0.0123), "random_face": identified(0.0234)}},
        self_checks=(good, bad),
        results=tuple(single),
        worst_case=tuple(worst),
        linkability=tuple(linked),
    )


def pictures(point: str) -> Pictures:
    image = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8)
    key = (point, "adaptive_decoder")
    return Pictures(image, {key: image.flip(0)}, {key: torch.tensor([True, False])})


def test_a_page_without_doubts_says_so() -> None:
    page = render_evaluation(results(reliable=True), {})
    assert "All 2 self-checks passed" in page
    assert "not reliable</span>" not in page and "private photographs.</strong>" not in page
    for figure in ("97.8%", "1.2%", "45.1%", "18.2", "Adaptive decoder"):
        assert figure in page
    assert "&lt;folder&gt;" in page and "<folder>" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_page_and_the_table_say_what_was_measured_with_what() -> None:
    first = results(reliable=True)
    plain, table = render_evaluation(first, {}), markdown(first)
    assert "320, 64 px" in plain and "<dd>4000</dd>" in plain
    assert "as it was before; in development" in plain
    assert "as it was before, in development" in table
    trained = first.worst_case[0].model_copy(update={"defence": "advlearn"})
    changed = {"size": 112, "public_data": "lfw", "learnt": "300 public photographs"}
    other = first.model_copy(update=changed | {"worst_case": (*first.worst_case, trained)})
    page, table = render_evaluation(other, {}), markdown(other)
    assert "320, 112 px" in page and "<dd>4000 of LFW</dd>" in page
    lessons = "as it was before, trained on 300 public photographs, but those of the trained"
    assert lessons in page and lessons in table


def test_the_page_and_the_table_say_what_the_task_asked_for() -> None:
    asked = results(reliable=True).model_copy(update={"attributes": "Smiling,Wearing_Hat"})
    page = render_evaluation(asked, {})
    assert "<dd>2 attributes</dd>" in page and "asks for Smiling, Wearing Hat alone" in page
    assert "the task asks for Smiling, Wearing_Hat alone" in markdown(asked)
    assert "attributes</dd>" not in render_evaluation(results(reliable=True), {})


def test_tables_hold_the_floors_of_every_judge() -> None:
    first = results(reliable=True)
    both = {"evaluators": ("SFace", "second")}
    for name in ("oracle", "floors"):
        known = getattr(first, name)
        both[name] = known | {"second": known["SFace"]}
    table = markdown(first.model_copy(update=both))
    for judge in ("SFace", "second"):
        assert f"Floors ({judge}, top-1): average face 0.012; random face 0.023" in table


def test_a_failed_check_is_marked_wherever_it_stands() -> None:
    doubtful = results(reliable=False)
    page = render_evaluation(doubtful, {})
    assert "1 of 2 self-checks failed" in page and "it does not." in page
    # viewer, worst case, both seeds, linkability
    assert page.count("not reliable</span>") == 5
    assert page.count('title="not reliable"') == 1
    assert page.count('opacity=".45"') == 1
    text = markdown(doubtful)
    assert "| `crafter` ⚠ | 10 |" in text and "| `crafter` | 0.1 |" in text
    assert "⚠" not in markdown(results(reliable=True)).replace("⚠ marks what", "")


def test_faces_are_shown_beside_every_setting() -> None:
    shown = {name: pictures(name) for name in ("none", "crafter-10")}
    page = render_evaluation(results(reliable=True), shown)
    assert page.count("data:image/png") == 2 * 3
    assert page.count('class="is-named"') == 2
    assert page.count("no picture") == 2, "crafter-0.1 has none"
    assert "This page shows private photographs" in page and "<script" not in page


def test_the_viewer_shows_what_gives_most_away() -> None:
    """Of each face the attack that names it, the faces that are named most often first."""
    attacks = ("adaptive_decoder", "white_box_latent")
    image = torch.stack([torch.full((3, 8, 8), shade, dtype=torch.uint8) for shade in (1, 2, 3)])
    named = {"adaptive_decoder": [False, True, False], "white_box_latent": [False, True, True]}
    shown = {
        point: Pictures(
            image,
            {(point, attack): image + 10 * place for place, attack in enumerate(attacks, 1)},
            {(point, attack): torch.tensor(named[attack]) for attack in attacks},
        )
        for point in ("none", "crafter-0.1")
    }
    view = viewer(results(reliable=False), shown)
    assert [stop.row.point for stop in view.stops] == ["none", "crafter-0.1", "crafter-10"]
    assert view.first == 0 and [len(stop.doubts) for stop in view.stops] == [0, 0, 1]
    assert [face.number for face in view.faces] == [2, 3, 1]
    worst = [(face.seen[1].attack, face.seen[1].named, set(face.seen)) for face in view.faces]
    assert worst == [
        ("adaptive_decoder", 2, {0, 1}),  # both name it; the best of these
        ("white_box_latent", 1, {0, 1}),  # the only one that names it
        ("adaptive_decoder", 0, {0, 1}),
    ]
    assert view.faces[1].seen[0].image == data_uri(image[2] + 20)


def test_the_headline_chooses_no_setting() -> None:
    page = render_evaluation(results(reliable=True), {})
    assert (
        "<h1>Without a defence, 1 attacks together name 90% of the faces; with one, 6% to 12%<"
        in page
    )


def test_the_plot_holds_every_point_and_level() -> None:
    plot = grid_plot(results(reliable=False))
    assert {line.name: len(line.dots) for line in plot.lines} == {"none": 1, "crafter": 2}
    (crafter,) = [line for line in plot.lines if line.name == "crafter"]
    assert [dot.reliable for dot in crafter.dots] == [True, False]
    assert crafter.dots[0].x < crafter.dots[1].x and crafter.dots[0].y > crafter.dots[1].y
    assert {level.title.rsplit(" ", 1)[0] for level in plot.levels} == {
        "chance of the worst case",
        "raw photographs",
    }
    spans = []
    for line in plot.lines:
        width = LETTER * len(line.title)
        start = line.label_x - width * line.label_left
        assert LEFT <= start and start + width <= RIGHT and TOP - 15 < line.label_y < BOTTOM
        spans.append((start, start + width, line.label_y))
    (a, b, up), (c, d, down) = spans
    assert b <= c or d <= a or abs(up - down) >= 14  # no title covers another
    labels = sorted(level.label_y for level in plot.levels)
    assert min(b - a for a, b in zip(labels, labels[1:], strict=False)) >= 15


def test_the_command_draws_the_page_of_an_evaluation(tmp_path: Path) -> None:
    write_results(results(reliable=True), tmp_path / "results.json")
    pictures("none").save(tmp_path / "pictures" / "none-seed0.safetensors")
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "This page shows private photographs" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("content", ["{", '{"dataset": "celeba"}'])
def test_broken_results_get_one_sentence(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results.json").write_text(content)
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 2 and "results.json of an evaluation" in done.stderr
