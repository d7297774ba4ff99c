"""No defence: the clean feature, the reference of every table."""

import torch
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected


class Undefended(Defence):
    """Releases the clean feature."""

    name = "none"

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        """See `Defence`; `random` is not used."""
        return Protected(feature, figures={"utility_loss": 0.0})
