"""Whole runs in this process: the same apps, strategy, tap and files as under `flwr run`."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from fl_crafter.assets import load_encoder
from fl_crafter.defences.base import Defence, Protected, Status
from fl_crafter.errors import InputError
from fl_crafter.files import to_toml
from fl_crafter.transcript import Purpose, Transcript
from simulations import client_data
from simulations.__main__ import app
from simulations.config import SimulationConfig
from simulations.launch import RunFailed, run_simulation

MakeConfig = Callable[..., SimulationConfig]


class Noise(Defence):
    """A fake: adds noise, or fails, as a test says."""

    name = "noise"

    def __init__(self, status: Status = Status.OK) -> None:
        self.status = status

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        noise = torch.randn(feature.shape, generator=random)
        return Protected(feature + noise, self.status, {"utility_loss": 1.0})


def run(config: SimulationConfig, out: Path) -> Path:
    return run_simulation(config, out, mode="in-process", show=lambda line: None)


def server_notes(folder: Path) -> dict[str, object]:
    return json.loads((folder / "server.json").read_text(encoding="utf-8"))


def visible(folder: Path) -> list[str]:
    """Names in a folder, without the lock."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".none.lock")


def test_a_whole_run_leaves_a_whole_folder(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config()
    folder = run(config, tmp_path)
    assert folder == tmp_path / "none"
    assert visible(tmp_path) == ["none"]
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "cloud.safetensors",
        "config.json",
        "crafting",
        "predictions.safetensors",
        "server.json",
        "transcript.safetensors",
        "truth",
    }
    notes = server_notes(folder)
    assert notes["attribute_names"] == ["eyeglasses", "facial_hair", "smile", "male"]
    assert [r["replies"] for r in notes["rounds"]] == [4, 4]  # type: ignore[attr-defined]
    assert notes["evaluation_rows"] == 100
    assert 0 <= notes["utility_auc"] <= 1  # type: ignore[operator]
    stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert stored["config"]["output"] == str(folder)
    assert stored["mode"] == "in-process"
    score = load_file(folder / "predictions.safetensors")["score"]
    assert score.shape == (100, 4)


