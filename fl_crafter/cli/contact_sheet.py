"""Many images as one picture."""

from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from fl_crafter.files import replacing
from fl_crafter.picture import as_bytes


def write_contact_sheet(
    image: Float[Tensor, "count 3 height width"], path: Path, *, columns: int = 10
) -> None:
    """Write images in [0, 1] as one PNG, row by row, through a temporary file."""
    count, _, height, width = image.shape
    rows = -(-count // columns)
    padded = torch.zeros(rows * columns, 3, height, width)
    padded[:count] = image
    grid = padded.view(rows, columns, 3, height, width).permute(0, 3, 1, 4, 2)
    pixels = as_bytes(grid.reshape(rows * height, columns * width, 3)).numpy()
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")
        temporary.chmod(0o600)  # as tensors of faces are
