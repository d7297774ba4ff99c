"""What becomes of single pixels between a photograph and a network input."""

import numpy as np
import pytest
import torch
from PIL import Image

from fl_crafter.faces.preprocess import square_crop, to_image


def _numbered(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.arange(width * height, dtype=np.uint8).reshape(height, width))


def test_crop_takes_the_central_square() -> None:
    cropped = np.asarray(square_crop(_numbered(6, 8), 4))
    np.testing.assert_array_equal(cropped, np.asarray(_numbered(6, 8))[2:6, 1:5])


def test_short_side_repeats_its_edge_pixels() -> None:
    photo = _numbered(3, 6)  # like ORL: narrower than the crop
    cropped = np.asarray(square_crop(photo, 6))
    pixels = np.asarray(photo)
    np.testing.assert_array_equal(cropped[:, 1:4], pixels)
    np.testing.assert_array_equal(cropped[:, 0], pixels[:, 0])
    np.testing.assert_array_equal(cropped[:, 4:], pixels[:, [2, 2]])


def test_one_side_is_padded_while_the_other_is_cropped() -> None:
    photo = _numbered(3, 9)
    cropped = np.asarray(square_crop(photo, 5))
    np.testing.assert_array_equal(cropped[:, 1:4], np.asarray(photo)[2:7])


def test_pad_of_the_whole_orl_photograph_is_ten_pixels_on_each_side() -> None:
    photo = Image.fromarray(np.tile(np.arange(92, dtype=np.uint8), (112, 1)))
    cropped = np.asarray(square_crop(photo, 112))
    assert cropped.shape == (112, 112)
    assert (cropped[:, :10] == 0).all() and (cropped[:, 102:] == 91).all()


def test_without_resizing_the_pixels_are_the_photographs() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    image = to_image(Image.fromarray(pixels), crop=10, size=10)
    torch.testing.assert_close(image, torch.from_numpy(pixels).permute(2, 0, 1) / 255)


def test_black_is_zero_and_white_is_one() -> None:
    pixels = np.zeros((8, 8), dtype=np.uint8)
    pixels[:, 4:] = 255
    image = to_image(Image.fromarray(pixels), crop=8, size=16)
    assert float(image.min()) == 0 and float(image.max()) == 1  # though bicubic overshoots
    assert image.dtype == torch.float32


def test_grey_becomes_three_equal_channels() -> None:
    image = to_image(_numbered(12, 12), crop=12, size=8)
    assert image.shape == (3, 8, 8)
    assert torch.equal(image[0], image[1]) and torch.equal(image[0], image[2])
    assert float(image.std()) > 0.1


@pytest.mark.parametrize("size", [64, 112, 128])
def test_published_sizes(size: int) -> None:
    assert to_image(_numbered(178, 218), crop=148, size=size).shape == (3, size, size)


def test_shrinking_is_antialiased() -> None:
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    image = to_image(Image.fromarray(checks), crop=64, size=16)
    inner = image[:, 2:-2, 2:-2]  # every second pixel alone would be all black or all white
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5), atol=0.02, rtol=0)


def test_the_photograph_is_not_turned_or_mirrored() -> None:
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:8, 8:, 0] = 255  # red, at the top right
    image = to_image(Image.fromarray(pixels), crop=16, size=8)
    assert float(image[0, 0, 7]) == 1 and float(image[0, 0, 0]) == 0
    assert float(image[0, 7, 7]) == 0 and float(image[2].max()) == 0
