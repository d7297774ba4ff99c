"""Pages, and the surroundings that their snippets speak of."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from fl_crafter.assets import load_generator
from fl_crafter.tensor_files import write_safetensors

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")],
    key=lambda path: path.relative_to(ROOT).as_posix(),
)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder: `photographs` of two people, and what goes wrong at times.

    The faces are the shipped generator's, of nobody.
    """
    monkeypatch.chdir(tmp_path)
    image = load_generator().sample(8, random=torch.Generator().manual_seed(0))
    pixels = (image * 255).byte().permute(0, 2, 3, 1).numpy()
    for number, picture in enumerate(pixels):
        folder = tmp_path / "photographs" / ("ada" if number < 4 else "bo")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number % 4}.png")
    (tmp_path / "flat").mkdir()
    Image.fromarray(pixels[0]).save(tmp_path / "flat" / "0.png")
    whole = (tmp_path / "photographs" / "ada" / "0.png").read_bytes()
    for name, content in (("damaged", whole[:-2000]), ("renamed", b"<html>")):
        (tmp_path / name / "ada").mkdir(parents=True)
        (tmp_path / name / "ada" / "0.png").write_bytes(content)
    write_safetensors(tmp_path / "features.safetensors", {"feature": torch.zeros(2, 64, 16, 16)})
    write_safetensors(tmp_path / "other.safetensors", {"feature": torch.zeros(2, 128, 8, 8)})
    (tmp_path / "typo.toml").write_text('dataset = "orl"\nround = 3\n')
    (tmp_path / "simple.toml").write_text('dataset = "orl"\n')
    return tmp_path
