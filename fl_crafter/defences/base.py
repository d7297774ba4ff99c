"""What a defence is: it replaces features by features that may leave the device."""

from abc import ABC, abstractmethod
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


@dataclass(frozen=True)
class Protected:
    """Features that a defence releases, and how it went.

    Attributes:
        feature: `[batch, channels, rows, columns]`. With status `diverged` it must not be released.
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


def utility_loss(
    protected: Float[Tensor, "batch *shape"], feature: Float[Tensor, "batch *shape"]
) -> Float[Tensor, "batch"]:
    """Mean squared change of each sample's feature (Crafter's utility loss)."""
    return (protected - feature).flatten(1).square().mean(1)