def test_transcript_and_truth_join_to_the_photographs(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(wire_dtype="float32")
    folder = run(config, tmp_path)
    transcript = Transcript.load(folder / "transcript.safetensors")
    faces = client_data.faces(config)
    encoder = load_encoder(Path(config.weights)).encoder
    truths = [json.loads(path.read_text()) for path in (folder / "truth").iterdir()]
    assert len(truths) == 4 * 3
    shared: list[int] = []
    people: dict[int, set[int]] = {}
    for truth in truths:
        rows = transcript.select(
            (transcript.client == truth["client"])
            & (transcript.round == truth["round"])
            & (transcript.purpose == truth["purpose"])
        )
        index = truth["index"]
        assert rows.row.tolist() == list(range(len(index)))
        with torch.no_grad():
            assert torch.allclose(rows.feature, encoder(faces.image[index]), atol=1e-5)
        role = "eval_train" if truth["purpose"] == Purpose.TRAIN else "eval_test"
        assert {faces.role[i] for i in index} == {role}
        assert faces.identity[index].tolist() == truth["identity"]
        people.setdefault(truth["client"], set()).update(truth["identity"])
        shared += index
    assert len(shared) == len(set(shared)) == 200
    assert sum(map(len, people.values())) == len(set.union(*people.values())) == 20


def test_a_deployment_answers_and_is_checked(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(scenario="deployment")
    folder = run(config, tmp_path)
    outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    assert (outcome["answers_agreed"], outcome["answers_disputed"]) == (8, 0)
    assert 0 <= outcome["utility_auc"] <= 1
    assert [r["agreed"] for r in server_notes(folder)["rounds"]] == [4, 4]  # type: ignore[attr-defined]
    transcript = Transcript.load(folder / "transcript.safetensors")
    assert transcript.labels.isnan().all()
    assert len(transcript) == len(load_file(folder / "predictions.safetensors")["score"]) == 100


def test_rows_are_shuffled(make_config: MakeConfig) -> None:
    index = client_data.share(make_config(), client=0, round=1, purpose=Purpose.EVALUATION)
    assert index.tolist() != sorted(index.tolist())


def test_the_same_seed_gives_the_same_run(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_data, "build_defence", lambda *args, **settings: Noise())
    client_data.defence.cache_clear()
    sent = []
    for name, seed in (("one", 3), ("two", 3), ("three", 5)):
        folder = run(make_config(seed=seed), tmp_path / name)
        sent.append(Transcript.load(folder / "transcript.safetensors").feature)
    client_data.defence.cache_clear()
    assert torch.equal(sent[0], sent[1])
    assert not torch.equal(sent[0], sent[2])


def test_a_defence_that_diverges_fails_the_run_and_no_clean_feature_leaves(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*args: object, **settings: object) -> Defence:
        return Noise(Status.DIVERGED)

    monkeypatch.setattr(client_data, "build_defence", build)
    client_data.defence.cache_clear()
    with pytest.raises(RunFailed, match="The defence noise diverged"):
        run(make_config(seed=4), tmp_path)
    client_data.defence.cache_clear()
    assert visible(tmp_path) == ["none.failed"]
    assert not (tmp_path / "none.failed" / "transcript.safetensors").exists()


def test_more_rounds_than_photographs_is_one_sentence(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="has 25 training photographs for 26 rounds"):
        run(make_config(rounds=26), tmp_path)
    assert visible(tmp_path) == []


def test_a_missing_dataset_is_noticed_before_anything_starts(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="data-root .*nowhere is no folder"):
        run(make_config(data_root=str(tmp_path / "nowhere")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_broken_photograph_is_named_and_leaves_nothing_behind(
    make_config: MakeConfig, photographs: Path, tmp_path: Path
) -> None:
    root = tmp_path / "faces"
    shutil.copytree(photographs, root)
    broken = root / "s7" / "3.pgm"
    broken.write_bytes(broken.read_bytes()[:500])
    with pytest.raises(InputError, match="3.pgm"):
        run(make_config(data_root=str(root)), tmp_path / "out")
    assert visible(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"client_cpus": 4096}, "lower it"), ({"client_gpus": 0.5}, "there is none here")],
)
def test_more_than_the_machine_has_is_noticed_before_anything_starts(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object],
    sentence: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match=sentence):
        run_simulation(make_config(**change), tmp_path, show=lambda line: None)


def test_a_failed_run_keeps_the_folder_of_the_run_before(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    before = (run(make_config(), tmp_path) / "server.json").read_bytes()
    with pytest.raises(InputError):
        run(make_config(rounds=26), tmp_path)
    assert (tmp_path / "none" / "server.json").read_bytes() == before


def test_a_folder_that_is_no_run_folder_is_left_alone(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "holiday.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(InputError, match="is no run folder"):
        run(make_config(), tmp_path)
    assert (tmp_path / "none" / "holiday.txt").exists()


def written(config: SimulationConfig, path: Path, extra: str = "") -> Path:
    path.write_text(to_toml(config.run_config()) + extra, encoding="utf-8")
    return path


def test_the_command_runs_and_names_the_folder(make_config: MakeConfig, tmp_path: Path) -> None:
    path = written(make_config(), tmp_path / "run.toml")
    result = CliRunner().invoke(
        app, ["run", str(path), "--out", str(tmp_path / "out"), "--in-process"]
    )
    assert result.exit_code == 0, result.output
    assert "round 2/2: 4 replies" in result.output
    assert "utility AUC" in result.output


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [("utility-wieght = 1.0\n", "did you mean 'utility-weight'"), ("rounds = ", "not valid TOML")],
)
def test_the_command_ends_with_2_on_bad_input(
    make_config: MakeConfig, tmp_path: Path, extra: str, sentence: str
) -> None:
    path = written(make_config(), tmp_path / "run.toml", extra)
    result = CliRunner().invoke(app, ["run", str(path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert sentence in result.stderr.replace("\n", "")
    assert not (tmp_path / "out").exists()
