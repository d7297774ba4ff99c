import json
import tomllib
from pathlib import Path

import pytest

import simulations
from fl_crafter.errors import InputError
from fl_crafter.files import to_toml
from simulations.config import SimulationConfig

SCENARIOS = Path(simulations.__file__).with_name("conf")
DEVELOPMENT, DEPLOYMENT = SCENARIOS / "development.toml", SCENARIOS / "deployment.toml"


def test_a_configuration_survives_toml_and_flower() -> None:
    config = SimulationConfig(rounds=7, utility_weight=0.5, dataset='a "quoted" \\ näme 🙂\n')
    back = tomllib.loads(to_toml(config.run_config()))
    assert SimulationConfig.from_mapping(back, source="test") == config
    assert all(isinstance(value, bool | int | float | str) for value in back.values())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"utility-wieght": 1.0}, "unknown key 'utility-wieght'; did you mean 'utility-weight'?"),
        ({"utility_weight": 1.0}, "unknown key 'utility_weight'; did you mean 'utility-weight'?"),
        ({"rounds": "3"}, "rounds must be a whole number, not '3'"),
        ({"rounds": 0}, "rounds must be at least 1, not 0"),
        ({"rounds": True}, "rounds must be a whole number, not True"),
        ({"rounds": 2.0}, "rounds must be a whole number, not 2.0"),
        ({"timeout": 0}, "timeout must be more than 0.0, not 0.0"),
        ({"timeout": float("inf")}, "timeout must be at most"),
        ({"utility-weight": float("nan")}, "utility-weight must be a number, not nan"),
        ({"value-limit": float("inf")}, "value-limit must be at most finite"),
        ({"defence": "nothing"}, "defence must be one of none, noise, substitution, "),
        ({"output": "out/demo"}, "output must be an absolute path"),
        ({"dataset": {"name": "orl"}}, "dataset must be a string"),
    ],
)
def test_a_wrong_key_or_value_is_named(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError) as refusal:
        SimulationConfig.from_mapping(values, source="run.toml")
    assert "run.toml" in str(refusal.value)
    assert sentence in str(refusal.value)
    assert str(refusal.value).count(". ") == 0


def test_a_whole_number_serves_as_a_number() -> None:
    config = SimulationConfig.from_mapping({"utility-weight": 2}, source="test")
    assert config.utility_weight == 2.0
    assert type(config.utility_weight) is float


def test_paths_in_a_file_are_meant_from_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('data-root = "faces"\n', encoding="utf-8")
    assert SimulationConfig.from_toml(path).data_root == str(tmp_path / "faces")


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone.toml does not exist"):
        SimulationConfig.from_toml(tmp_path / "gone.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("rounds = \n", encoding="utf-8")
    with pytest.raises(InputError, match="broken.toml is not valid TOML"):
        SimulationConfig.from_toml(broken)


def test_the_documented_example_names_every_key() -> None:
    assert SimulationConfig.from_toml(DEVELOPMENT).clients == 2
    written = tomllib.loads(DEVELOPMENT.read_text(encoding="utf-8"))
    assert set(written) == set(SimulationConfig().run_config())


def test_both_scenarios_have_a_file_that_flwr_can_run_alone() -> None:
    for path in (DEVELOPMENT, DEPLOYMENT):
        config = SimulationConfig.from_toml(path)
        assert config.scenario == path.stem
        assert config.clients == SimulationConfig().clients  # as many as Flower starts by itself
        assert config.defence != "none" and config.release_false_match > 0


def test_flwr_run_in_the_repository_starts_from_the_same_defaults() -> None:
    path = Path(simulations.__file__).parents[1] / "pyproject.toml"
    if not path.is_file():
        pytest.skip("the package is installed; pyproject.toml stays in the repository")
    app = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["flwr"]["app"]
    defaults = SimulationConfig().run_config()
    assert json.dumps(app["config"], sort_keys=True) == json.dumps(defaults, sort_keys=True)
    assert "federations" not in app
