"""Photographs are decoded wholly or refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fl_crafter.faces.photo import list_photos, read_photo


@pytest.fixture
def jpeg(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (60, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "face.jpg")
    return tmp_path / "face.jpg"


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.1, 0.01, 0.0])
def test_a_truncated_jpeg_is_refused(jpeg: Path, refused: Callable[..., str], kept: float) -> None:
    whole = jpeg.read_bytes()
    jpeg.write_bytes(whole[: int(kept * len(whole))])
    refused(lambda: read_photo(jpeg, crop=48, size=16), jpeg, "replace the file or remove it")


def test_a_jpeg_without_its_last_byte_is_refused(jpeg: Path, refused: Callable[..., str]) -> None:
    jpeg.write_bytes(jpeg.read_bytes()[:-1])
    refused(lambda: read_photo(jpeg, crop=48, size=16), jpeg, "truncated")


def test_a_truncated_pgm_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tmp_path / "1.pgm"
    path.write_bytes(b"P5\n4 4\n255\n" + bytes(10))
    refused(lambda: read_photo(path, crop=4, size=8), path, "cannot be decoded")


def test_text_is_no_photograph(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tmp_path / "face.jpg"
    path.write_text("<html>404</html>")
    refused(lambda: read_photo(path, crop=4, size=8), path, "not an image")


def test_a_missing_photograph_is_named(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tmp_path / "gone.jpg"
    refused(lambda: read_photo(path, crop=4, size=8), path, "is missing")


def test_sixteen_bits_are_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(path)
    refused(lambda: read_photo(path, crop=8, size=8), path, "I;16", "8 bits")


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_every_common_mode_becomes_three_channels(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "face.png"
    Image.new("RGB", (8, 8), (51, 51, 51)).convert(mode).save(path)
    torch.testing.assert_close(read_photo(path, crop=None, size=8), torch.full((3, 8, 8), 0.2))


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    photo = Image.new("RGB", (8, 8), (255, 0, 0)).convert("P", palette=Image.Palette.ADAPTIVE)
    photo.save(path, transparency=bytes([128]))
    assert read_photo(path, crop=None, size=8)[:, 0, 0].tolist() == [1, 0, 0]


def test_without_a_crop_the_shorter_side_counts(tmp_path: Path) -> None:
    pixels = np.zeros((30, 10), dtype=np.uint8)
    pixels[10:20] = 255
    Image.fromarray(pixels).save(tmp_path / "tall.png")
    assert float(read_photo(tmp_path / "tall.png", crop=None, size=10).min()) == 1


def test_a_camera_held_sideways_is_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((10, 10), dtype=np.uint8)
    pixels[:, :5] = 255  # the left half, which this orientation brings to the top
    photo = Image.fromarray(pixels)
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "sideways.png", exif=exif)
    image = read_photo(tmp_path / "sideways.png", crop=None, size=10)
    assert float(image[:, :5].min()) == 1 and float(image[:, 5:].max()) == 0


def test_other_files_are_passed_over(jpeg: Path) -> None:
    (jpeg.parent / "notes.txt").write_text("")
    (jpeg.parent / ".hidden.jpg").write_text("")
    assert list_photos(jpeg.parent) == [jpeg]
