"""The one way from a photograph to a network input, the same for victim, defence and attacker."""

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor


def square_crop(photo: Image.Image, side: int) -> Image.Image:
    """The central `side` x `side` pixels; where the photo is smaller its edge is repeated."""
    width, height = photo.size
    short = max(0, side - width), max(0, side - height)
    if any(short):
        left, top = short[0] // 2, short[1] // 2
        pixels = np.asarray(photo)
        padding = [(top, short[1] - top), (left, short[0] - left)] + [(0, 0)] * (pixels.ndim - 2)
        photo = Image.fromarray(np.pad(pixels, padding, mode="edge"))
        width, height = photo.size
    left, top = (width - side) // 2, (height - side) // 2
    return photo.crop((left, top, left + side, top + side))


def to_image(photo: Image.Image, *, crop: int, size: int) -> Float[Tensor, "3 size size"]:
    """Centre-crop a photograph to `crop` pixels and resize it, antialiased, to `size` pixels.

    Args:
        photo: any mode; grey photographs become three equal channels.
        crop: side of the central square, in the photograph's own pixels.
        size: side of the result in pixels: 64, 112 or 128 in the paper.

    Returns:
        Image `[3, size, size]` in [0, 1].
    """
    square = square_crop(photo.convert("RGB"), crop)
    resized = square.resize((size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255
