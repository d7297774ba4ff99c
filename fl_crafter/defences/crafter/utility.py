"""What of a clean feature the crafted one is to keep for the cloud.

A utility first extracts from the clean feature what is to be kept, its *target*, and then compares
crafted features with that target alone. Nothing else of the clean feature enters the loss, so the
target bounds what this loss can tell of the person.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.chunks import in_chunks
from fl_crafter.defences.base import utility_loss


class Utility(ABC):
    """Kinds of utility; losses are per sample, so no sample depends on its batch."""

    @abstractmethod
    def target(
        self, feature: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, " batch *kept"]:
        """What is to be kept of clean features; no gradient."""

    @abstractmethod
    def loss(
        self,
        crafted: Float[Tensor, "batch channels rows columns"],
        target: Float[Tensor, " batch *kept"],
    ) -> Float[Tensor, " batch"]:
        """How far each crafted feature is from its target, 0 or more; differentiable."""


class FeatureUtility(Utility):
    """Keeps the feature itself: Crafter's published utility loss, for any task."""

    def target(self, feature: Tensor) -> Tensor:
        """See `Utility`."""
        return feature.detach()

    def loss(self, crafted: Tensor, target: Tensor) -> Tensor:
        """See `Utility`; the mean squared change of the feature."""
        return utility_loss(crafted, target)


class TaskUtility(Utility):
    """Keeps what a public model of the task says of the feature, and nothing else.

    By the data-processing inequality, features crafted with this loss alone, from a start that
    depends on nothing else either, tell no more of a person than these outputs do.

    Args:
        model: frozen, features -> `[batch, outputs]`, such as the public cloud model's logits.
        public_feature: features of public faces, whose spread says what a large difference is.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        public_feature: Float[Tensor, "count channels rows columns"],
    ) -> None:
        self.model = model
        self._scale = in_chunks(model, public_feature, 256).std(0).clamp_min(1e-6)

    def __call__(
        self, feature: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch outputs"]:
        """The model's outputs in units of their spread over public faces."""
        return self.model(feature) / self._scale

    def target(self, feature: Tensor) -> Tensor:
        """See `Utility`."""
        with torch.no_grad():
            return self(feature)

    def loss(self, crafted: Tensor, target: Tensor) -> Tensor:
        """See `Utility`; the mean squared difference of the outputs."""
        return (self(crafted) - target).square().mean(1)
