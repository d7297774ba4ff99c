"""Many images as one picture."""

from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from fl_crafter.files import replacing


def write_contact_sheet(
    image: Float[Tensor, "count 3 height width"], path: Path, *, columns: int = 10
) -> None:
    """Write images in [0, 1] as one PNG, row by row, through a temporary file."""
    count, _, height, width = image.shape
    rows = -(-count // columns)
    padded = torch.zeros(rows * columns, 3, height, width)
    padded[:count] = image
    grid = padded.view(rows, columns, 3, height, width).permute(0, 3, 1, 4, 2)
    pixels = (grid.reshape(rows * height, columns * width, 3) * 255).round().byte().numpy()
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")
