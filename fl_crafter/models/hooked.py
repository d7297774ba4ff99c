"""Cut a network that cannot be traced: run it, and stop or take over where a layer ends."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from fl_crafter.errors import InputError


class _Reached(Exception):
    """The layer has given its output."""

    def __init__(self, output: Tensor) -> None:
        self.output = output


class _Kept(nn.Module):
    """A convolution whose own output is taken, so that no norm behind it may be folded into it."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, *values: Any, **more: Any) -> Tensor:
        return self.convolution(*values, **more)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("convolution"), name)


def _copied(network: nn.Module, layer: str) -> nn.Module:
    copy = deepcopy(network)
    taken = copy.get_submodule(layer)
    if isinstance(taken, nn.Conv2d | nn.ConvTranspose2d):
        copy.set_submodule(layer, _Kept(taken))
    return copy


class HookedFront(nn.Module):
    """What comes up to and including a layer; the rest of the network does not run.

    Args:
        network: is copied.
        layer: dotted name of a module of it.
    """

    def __init__(self, network: nn.Module, layer: str) -> None:
        super().__init__()
        self.network, self.layer = _copied(network, layer), layer

    def forward(self, image: Tensor) -> Tensor:
        """The layer's output.

        Raises:
            InputError: it is no tensor, or the layer never runs.
        """

        def stop(module: nn.Module, inputs: object, output: object) -> None:
            if not isinstance(output, Tensor):
                raise InputError(f"Layer '{self.layer}' gives no tensor; cut at another.")
            raise _Reached(output)

        handle = self.network.get_submodule(self.layer).register_forward_hook(stop)
        try:
            self.network(image)
        except _Reached as reached:
            return reached.output
        finally:
            handle.remove()
        raise InputError(f"Layer '{self.layer}' does not run; cut at another.")


class HookedBack(nn.Module):
    """What comes after a layer: the network on a blank image, with the feature put in its place.

    What runs before the layer is computed in vain.

    Args:
        network: is copied.
        layer: dotted name of a module of it.
        size: side of its images in pixels, which no feature tells.
    """

    def __init__(self, network: nn.Module, layer: str, *, size: int) -> None:
        super().__init__()
        self.network, self.layer, self.size = _copied(network, layer), layer, size

    def forward(self, feature: Tensor, *, grey: float = 0.0) -> Tensor:
        """The network's output for a feature; `grey`, of the blank image, does not matter."""
        blank = feature.new_full((len(feature), 3, self.size, self.size), grey)
        layer = self.network.get_submodule(self.layer)
        handle = layer.register_forward_hook(lambda *_: feature)
        try:
            return self.network(blank)
        finally:
            handle.remove()


def cut_by_hooks(network: nn.Module, layer: str, *, size: int) -> tuple[HookedFront, HookedBack]:
    """Split a network that need not be traceable, see `cut_at`.

    Raises:
        InputError: connections skip over the layer, or it gives no tensor.
    """
    front, back = HookedFront(network, layer).eval(), HookedBack(network, layer, size=size).eval()
    reference = next(network.parameters(), torch.zeros(1))
    with torch.no_grad():
        feature = front(torch.zeros(1, 3, size, size).to(reference))
        black, white = back(feature), back(feature, grey=1.0)
    if not torch.allclose(black, white, rtol=1e-4, atol=1e-5):
        raise InputError(f"Connections skip over layer '{layer}'; cut where all of them have met.")
    return front, back
