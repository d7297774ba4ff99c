"""The command line: help, one sentence for each user error, nothing half-written."""

import shlex
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer.main
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import Result

from fl_crafter import protection
from fl_crafter.assets import load_encoder, load_generator
from fl_crafter.cli.examples import EXAMPLES
from fl_crafter.cli.main import app
from fl_crafter.defences import configured_target
from fl_crafter.defences.base import Protected, Status
from fl_crafter.defences.configured_target import simulated_observer
from fl_crafter.defences.target import Unseen
from fl_crafter.defences.undefended import Undefended
from fl_crafter.faces.photo import read_photo
from fl_crafter.tensor_files import read_metadata


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two people with two photographs each, of noise around different greys."""
    root = tmp_path / "people"
    draw = np.random.default_rng(0)
    for person, grey in (("ann", 40), ("bob", 120)):
        (root / person).mkdir(parents=True)
        for number in range(2):
            pixels = (grey + 40 * number + draw.integers(0, 60, (80, 70, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(root / person / f"{number}.jpg")
    return root


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Public knowledge of as few faces as will do."""
    monkeypatch.setattr(protection, "DRAWN", 200)


GROUPS = [(), ("bench",), ("data",), ("study",), ("study", "human"), ("train",)]
COMMANDS = [tuple(name.split()) for name in EXAMPLES]


