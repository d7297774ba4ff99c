"""The same network, frozen and faster: norms folded, derivatives without the weights' part."""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import TypeVar

from torch import fx, nn
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
    `nn.Sequential`, in torchvision's ResNets, and in what `fl_crafter.cut` has traced. Other norms
    stay as they are. Convolutions become `FrozenConvolution`s.

    Args:
        network: is taken as it runs in evaluation mode, and not changed.
    """
    copy = deepcopy(network).eval().requires_grad_(False)
    places = Counter(id(each) for _, each in copy.named_modules(remove_duplicate=False))
    for module in list(copy.modules()):
        # names and order of attributes are no proof of what follows what: the forward pass is
        for name, its_norm in list(_following(module)):
            convolution, norm = module.get_submodule(name), module.get_submodule(its_norm)
            if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None:
                continue
            if places[id(convolution)] > 1 or places[id(norm)] > 1:
                continue
            if isinstance(convolution, nn.Conv2d):
                fused = fuse_conv_bn_eval(convolution, norm)
            elif isinstance(convolution, nn.ConvTranspose2d) and convolution.groups == 1:
                fused = fuse_conv_bn_eval(convolution, norm, transpose=True)
            else:
                continue
            module.set_submodule(name, fused)
            module.set_submodule(its_norm, nn.Identity())
    for module in list(copy.modules()):
        for name, child in module.named_children():
            if can_freeze(child):
                setattr(module, name, FrozenConvolution(child))
    return copy.requires_grad_(False)


def _following(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of modules of which the second takes what the first gives, and nobody else does."""
    if isinstance(module, fx.GraphModule):
        for node in module.graph.nodes:
            users = list(node.users)
            if node.op == "call_module" and len(users) == 1 and users[0].op == "call_module":
                pair = node.target, users[0].target
                # a module that is called twice stays as it is
                if sum(other.target in pair for other in module.graph.nodes) == 2:
                    yield pair
    elif type(module).forward is nn.Sequential.forward:
        # a module may stand in several places, of which `named_children` names the first
        inside = [name for name, _ in module.named_modules(remove_duplicate=False) if name]
        names = [name for name in inside if "." not in name]
        yield from zip(names, names[1:], strict=False)
    elif type(module).forward in _RESIDUAL:
        for name, _ in module.named_children():
            if name.startswith("conv"):
                yield name, name.replace("conv", "bn")
