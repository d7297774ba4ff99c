"""Defences that are trained: each brings an encoder and a cloud model in place of the victim's."""

import torch
from torch import Tensor

from fl_crafter.assets.trained import TrainedParts
from fl_crafter.defences.base import Defence, Protected, utility_loss
from fl_crafter.training.disco import pruning_mask


class Retrained(Defence):
    """AdvLearn and TIPRDC: the protection is in the encoder, so its features leave as they are.

    Args:
        parts: the trained networks.
    """

    def __init__(self, parts: TrainedParts) -> None:
        self.name = parts.shape.defence
        self.model = parts.model
        self.decoder = parts.decoder

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        """See `Defence`; of features of `model.encoder`. `random` is not used."""
        return Protected(feature, figures={"utility_loss": 0.0})


class Disco(Defence):
    """Disco: prunes the channels of its own encoder's features.

    Args:
        parts: the trained networks; without a pruner the channels are drawn for each release.
    """

    def __init__(self, parts: TrainedParts) -> None:
        self.name = parts.shape.defence
        self.model = parts.model
        self.decoder = parts.decoder
        self.pruner = parts.pruner
        self.ratio = parts.shape.ratio

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        """See `Defence`; of features of `model.encoder`."""
        with torch.no_grad():
            mask = pruning_mask(feature, self.pruner, ratio=self.ratio, random=random)
        released = feature * mask
        loss = float(utility_loss(released, feature).mean())
        return Protected(released, figures={"utility_loss": loss})
