"""`fl-crafter study human`: from photographs to a page, from answers to a score."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from fl_crafter.study.human.score import NONE, Key

PEOPLE, EACH, PUBLIC = 5, 5, 8


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VGGFace2's layout, of noise: five private people, one public."""
    root = tmp_path_factory.mktemp("faces")
    draw = np.random.default_rng(0)
    lines = ["image,identity,role,hair_colour"]
    for person in range(1, PEOPLE + 2):
        name = f"n{person:06d}"
        (root / name).mkdir()
        for index in range(EACH if person <= PEOPLE else PUBLIC):
            pixels = draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
            private = "eval_test" if index < 1 else "eval_train"
            role = private if person <= PEOPLE else "public"
            lines.append(f"{name}/{index}.png,{name},{role},")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def test_build_and_score(
    root: Path, tmp_path: Path, run: Callable[..., Result], refused: Callable[..., str]
) -> None:
    given = ("study", "human", "build", "--data", "vggface2", "--root", root, "--asked", "1")
    given += ("--budget", "smoke", "--photographs", "2", "--out", tmp_path)
    result = run(*given, "--defence", "none", "--defence", "noise")
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {"study.html", "key.json"}
    key = Key.read(tmp_path / "key.json")
    kinds = sorted(key.condition.values())
    assert kinds == ["noise"] * 5 + ["none"] * 5 + ["raw"] * 5
    assert sorted(key.truth.values()) == sorted([0, 1, 2, 3, NONE] * 3)

    rows = [{"question": q, "choice": p, "seconds": 1} for q, p in key.truth.items()]
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"study": key.study, "rater": "r", "answers": rows}))
    result = run(
        "study", "human", "score", tmp_path / "key.json", answers, "--out", tmp_path / "score.json"
    )
    assert result.exit_code == 0, result.output
    assert "| noise | 1 | 5 | 1.000 (1.000–1.000)" in result.output
    stored = json.loads((tmp_path / "score.json").read_text())
    assert [each["condition"] for each in stored] == ["noise", "none", "raw"]

    refused(*given, "--attack", "guess", named=("'guess'", "adaptive_decoder"))
    weights = tmp_path / "disco.safetensors"
    refused(*given, "--defence", "disco", "--weights", weights, named=(weights,))
    refused(
        *given, "--defence", "disco", "--defence", "none", "--weights", weights, named=(weights,)
    )
    refused("study", "human", "score", answers, answers, named=(answers,))
