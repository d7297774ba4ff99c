"""Defences for features of an encoder of one's own, of any shape and scale."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.defences.base import Defence, Protected, utility_loss
from fl_crafter.defences.configured import DefenceSettings, build_defence
from fl_crafter.errors import InputError
from fl_crafter.models.split import SplitModel

FOR_ANY_ENCODER = ("none", "noise", "substitution", "transport", "projection", "crafter")
"""The others simulate eavesdroppers that were trained on the shipped encoder's features."""
# Mean deviation, over public faces, of the shipped encoder's features: crafting was tuned to it.
SHIPPED_SPREAD = 0.95


def check_for_any_encoder(name: str) -> None:
    """Make sure that a defence goes with any encoder.

    Raises:
        InputError: it does not, or there is none of this name.
    """
    if name not in FOR_ANY_ENCODER:
        raise InputError(
            f"There is no defence '{name}' for an encoder of one's own; choose one of "
            f"{', '.join(FOR_ANY_ENCODER)}."
        )


def check_outputs(cloud: nn.Module, feature: Tensor) -> None:
    """Make sure that the cloud model says something of each image.

    Args:
        cloud: features -> outputs.
        feature: of several public images.

    Raises:
        InputError: it does not take the features, or says the same of all images.
    """
    try:
        with torch.no_grad():
            output = cloud(feature)
    except RuntimeError as error:
        raise InputError(
            f"The cloud model does not take features of shape {list(feature.shape[1:])} ({error}); "
            "give the one that continues this encoder."
        ) from error
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(feature):
        found = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(
            f"The cloud model gives {found} for {len(feature)} images; it must end in a head, "
            "[batch, outputs], that says what the cloud wants to know of each."
        )
    if not bool(output.std(0).max() > 0):
        raise InputError("The cloud model says the same of every public image; give a trained one.")


class InOwnShape(Defence):
    """A defence for features of any shape and scale, which it sees as the shipped encoder's.

    Crafting moves every value at one rate, and weighs changes of the feature against changes of the
    outputs: both were tuned to the shipped encoder's spread, so features are brought to it.

    Args:
        name: one of `FOR_ANY_ENCODER`.
        model: encoder and cloud model.
        feature: of public images.
        settings: of the defence.

    Raises:
        InputError: the defence does not go with any encoder, or all public images have the same
            feature.
    """

    def __init__(
        self, name: str, model: SplitModel, feature: Tensor, settings: DefenceSettings
    ) -> None:
        check_for_any_encoder(name)
        self.name = name
        self.shape = self._own_shape = feature.shape[1:]
        spread = float(feature.std(0).mean())
        if not spread > 0:
            raise InputError("The encoder gives every public image the same feature.")
        self.unit = spread / SHIPPED_SPREAD
        self.inner = build_defence(
            name,
            encoder=nn.Sequential(model.encoder, _Function(self._inside)),
            cloud=nn.Sequential(_Function(self._outside), model.cloud),
            public_feature=self._inside(feature),
            settings=settings,
        )

    def protect(
        self, feature: Float[Tensor, " batch *shape"], *, random: torch.Generator
    ) -> Protected:
        """See `Defence`."""
        protected = self.inner.protect(self._inside(feature), random=random)
        released = self._outside(protected.feature)
        figures = protected.figures | {
            "utility_loss": float(utility_loss(released, feature).mean())
        }
        return replace(protected, feature=released, figures=figures)

    def _inside(self, feature: Tensor) -> Tensor:
        """With four dimensions, as defences take them."""
        scaled = feature / self.unit
        return scaled if len(self._own_shape) == 3 else scaled.flatten(1)[:, :, None, None]

    def _outside(self, feature: Tensor) -> Tensor:
        return (feature * self.unit).reshape(len(feature), *self._own_shape)


class _Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, value: Tensor) -> Tensor:
        return self.function(value)
