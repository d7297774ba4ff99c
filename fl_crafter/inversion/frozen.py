"""The same network, frozen and faster: norms folded, derivatives without the weights' part."""

from copy import deepcopy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fl_crafter._torchvision import torchvision
from fl_crafter.inversion.convolution import FrozenConvolution, can_freeze

Network = TypeVar("Network", bound=nn.Module)

_resnet = torchvision.models.resnet
# whose convN is always followed by bnN
_RESIDUAL = tuple(each.forward for each in (_resnet.BasicBlock, _resnet.Bottleneck, _resnet.ResNet))


def frozen_copy(network: Network) -> Network:
    """A copy that computes the same and whose weights cannot be trained.

    Batch norms that directly follow a convolution are folded into it: those side by side in an
    `nn.Sequential`, and in torchvision's ResNets. Other norms stay as they are.
    Convolutions become `FrozenConvolution`s.

    Args:
        network: is taken as it runs in evaluation mode, and not changed.
    """
    copy = deepcopy(network).eval().requires_grad_(False)
    for module in list(copy.modules()):
        children = list(module.named_children())
        # names and order of attributes are no proof of what follows what: the forward pass is
        ordered = type(module).forward is nn.Sequential.forward
        residual = type(module).forward in _RESIDUAL
        for (name, child), (after, norm) in zip(children, children[1:], strict=False):
            paired = residual and name.startswith("conv") and after == name.replace("conv", "bn")
            if (ordered or paired) and isinstance(norm, nn.BatchNorm2d):
                if isinstance(child, nn.Conv2d | nn.ConvTranspose2d):
                    transposed = isinstance(child, nn.ConvTranspose2d)
                    setattr(module, name, fuse_conv_bn_eval(child, norm, transpose=transposed))
                    setattr(module, after, nn.Identity())
    for module in list(copy.modules()):
        for name, child in module.named_children():
            if can_freeze(child):
                setattr(module, name, FrozenConvolution(child))
    return copy.requires_grad_(False)
