"""Networks over many rows, part by part."""

from collections.abc import Callable

import torch
from torch import Tensor


def in_chunks(function: Callable[[Tensor], Tensor], rows: Tensor, size: int = 64) -> Tensor:
    """What a function gives for all rows, without gradient, at bounded memory.

    Args:
        function: `[some, ...] -> [some, ...]`, row by row.
        rows: one or more.
        size: of a part.
    """
    with torch.no_grad():
        return torch.cat([function(part) for part in rows.split(size)])
