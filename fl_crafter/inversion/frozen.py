"""The same network, frozen and faster: norms folded, derivatives without the weights' part."""

from copy import deepcopy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fl_crafter.inversion.convolution import FrozenConvolution, can_freeze

Network = TypeVar("Network", bound=nn.Module)


def frozen_copy(network: Network) -> Network:
    """A copy that computes the same and whose weights cannot be trained.

    Batch norms that directly follow a convolution are folded into it: those side by side in an
    `nn.Sequential`, and in torchvision's residual blocks. Other norms stay as they are.
    Convolutions become `FrozenConvolution`s.

    Args:
        network: is taken as it runs in evaluation mode, and not changed.
    """
    copy = deepcopy(network).eval().requires_grad_(False)
    for module in list(copy.modules()):
        children = list(module.named_children())
        ordered = isinstance(module, nn.Sequential)
        for (name, child), (after, norm) in zip(children, children[1:], strict=False):
            # in a block the order of attributes is no proof; convN and bnN belong together
            paired = ordered or (name.startswith("conv") and after == name.replace("conv", "bn"))
            if paired and isinstance(norm, nn.BatchNorm2d):
                if isinstance(child, nn.Conv2d | nn.ConvTranspose2d):
                    transposed = isinstance(child, nn.ConvTranspose2d)
                    setattr(module, name, fuse_conv_bn_eval(child, norm, transpose=transposed))
                    setattr(module, after, nn.Identity())
    for module in list(copy.modules()):
        for name, child in module.named_children():
            if can_freeze(child):
                setattr(module, name, FrozenConvolution(child))
    return copy.requires_grad_(False)
