"""Cut any torchvision backbone, or other traceable network, at a named layer."""

import inspect
from copy import deepcopy
from typing import Any

from torch import fx, nn

from fl_crafter._torchvision import torchvision
from fl_crafter.errors import InputError
from fl_crafter.models.hooked import cut_by_hooks
from fl_crafter.models.split import Encoder, SplitModel

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Colour = tuple[float, float, float]


def cut(
    model: nn.Module,
    layer: str,
    *,
    mean: Colour = (0.0, 0.0, 0.0),
    std: Colour = (1.0, 1.0, 1.0),
    size: int | None = None,
) -> SplitModel:
    """Any network of images, cut in two at a named layer; the network stays as it is.

    Args:
        model: ends in a head that says something of a face, `[batch, outputs]`, which is what the
            cloud wants to know, and not who it is: `crafter` keeps it all.
        layer: dotted name of the last module that runs on the device, as in
            `model.named_modules()`.
        mean: per-channel mean that the network's images are normalised by; `IMAGENET_MEAN` for most
            of torchvision's and timm's. Images in [0, 1] by default.
        std: per-channel standard deviation, likewise.
        size: side of the network's images in pixels, for a network that `torch.fx` cannot trace.

    Raises:
        InputError: see `cut_at`; or the network cannot be traced and `size` is missing.
    """
    try:
        front, back = cut_at(model, layer)
    except InputError:
        raise
    except Exception as error:  # tracing runs the network's own code, which may raise anything
        if size is None:
            raise InputError(
                f"{type(model).__name__} cannot be traced by torch.fx ({error}); say the side of "
                "its images in pixels with size, to cut it by hooks."
            ) from error
        front, back = cut_by_hooks(model, layer, size=size)
    return SplitModel(Encoder(front, mean=mean, std=std).eval(), back.eval())


def cut_at(model: nn.Module, layer: str) -> tuple[nn.Module, nn.Module]:
    """Split a network into what comes up to and including `layer`, and the rest.

    Args:
        model: traceable by `torch.fx`.
        layer: dotted name of a module, as in `model.named_modules()`.

    Raises:
        InputError: there is no such layer, or a connection skips over it, so that its output alone
            does not determine the rest.
    """
    traced = _trace(model)
    nodes = list(traced.graph.nodes)
    inside = [index for index, node in enumerate(nodes) if _belongs(node, layer)]
    if not inside:
        names = ", ".join(name for name, _ in model.named_children())
        raise InputError(f"The network has no layer '{layer}'; its top-level layers are {names}.")
    last = inside[-1]
    if _crosses(nodes, last):
        raise InputError(f"Connections skip over layer '{layer}'; cut where all of them have met.")
    return _front(traced, last), _back(traced, last)


class _Tracer(fx.Tracer):
    """Keeps stochastic depth a module, which training and evaluation mode switch."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        whole = isinstance(m, torchvision.ops.StochasticDepth)
        return whole or super().is_leaf_module(m, module_qualified_name)


def _trace(model: nn.Module) -> fx.GraphModule:
    """The network as it runs in evaluation mode; what only training adds is left out."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        graph = _Tracer().trace(model, concrete_args=_options(model))
    finally:
        for module, mode in modes.items():
            module.training = mode
    for node in list(graph.nodes):
        if node.op == "placeholder" and node.args:  # an option, which is as it is by default
            _erase(graph, node)
    return fx.GraphModule(model, graph)


def _options(model: nn.Module) -> dict[str, Any]:
    """What the network takes beside images, such as a transformer's mask, with its default."""
    _, *others = inspect.signature(model.forward).parameters.values()
    return {each.name: each.default for each in others if each.default is not each.empty}


def _erase(graph: fx.Graph, node: fx.Node) -> None:
    """Take a node out, and the comparisons with its default that depend on it."""
    for user in list(node.users):
        _erase(graph, user)
    graph.erase_node(node)


def _belongs(node: fx.Node, layer: str) -> bool:
    """Whether a node is computed within a layer, such as the addition that ends its last block."""
    return any(path == layer for path, _ in node.meta.get("nn_module_stack", {}).values())


def _crosses(nodes: list[fx.Node], last: int) -> bool:
    order = {node: index for index, node in enumerate(nodes)}
    return any(
        order[user] > last and order[node] < last and node.op != "get_attr"
        for node in nodes[:last]
        for user in node.users
    )


def _front(traced: fx.GraphModule, last: int) -> nn.Module:
    front = deepcopy(traced)
    nodes = list(front.graph.nodes)
    for node in reversed(nodes[last + 1 :]):
        front.graph.erase_node(node)
    front.graph.output(nodes[last])
    return _finished(front)


def _back(traced: fx.GraphModule, last: int) -> nn.Module:
    back = deepcopy(traced)
    nodes = list(back.graph.nodes)
    with back.graph.inserting_after(nodes[last]):
        feature = back.graph.placeholder("feature")
    nodes[last].replace_all_uses_with(feature)
    for node in reversed(nodes[: last + 1]):
        if not node.users:
            back.graph.erase_node(node)
    return _finished(back)


def _finished(part: fx.GraphModule) -> nn.Module:
    part.graph.lint()
    part.recompile()
    part.delete_all_unused_submodules()
    return part
