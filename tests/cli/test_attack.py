"""`fl-crafter attack`: features of any system, one sentence for whatever is no feature."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from typer.testing import Result

from fl_crafter.assets import load_generator
from fl_crafter.assets.trained import TrainedShape
from fl_crafter.models.adapted import AdaptedGenerator
from fl_crafter.models.split import Encoder, SplitModel, freeze
from fl_crafter.study.knowledge import RELEARNING
from fl_crafter.tensor_files import write_safetensors
from fl_crafter.transcript import Transcript, read_features

SHAPE = (64, 16, 16)


def transcript(path: Path, *, shape: tuple[int, int, int] = SHAPE, count: int = 2) -> Path:
    number = torch.zeros(count, dtype=torch.int64)
    feature, labels = torch.rand(count, *shape), torch.zeros(count, 1)
    Transcript(feature, labels, number, number + 1, number, torch.arange(count)).save(path)
    return path


def stored(path: Path, **tensors: Tensor) -> Path:
    write_safetensors(path, tensors)
    return path


def test_attack_wants_features_and_an_attack(refused: Callable[..., str], tmp_path: Path) -> None:
    out, absent = tmp_path / "out", tmp_path / "absent.safetensors"
    good = transcript(tmp_path / "good.safetensors")
    refused("attack", absent, "--out", out, named=(absent, "does not exist"))
    refused("attack", good, "--out", out, "--attack", "guess", named=("'guess'", "white_box"))
    refused("attack", good, "--out", out, "--budget", "huge", named=("'huge'", "cpu"))
    refused("attack", good, "--out", out, "--attack", "adaptive_decoder", named=("--defence",))
    refused("attack", good, "--out", out, "--weights", tmp_path, named=(tmp_path, "weights"))
    assert not out.exists()


def test_unknown_formats_get_one_sentence(refused: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    good = transcript(tmp_path / "good.safetensors")
    other = tmp_path / "other.safetensors"
    for content in (good.read_bytes()[:-40], b"no tensors", b""):
        other.write_bytes(content)
        refused("attack", other, "--out", out, named=(other, "no safetensors file or was cut"))
    stored(other, image=torch.zeros(2, 3, 8, 8), mask=torch.zeros(2))
    refused("attack", other, "--out", out, named=(other, "image, mask", "'feature'"))
    stored(other, feature=torch.zeros(2, 3, 8, 8), features=torch.zeros(2, 3, 8, 8))
    refused("attack", other, "--out", out, named=(other, "'feature'"))
    assert not out.exists()


@pytest.mark.parametrize(
    ("feature", "named"),
    [
        (torch.zeros(2, 5), "[2, 5]"),
        (torch.zeros(2, *SHAPE, dtype=torch.int64), "int64"),
        (torch.full((1, *SHAPE), float("inf")), "not finite"),
        (torch.zeros(2, 8, 4, 4), "[8, 4, 4]"),
        (torch.zeros(0, *SHAPE), "0 features"),
    ],
)
def test_wrong_features_get_one_sentence(
    feature: Tensor, named: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    path = stored(tmp_path / "wrong.safetensors", feature=feature)
    refused("attack", path, "--out", tmp_path / "out", named=(path, named))
    assert not (tmp_path / "out").exists()


def test_mixed_shapes_and_empty_folders_get_one_sentence(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    folder, out = tmp_path / "features", tmp_path / "out"
    folder.mkdir()
    refused("attack", folder, "--out", out, named=(folder, "no .safetensors file"))
    one = stored(folder / "a.safetensors", feature=torch.zeros(1, *SHAPE))
    two = stored(folder / "b.safetensors", feature=torch.zeros(1, 64, 8, 8))
    refused("attack", folder, "--out", out, named=(one, two, "[64, 8, 8]", "[64, 16, 16]"))
    empty = transcript(tmp_path / "empty.safetensors", count=0)
    refused("attack", empty, "--out", out, named=(empty, "0 features"))
    small = transcript(tmp_path / "small.safetensors", shape=(8, 4, 4))
    refused("attack", small, "--out", out, named=(small, "[8, 4, 4]", "[64, 16, 16]"))
    assert not out.exists()


def test_features_of_other_systems_are_read_in_order(tmp_path: Path) -> None:
    feature = torch.rand(4, *SHAPE)
    stored(tmp_path / "b.safetensors", activations=feature[2:3].half())
    stored(tmp_path / "a.safetensors", features=feature[:2])
    stored(tmp_path / "c.safetensors", feature=feature[3], labels=torch.zeros(1, 2))
    (tmp_path / "notes.txt").write_text("not a feature")
    found = read_features(tmp_path)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, feature, atol=1e-3, rtol=1e-3)


class Grey(nn.Module):
    """Draws one grey for the whole picture; black is -1 and white 1."""

    def forward(self, latent: Tensor) -> Tensor:
        return torch.tanh(latent.mean(1))[:, None, None, None].expand(-1, 3, 16, 16)


def grey(side: int = 64) -> AdaptedGenerator:
    return AdaptedGenerator(Grey(), latent_shape=(5,), size=side)


def small() -> AdaptedGenerator:
    return grey(32)


def test_a_generator_can_be_brought_along(
    run: Callable[..., Result], refused: Callable[..., str], tmp_path: Path
) -> None:
    record, out = transcript(tmp_path / "transcript.safetensors"), tmp_path / "out"
    wanted = ("--attack", "white_box_latent", "--budget", "smoke", "--generator")
    for name, named in {
        "no.such:network": ("'no.such:network'", "importable"),
        "tests.cli.test_attack:nothing": ("nothing",),
        "tests.cli.test_attack:Path": ("PosixPath", "ImageGenerator"),
        "tests.cli.test_attack:small": ("[3, 32, 32]", "[3, 64, 64]"),
    }.items():
        refused("attack", record, "--out", out, *wanted, name, named=named)
        assert not out.exists()
    result = run("attack", record, "--out", out, *wanted, "tests.cli.test_attack:grey")
    assert result.exit_code == 0, result.output
    image = load_file(out / "white_box_latent.safetensors")["image"]
    assert image.shape == (2, 3, 64, 64)
    assert float(image.flatten(1).std(1).max()) < 1e-6, "drawn by another generator"


def other_network() -> SplitModel:
    """Another encoder: strided, of eight channels, its values a hundred times as large."""
    torch.manual_seed(3)
    body = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU())
    encoder = Encoder(body, std=(0.01, 0.01, 0.01))
    cloud = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    return SplitModel(encoder, cloud)


def other_encoder() -> nn.Module:
    return other_network().encoder


def narrow() -> nn.Module:
    return nn.Linear(5, 5)


def tokens() -> nn.Module:
    return nn.Sequential(other_encoder(), nn.Flatten(2))


def test_features_of_an_encoder_of_ones_own_are_attacked(
    run: Callable[..., Result],
    refused: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fl_crafter.study.eavesdropper.DRAWN", 80)
    monkeypatch.setitem(RELEARNING, "smoke", 25)
    photographs = tmp_path / "public"
    photographs.mkdir()
    face = load_generator().sample(6, random=torch.Generator().manual_seed(5))
    for index, image in enumerate(face[:4]):
        pixels = (image * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(photographs / f"{index}.png")
    with torch.no_grad():
        path = stored(tmp_path / "theirs.safetensors", feature=other_encoder()(face[4:]))
    out, wanted = tmp_path / "out", ("--budget", "smoke", "--attack")
    mine = "tests.cli.test_attack:other_encoder"
    refused("attack", path, "--out", out, named=(path, "[8, 16, 16]", "[64, 16, 16]", "--encoder"))
    for name, named in {
        "tests.cli.test_attack:narrow": ("[1, 3, 64, 64]",),
        "tests.cli.test_attack:Path": ("PosixPath", "module"),
        "tests.cli.test_attack:tokens": ("[8, 256]", "map"),
        "tests.cli.test_attack:stored": ("stored", "without arguments"),
    }.items():
        refused("attack", path, "--out", out, "--encoder", name, named=named)
    known = ("--encoder", mine, "--defence", "crafter")
    refused("attack", path, "--out", out, *known, named=("--defence", "cut("))
    assert not out.exists()
    result = run(
        *("attack", path, "--out", out, *wanted, "black_box_decoder", "--attack"),
        *("white_box_latent", "--encoder", mine, "--public", photographs),
    )
    assert result.exit_code == 0, result.output
    seen = load_file(out / "black_box_decoder.safetensors")["image"]
    error = [float((each - face[4:]).square().mean()) for each in (seen, face[4:].flip(0))]
    assert error[0] < 0.5 * error[1], "a decoder that learnt nothing"
    monkeypatch.setitem(RELEARNING, "smoke", 1)
    both = "tests.cli.test_attack:other_network"
    known = ("--encoder", both, "--defence", "noise")
    result = run("attack", path, "--out", out, *wanted, "adaptive_decoder", *known)
    assert result.exit_code == 0, result.output
    assert load_file(out / "adaptive_decoder.safetensors")["image"].shape == (2, 3, 64, 64)


def test_attack_writes_what_it_sees(run: Callable[..., Result], tmp_path: Path) -> None:
    record = transcript(tmp_path / "transcript.safetensors")
    out = tmp_path / "out"
    options = ("--attack", "white_box_latent", "--budget", "smoke")
    result = run("attack", record, "--out", out, *options)
    assert result.exit_code == 0, result.output
    names = {"white_box_latent.safetensors", "white_box_latent.png"}
    assert {path.name for path in out.iterdir()} == names
    image = load_file(out / "white_box_latent.safetensors")["image"]
    assert image.shape == (2, 3, 64, 64)
    with Image.open(out / "white_box_latent.png") as sheet:
        assert sheet.size == (640, 64)


def test_attacks_that_are_done_are_kept(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fl_crafter.study.eavesdropper.DRAWN", 40)
    record = transcript(tmp_path / "transcript.safetensors")
    out, alone = tmp_path / "out", tmp_path / "alone"
    both = ("--attack", "average_face", "--attack", "black_box_decoder")
    options = ("--budget", "smoke", "--json")
    first = run("attack", record, "--out", out, *both[:2], *options)
    assert json.loads(first.stdout)["features"] == 2
    written = (out / "average_face.safetensors").stat().st_mtime_ns
    names = run("attack", record, "--out", out, *both, *options)
    assert list(json.loads(names.stdout)["reconstructions"]) == [
        "average_face",
        "black_box_decoder",
    ]
    assert (out / "average_face.safetensors").stat().st_mtime_ns == written
    run("attack", record, "--out", alone, *both[2:], *options)
    image = "black_box_decoder.safetensors"
    assert torch.equal(load_file(out / image)["image"], load_file(alone / image)["image"])
    monkeypatch.setattr("fl_crafter.attacks.suite.run_suite", None)  # there is nothing to run
    assert run("attack", record, "--out", out, *both, *options).exit_code == 0


def test_an_attack_that_lacks_knowledge_is_named(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    record = transcript(tmp_path / "transcript.safetensors")
    options = ("--budget", "smoke", "--attack", "attribute_mean_face")
    result = run("attack", record, "--out", tmp_path / "out", *options)
    assert "attribute_mean_face: left out" in result.stdout


def test_a_setting_of_the_defence_and_a_trained_one_are_known(
    run: Callable[..., Result],
    refused: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fl_crafter.study.eavesdropper.DRAWN", 80)
    out, wanted = tmp_path / "out", ("--budget", "smoke", "--attack", "un_crafter_ridge")
    record, seen = transcript(tmp_path / "transcript.safetensors"), []
    for defence in ("noise:0.01", "noise:5", "noise", "substitution"):
        result = run("attack", record, "--out", out, *wanted, "--defence", defence)
        assert result.exit_code == 0, result.output
        seen.append(load_file(out / "un_crafter_ridge.safetensors")["image"])
    assert not torch.allclose(*seen[:2], atol=0.01), "what is learnt depends on the noise"
    assert not torch.allclose(*seen[2:], atol=0.01), "and on the defence"

    keep = ("--keep", "Smiling")
    result = run("attack", record, "--out", out, *wanted, "--defence", "substitution", *keep)
    assert result.exit_code == 0, result.output
    fewer = load_file(out / "un_crafter_ridge.safetensors")["image"]
    assert not torch.allclose(fewer, seen[3], atol=0.01), "and on what the defence goes by"
    refused("attack", record, "--out", out, *keep, named=("--keep", "--defence"))
    refused("attack", record, "--out", out, *keep, "--defence", "noise:1", named=("noise",))

    file = tmp_path / "advlearn.safetensors"
    parts = TrainedShape("advlearn", 40, (64, 8, 8, 8), (2, 2, 2), 0.5).build()
    freeze(parts.module())
    parts.save(file)
    with torch.no_grad():
        feature = parts.model.encoder(torch.rand(2, 3, 64, 64))
    theirs = stored(tmp_path / "theirs.safetensors", feature=feature)
    known = ("--defence", f"advlearn:{file}")
    refused("attack", theirs, "--out", out, *known, "--weights", tmp_path, named=("--weights",))
    refused("attack", record, "--out", out, "--defence", f"disco:{file}", named=(file, "disco"))
    result = run("attack", theirs, "--out", tmp_path / "trained", *wanted, *known)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "trained" / "un_crafter_ridge.png").is_file()
