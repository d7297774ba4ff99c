"""Planted broken defences: each looks safe to somebody, and none is."""

import torch
from torch import Tensor

from tests.world import SHAPE


def one_for_all(feature: Tensor) -> Tensor:
    """Always the same feature: perfectly private, and of no use."""
    return torch.ones_like(feature)


class Rounding:
    """Hides gradients, not faces: rounds to a grid, through which no gradient comes."""

    def __init__(self, step: float) -> None:
        self.step = step

    def __call__(self, feature: Tensor) -> Tensor:
        return ((feature.detach() / self.step).round() * self.step).requires_grad_(False)


class Mixing:
    """Hides the face by one fixed invertible matrix over the whole feature."""

    def __init__(self) -> None:
        size = SHAPE[0] * SHAPE[1] * SHAPE[2]
        drawn = torch.randn(size, size, generator=torch.Generator().manual_seed(7))
        self.matrix = torch.linalg.qr(drawn).Q

    def __call__(self, feature: Tensor) -> Tensor:
        return (feature.flatten(1) @ self.matrix).view_as(feature)
