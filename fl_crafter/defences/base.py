"""What a defence is: it replaces features by features that may leave the device."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import torch
from jaxtyping import Float
from torch import Tensor


class Status(StrEnum):
    """How a defence ended."""

    OK = "ok"
    NOT_CONVERGED = "not_converged"
    DIVERGED = "diverged"
    IDENTIFIED = "identified"


@dataclass(frozen=True)
class Protected:
    """Features that a defence releases, and how it went.

    Attributes:
        feature: `[batch, channels, rows, columns]`. With status `diverged` or
            `identified` it must not be released.
        status: see `Status`.
        figures: what the defence measured, by name, such as `utility_loss`.
    """

    feature: Float[Tensor, "batch channels rows columns"]
    status: Status = Status.OK
    figures: dict[str, float] = field(default_factory=dict)


class Defence(ABC):
    """Protects features on the user's device. It sees features only, so any client can use it."""

    name: str

    @abstractmethod
    def protect(
        self, feature: Float[Tensor, "batch channels rows columns"], *, random: torch.Generator
    ) -> Protected:
        """Features to release instead of `feature`.

        Args:
            feature: clean features of one or more private images.
            random: source of all of the defence's randomness.
        """


def join(parts: Sequence[Protected]) -> Protected:
    """One result from those of the parts of a batch: the worst status, figures weighted by rows.

    Args:
        parts: at least one.
    """
    feature = torch.cat([part.feature for part in parts])
    order = list(Status)
    status = max((part.status for part in parts), key=order.index)
    figures = {
        name: sum(part.figures.get(name, math.nan) * len(part.feature) for part in parts)
        / len(feature)
        for name in parts[0].figures
    }
    return Protected(feature, status, figures)


def utility_loss(
    protected: Float[Tensor, "batch *shape"], feature: Float[Tensor, "batch *shape"]
) -> Float[Tensor, "batch"]:
    """Mean squared change of each sample's feature (Crafter's utility loss)."""
    return (protected - feature).flatten(1).square().mean(1)
