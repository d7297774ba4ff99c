"""The shipped network, cut deeper: more of it runs on the device, and less is shared.

fl-crafter evaluate --root CELEBA --encoder fl_crafter.assets.deeper:layer2 --out R
"""

from torch import nn

from fl_crafter.assets.store import load_encoder
from fl_crafter.models.split import SplitModel, freeze


def layer2() -> SplitModel:
    """Cut behind layer2."""
    return _cut_behind(1)


def layer3() -> SplitModel:
    """Cut behind layer3."""
    return _cut_behind(2)


def _cut_behind(stages: int) -> SplitModel:
    """The shipped network with so many of the cloud's stages on the device."""
    model = load_encoder()
    layers = list(model.cloud.children())
    encoder = nn.Sequential(model.encoder, *layers[:stages])
    return SplitModel(freeze(encoder), freeze(nn.Sequential(*layers[stages:])))
