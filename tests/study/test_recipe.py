"""Studies as files: every one in the repository can be read, and a wrong one says what is wrong."""

import dataclasses
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fl_crafter.assets.trained import TRAINED
from fl_crafter.cli.baselines import COMMANDS
from fl_crafter.cli.main import app
from fl_crafter.errors import InputError
from fl_crafter.study.points import every_defence, parse_defences
from fl_crafter.study.recipe import TRAINERS, read_study

STUDIES = sorted((Path(__file__).resolve().parents[2] / "studies").glob("*.toml"))
SMALL = """
title = "one"
data = "celeba"
people = 8
photos = 4
public = 300
defences = ["none"]
budget = "smoke"
"""


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_is_complete(path: Path, tmp_path: Path) -> None:
    study = read_study(path)
    assert parse_defences(",".join(study.defences))
    trainings = study.trainings(tmp_path)
    assert {each.defence for each in trainings} == set(study.train) <= set(TRAINED)
    assert len({each.path for each in trainings}) == len(trainings)
    plan = dataclasses.replace(study, train={}).plan(tmp_path, tmp_path, public_root=None)
    assert {point.defence for point in plan.points()} == {d.split(":")[0] for d in study.defences}


def test_smoke_has_every_defence() -> None:
    study = read_study(next(path for path in STUDIES if path.stem == "smoke"))
    names = {each.split(":")[0] for each in study.defences}
    assert names == set(every_defence().split(","))
    assert set(study.train) == set(TRAINED) and study.budget == "smoke"


def test_every_trained_defence_has_its_command() -> None:
    assert TRAINERS.keys() == set(TRAINED)
    assert set(TRAINERS.values()) == {command.__name__ for command in COMMANDS}


def test_a_study_becomes_a_plan(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SMALL + 'seeds = 2\nevaluators = ["sface", "oracle"]\n')
    plan = read_study(tmp_path / "own.toml").plan(tmp_path, tmp_path / "out")
    assert plan.seeds == (0, 1) and plan.evaluators == ("sface", "oracle")
    assert plan.defences == "none" and plan.root == str(tmp_path.resolve())


def test_a_defence_may_be_trained_at_several_weights(tmp_path: Path) -> None:
    several = "[[train.advlearn]]\nprivacy_weight = 0.1\n[[train.advlearn]]\nprivacy_weight = 0.5\n"
    (tmp_path / "own.toml").write_text(SMALL + several)
    study = read_study(tmp_path / "own.toml")
    paths = [each.path for each in study.trainings(tmp_path)]
    assert [path.name for path in paths] == ["advlearn_0.1.safetensors", "advlearn_0.5.safetensors"]
    with pytest.raises(InputError, match="advlearn_0.1.safetensors"):
        study.plan(None, tmp_path)  # both are points of the grid, once they are there


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("title = ", "no TOML"),
        (SMALL + "colour = 1", "colour is unknown"),
        (SMALL.replace("people = 8", ""), "lacks people"),
        (SMALL.replace("people = 8", 'people = "8"'), "people is '8'"),
        (SMALL.replace('["none"]', '"none"'), "defences is 'none'"),
        (SMALL + "[train.blur]", "train.blur is unknown"),
        (SMALL + "[train]\nadvlearn = 1", "train.advlearn is unknown"),
        (SMALL + "[[train.disco]]\n[[train.disco]]", "train.disco is given twice"),
    ],
)
def test_a_wrong_study_gets_one_sentence(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=named) as caught:
        read_study(path)
    assert str(path) in str(caught.value)


def test_an_unknown_study_names_the_others(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SMALL)
    with pytest.raises(InputError, match="there are own"):
        read_study(tmp_path / "other.toml")


def test_a_study_may_hold_trained_defences_alone(tmp_path: Path) -> None:
    own = SMALL.replace('defences = ["none"]', "defences = []") + "[train.advlearn]\n"
    (tmp_path / "own.toml").write_text(own)
    done = CliRunner().invoke(app, ["study", "run", str(tmp_path / "own.toml")])
    assert "own.toml trains advlearn on photographs; give their folder as --root" in done.output


def test_a_folder_of_public_photographs_that_no_study_asks_for_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(SMALL)
    done = CliRunner().invoke(app, ["study", "run", str(path), "--public-root", str(tmp_path)])
    assert done.exit_code == 2
    assert "--public-root is given and" in done.output and "names no public_data" in done.output