@pytest.mark.parametrize("command", [*GROUPS, *COMMANDS], ids=" ".join)
def test_help(command: tuple[str, ...], run: Callable[..., Result]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert f"Usage: root {' '.join(command)}".rstrip() in result.output
    assert not result.stderr
    for example in EXAMPLES.get(" ".join(command), ()):
        assert example in result.output
    if not command:
        assert all(f"{code} " in result.output for code in (0, 1, 2, 130))


def leaves(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group, with the words that lead to it."""
    for name, command in group.commands.items():
        inside = hasattr(command, "commands")
        yield from leaves(command, (*before, name)) if inside else [((*before, name), command)]


def test_every_command_has_been_asked_for_help() -> None:
    assert sorted(words for words, _ in leaves(typer.main.get_command(app))) == sorted(COMMANDS)


def test_every_example_is_a_command_that_there_is() -> None:
    commands = dict(leaves(typer.main.get_command(app)))
    for name, examples in EXAMPLES.items():
        words = tuple(name.split())
        assert examples
        for example in examples:
            begin, rest = (
                shlex.split(example)[: 1 + len(words)],
                shlex.split(example)[1 + len(words) :],
            )
            assert begin == ["fl-crafter", *words]
            commands[words].make_context(name, rest)  # refuses unknown options and wrong values


def test_version_and_completion(run: Callable[..., Result]) -> None:
    assert run("--version").output.split() == ["fl-crafter", version("fl-crafter")]
    assert "--install-completion" in run("--help").output


@pytest.mark.parametrize(
    "arguments",
    [
        ("hide",),
        ("demo", "--data", "faces94"),
        ("demo", "--people", "many"),
        ("craft", "people"),
        ("craft", "people", "--out", "x", "--batch", "0"),
        ("craft", "people", "--out", "x", "--steps", "-1"),
        ("train", "encoder"),
        ("train", "encoder", "--root", "x", "--steps", "0"),
        ("train", "everything"),
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments: tuple[str, ...], run: Callable[..., Result]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr and "Traceback" not in result.output


@pytest.mark.parametrize("data", ["celeba", "lfw"])
def test_a_dataset_needs_its_folder(data: str, refused: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused("demo", "--data", data, "--out", out, named=(data, "--root"))
    assert not out.exists()


@pytest.mark.parametrize("name", ["encoder", "prior", "decoder", "amortiser"])
def test_training_wants_a_dataset_that_is_there(
    name: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    absent, out = tmp_path / "absent", tmp_path / "out"
    refused("train", name, "--root", absent, "--out", out, named=(absent,))
    refused(
        "train", name, "--root", tmp_path, "--data", "faces94", "--out", out, named=("faces94",)
    )
    assert not out.exists()


def test_training_wants_a_decoder_that_there_is(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    refused(
        "train", "decoder", "--root", tmp_path, "--name", "big", named=("'big'", "eavesdropper")
    )


def test_an_encoder_is_trained_on_attributes(
    refused: Callable[..., str], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    refused(
        "train", "encoder", "--data", "folder", "--root", folder, "--out", out, named=("folder",)
    )
    assert not out.exists()


def test_craft_keeps_what_is_asked_for(
    run: Callable[..., Result], refused: Callable[..., str], folder: Path, tmp_path: Path, few: None
) -> None:
    out, crafted = tmp_path / "features.safetensors", []
    options = ("craft", folder, "--out", out, "--defence", "substitution", "--seed", "0")
    for keep in ("", "Smiling", "Eyeglasses"):
        assert run(*options, "--keep", keep).exit_code == 0
        crafted.append(load_file(out)["feature"].clone())
    assert not torch.equal(*crafted[:2]) and not torch.equal(*crafted[1:])
    refused(*options, "--keep", "smile", named=("smile", "Smiling"))


def test_craft_names_the_files_that_it_passes_over(
    run: Callable[..., Result], folder: Path, tmp_path: Path, few: None
) -> None:
    next(folder.rglob("*.jpg")).with_name("phone.heic").write_bytes(b"ftypheic")
    result = run("craft", folder, "--out", tmp_path / "a.safetensors", "--defence", "substitution")
    assert result.exit_code == 0
    assert "1 files are no photographs of a kind that is read" in result.stderr
    assert "phone.heic" in result.stderr


def test_what_cannot_be_written_is_one_sentence_before_anything_is_crafted(
    run: Callable[..., Result], refused: Callable[..., str], folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    refused("craft", folder, "--out", file / "features.safetensors", named=(file,))
    save_file({"feature": torch.rand(2, 64, 16, 16)}, tmp_path / "features.safetensors")
    result = run(
        "attack",
        tmp_path / "features.safetensors",
        "--out",
        file / "seen",
        "--attack",
        "average_face",
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("failed:") and str(file) in result.stderr


def test_the_help_tells_of_arguments_too(run: Callable[..., Result]) -> None:
    assert "its sub-folders are read" in run("craft", "--help").output


@pytest.mark.parametrize("defence", ["none", "projection"])
def test_craft_writes_features_and_nothing_else(
    defence: str, run: Callable[..., Result], folder: Path, tmp_path: Path, few: None
) -> None:
    out = tmp_path / "new" / "features.safetensors"
    result = run("craft", folder, "--out", out, "--defence", defence, "--batch", "3")
    assert result.exit_code == 0, result.output
    stored = load_file(out)
    assert stored.keys() == {"feature"} and read_metadata(out) == {"defence": defence}
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    paths = sorted(folder.rglob("*.jpg"))
    with torch.no_grad():
        image = torch.stack([read_photo(path, crop=None, size=64) for path in paths])
        clean = load_encoder().encoder(image)
    feature = stored["feature"]
    assert feature.shape == clean.shape
    same = torch.allclose(feature, clean, rtol=1e-4, atol=1e-4)
    assert same == (defence == "none")
    if defence == "projection":
        # nearer to the own clean feature than to the others': rows keep the order of the paths
        distance = torch.cdist(feature.flatten(1), clean.flatten(1))
        assert distance.argmin(1).tolist() == [0, 1, 2, 3]


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Two faces of nobody, as photographs of two people."""
    faces = load_generator().sample(2, random=torch.Generator().manual_seed(3))
    for name, face in zip(("ann", "bob"), faces, strict=True):
        (tmp_path / "drawn" / name).mkdir(parents=True)
        pixels = (face.permute(1, 2, 0) * 255).byte().numpy()
        Image.fromarray(pixels).save(tmp_path / "drawn" / name / "1.png")
    return tmp_path / "drawn"


def test_craft_finds_the_weight_of_a_target(
    run: Callable[..., Result], drawn: Path, tmp_path: Path, few: None
) -> None:
    change = {}
    model = load_encoder()
    with torch.no_grad():
        photographs = [
            read_photo(path, crop=None, size=64) for path in sorted(drawn.rglob("*.png"))
        ]
        clean = model.encoder(torch.stack(photographs))
        wanted = model.cloud(clean)
    for name, value in {"wide": "0.3", "tight": "0.00001", "unseen": "0.0001"}.items():
        out = tmp_path / f"{name}.safetensors"
        option = "--false-match" if name == "unseen" else "--utility-budget"
        # a system's own seed would hide the two from that eavesdropper only most of the time
        result = run("craft", drawn, "--out", out, option, value, "--steps", "8", "--seed", "0")
        assert result.exit_code == 0, result.output
        assert ("lose more" in result.output) == (name == "tight"), result.output
        with torch.no_grad():
            released = model.cloud(load_file(out)["feature"])
        change[name] = float((released - wanted).square().mean())
    assert change["tight"] < change["wide"]


def test_craft_writes_nothing_that_its_eavesdropper_sees(
    refused: Callable[..., str],
    drawn: Path,
    tmp_path: Path,
    few: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def observer(*arguments: Any, **options: Any) -> Unseen:
        seen = simulated_observer(*arguments, **options)
        seen.limit = -1.0  # no two pictures are that different
        return seen

    monkeypatch.setattr(configured_target, "simulated_observer", observer)
    out = tmp_path / "out" / "features.safetensors"
    target = ("--false-match", "0.01", "--steps", "1")
    refused("craft", drawn, "--out", out, *target, named=("--false-match", "still sees"))
    assert not out.parent.exists()


def test_craft_refuses_targets_that_make_no_sense(
    refused: Callable[..., str], folder: Path, tmp_path: Path
) -> None:
    base = ("craft", folder, "--out", tmp_path / "features.safetensors")
    both = ("--utility-budget", "1", "--false-match", "0.1")
    refused(*base, *both, named=("--utility-budget", "--false-match", "one"))
    weight = ("--utility-budget", "1", "--utility-weight", "10")
    refused(*base, *weight, named=("--utility-weight", "target"))
    none = ("--utility-budget", "1", "--defence", "noise")
    refused(*base, *none, named=("'noise'", "utility weight"))


class Diverging(Undefended):
    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        return Protected(feature, Status.DIVERGED)


def test_craft_writes_nothing_that_diverged(
    refused: Callable[..., str],
    folder: Path,
    tmp_path: Path,
    few: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protection, "build_defence", lambda *_, **__: Diverging())
    out = tmp_path / "out" / "features.safetensors"
    refused("craft", folder, "--out", out, named=("diverged", "--utility-weight"))
    assert not out.parent.exists()


@pytest.mark.parametrize("harm", ["truncated", "text", "sixteen bits"])
def test_craft_names_a_broken_photograph_and_writes_nothing(
    harm: str, refused: Callable[..., str], folder: Path, tmp_path: Path
) -> None:
    victim = folder / "bob" / "1.jpg"
    if harm == "truncated":
        victim.write_bytes(victim.read_bytes()[:-200])
    elif harm == "text":
        victim.write_text("no photograph")
    else:
        victim.unlink()
        victim = victim.with_suffix(".png")
        Image.fromarray(np.zeros((8, 8), dtype=np.uint16)).save(victim)
    out = tmp_path / "out" / "features.safetensors"
    refused("craft", folder, "--out", out, "--defence", "none", named=(victim,))
    assert not out.parent.exists()


def test_craft_wants_people_and_a_defence(
    refused: Callable[..., str], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "features.safetensors"
    absent = tmp_path / "absent"
    refused("craft", absent, "--out", out, named=(absent,))
    empty = tmp_path / "empty"
    empty.mkdir()
    refused("craft", empty, "--out", out, named=(empty, "no photographs"))
    refused("craft", folder, "--out", out, "--defence", "blur", named=("'blur'", "projection"))
    for weight in ("-1", "nan", "inf"):
        refused("craft", folder, "--out", out, f"--utility-weight={weight}", named=(weight,))
    assert not out.exists()


def test_report_wants_a_finished_run(refused: Callable[..., str], tmp_path: Path) -> None:
    refused("report", tmp_path, named=(tmp_path, "summary.json", "results.json"))
    (tmp_path / "summary.json").write_text('{"dataset": "orl"')
    refused("report", tmp_path, named=(tmp_path / "summary.json",))
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
