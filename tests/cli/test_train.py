"""`fl-crafter train` writes weights that load, beside a card that says where they come from."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from fl_crafter.assets import load_amortiser, load_decoder, load_encoder, load_generator
from fl_crafter.assets.trained import load_trained

PUBLIC, PRIVATE = 6, 4


@pytest.fixture(scope="module")
def celeba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CelebA's files, of noise: one public person and one private."""
    root = tmp_path_factory.mktemp("celeba")
    (root / "img_align_celeba").mkdir()
    draw = np.random.default_rng(0)
    attributes, identities, roles = [], [], ["image,identity,role"]
    for index in range(PUBLIC + PRIVATE):
        name = f"{index:06d}.jpg"
        pixels = draw.integers(0, 256, (218, 178, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "img_align_celeba" / name)
        private = "eval_test" if index % 2 else "eval_train"
        person = 1 if index < PUBLIC else 2
        attributes.append(f"{name} {'1' if index % 2 else '-1'} -1 1")
        identities.append(f"{name} {person}")
        roles.append(f"{name},{person},{'public' if person == 1 else private}")
    head = [str(PUBLIC + PRIVATE), "Male Smiling Bald"]
    (root / "list_attr_celeba.txt").write_text("\n".join(head + attributes) + "\n")
    (root / "identity_CelebA.txt").write_text("\n".join(identities) + "\n")
    (root / "roles.csv").write_text("\n".join(roles) + "\n")
    return root


def loss_in(card: Path) -> str:
    found = re.search(r'"loss": [\d.]+', card.read_text())
    assert found
    return found[0]


def test_encoder(
    celeba: Path, tmp_path: Path, run: Callable[..., Result], refused: Callable[..., str]
) -> None:
    command = ("train", "encoder", "--root", celeba, "--out", tmp_path, "--steps", "2")
    result = run(*command)
    assert result.exit_code == 0, result.output
    names = {"encoder.safetensors", "encoder.md", "encoder.checkpoint"}
    assert {path.name for path in tmp_path.iterdir()} == names
    last = load_encoder(tmp_path).cloud[-1]  # type: ignore[index]
    assert last.out_features == 3
    card = (tmp_path / "encoder.md").read_text()
    for fact in (f"{PUBLIC} public photographs of celeba", '"steps": 2', '"seed": 0'):
        assert fact in card
    assert "non-commercial" in card and str(tmp_path) not in card

    loss_in_card = loss_in(tmp_path / "encoder.md")
    weights = (tmp_path / "encoder.safetensors").read_bytes()
    assert run(*command).exit_code == 0, "a finished training is not repeated"
    assert (tmp_path / "encoder.safetensors").read_bytes() == weights
    assert loss_in(tmp_path / "encoder.md") == loss_in_card
    refused(*command, "--seed", "1", named=(tmp_path / "encoder.checkpoint", "seed=0"))
    assert (tmp_path / "encoder.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    ("command", "name", "load"),
    [
        (("prior",), "generator", load_generator),
        (("decoder",), "decoder", lambda out: load_decoder("decoder", out)),
        (
            ("decoder", "--name", "eavesdropper_decoder"),
            "eavesdropper_decoder",
            lambda out: load_decoder("eavesdropper_decoder", out),
        ),
        (("amortiser",), "amortiser", load_amortiser),
    ],
)
def test_networks_of_the_shipped_encoder(
    command: tuple[str, ...],
    name: str,
    load: Callable[[Path], object],
    celeba: Path,
    tmp_path: Path,
    run: Callable[..., Result],
) -> None:
    result = run("train", *command, "--root", celeba, "--out", tmp_path, "--steps", "1")
    assert result.exit_code == 0, result.output
    load(tmp_path)
    assert f"# {name}\n" in (tmp_path / f"{name}.md").read_text()
    assert f"{tmp_path / name}.safetensors" in result.output


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("advlearn", "--rounds", "1", "--phase-steps", "1"), "advlearn"),
        (("disco", "--steps", "1"), "disco"),
        (("disco", "--steps", "1", "--random-channels"), "disco_random"),
        (
            ("tiprdc", "--classifier-steps", "1", "--steps", "1", "--head-steps", "1"),
            "tiprdc",
        ),
    ],
)
def test_trained_defences(
    command: tuple[str, ...],
    name: str,
    celeba: Path,
    tmp_path: Path,
    run: Callable[..., Result],
    refused: Callable[..., str],
) -> None:
    out = tmp_path / "defence.safetensors"
    given = ("train", *command, "--root", celeba, "--size", "32", "--check-steps", "1")
    result = run(*given, "--out", out)
    assert result.exit_code == 0, result.output
    assert load_trained(out, name).shape.attributes == 3
    card = (tmp_path / "defence.md").read_text()
    assert f"# {name}\n" in card and "not for shipping" in card and str(tmp_path) not in card
    attacked = "named_new" if name == "tiprdc" else "error_new"
    assert attacked in card and "auc_defended" in card
    refused(*given, "--out", tmp_path / "defence.pt", named=(tmp_path / "defence.pt",))


def test_a_trained_defence_needs_public_photographs(
    celeba: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    root = tmp_path / "celeba"
    shutil.copytree(celeba, root)
    roles = (root / "roles.csv").read_text().replace(",public", ",eval_train")
    (root / "roles.csv").write_text(roles)
    out = tmp_path / "defence.safetensors"
    refused("train", "disco", "--root", root, "--out", out, named=("celeba", "public"))
    assert not out.exists()
