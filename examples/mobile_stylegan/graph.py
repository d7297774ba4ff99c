"""An OpenVINO graph (an .xml beside its .bin) as a torch module that can be differentiated."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DTYPES = {"f32": torch.float32, "f16": torch.float16, "i64": torch.int64, "i32": torch.int32}
Attributes = dict[str, str]


class OpenVinoGraph(nn.Module):
    """Runs the layers of a graph with one input and one output, in any batch size.

    Args:
        xml: the graph; its weights lie beside it.
        until: name of the layer whose first output is wanted; the graph's result by default.
        rows: whether each matrix product that reads the input gets a row of its own: the input is
            then `[batch, rows, width]` (a StyleGAN's W+) instead of `[batch, width]`.

    Attributes:
        rows: number of these products, in the order of the file.

    Raises:
        ValueError: the graph holds a layer that is not known here, or not the one that is wanted.
    """

    def __init__(self, xml: Path, *, until: str | None = None, rows: bool = False) -> None:
        super().__init__()
        root = ElementTree.parse(xml).getroot()
        blob = bytearray(xml.with_suffix(".bin").read_bytes())
        self._layers: list[tuple[str, str, Attributes]] = []
        self._last = ""
        for layer in _children(root, "layers"):
            data = layer.find("data")
            number, kind = layer.attrib["id"], layer.attrib["type"]
            if layer.attrib["name"] == until or (until is None and kind == "Result"):
                self._last = number
            attributes = {} if data is None else dict(data.attrib)
            if kind == "Const":
                self.register_buffer(_constant(number), _read(attributes, blob), persistent=False)
            elif kind not in OPERATIONS and kind != "Parameter":
                raise ValueError(f"{xml} holds a layer of type {kind}, which is not known here")
            self._layers.append((number, kind, attributes))
        if not self._last:
            raise ValueError(f"{xml} holds no layer {until or 'of the result'}")
        self._inputs = _inputs(root)
        self.rows, self._row_of = 0, {}
        given = {number for number, kind, _ in self._layers if kind == "Parameter"}
        for number, kind, _ in self._layers:
            if kind == "MatMul" and self._inputs[number][0][0] in given:
                self._row_of[number] = self.rows if rows else None
                self.rows += 1

    def forward(self, value: Tensor) -> Tensor:
        """The graph's output, `[batch, ...]`."""
        one = value if value.ndim == 2 else value[:, 0]
        found: dict[str, tuple[Tensor, ...]] = {}
        for number, kind, attributes in self._layers:
            if kind == "Const":
                found[number] = (getattr(self, _constant(number)),)
            elif kind == "Parameter":
                found[number] = (one,)
            else:
                given = [found[layer][port] for layer, port in self._inputs[number]]
                row = self._row_of.get(number)
                if row is not None:
                    given[0] = value[:, row]
                result = OPERATIONS[kind](attributes, *given)
                found[number] = result if isinstance(result, tuple) else (result,)
            if number == self._last:
                break
        return found[self._last][0]


def _children(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    found = root.find(name)
    return [] if found is None else list(found)


def _constant(number: str) -> str:
    return f"constant_{number}"


def _read(attributes: Attributes, blob: bytearray) -> Tensor:
    shape = [int(size) for size in attributes["shape"].split(",") if size.strip()]
    dtype = DTYPES[attributes["element_type"]]
    whole = torch.frombuffer(
        blob, dtype=dtype, count=math.prod(shape), offset=int(attributes["offset"])
    )
    value = whole.clone().view(shape)
    return value.float() if dtype.is_floating_point else value.long()


def _inputs(root: ElementTree.Element) -> dict[str, list[tuple[str, int]]]:
    """By layer, of which layer and which of its outputs each input is."""
    first_output = {
        layer.attrib["id"]: min(int(port.attrib["id"]) for port in _children(layer, "output"))
        for layer in _children(root, "layers")
        if _children(layer, "output")
    }
    edges = [each.attrib for each in _children(root, "edges")]
    edges.sort(key=lambda edge: int(edge["to-port"]))
    found: dict[str, list[tuple[str, int]]] = {}
    for edge in edges:
        source = edge["from-layer"]
        port = int(edge["from-port"]) - first_output[source]
        found.setdefault(edge["to-layer"], []).append((source, port))
    return found


def _pair(attributes: Attributes, name: str) -> tuple[int, int]:
    first, second = (int(each) for each in attributes[name].split(","))
    return first, second


def _geometry(attributes: Attributes) -> dict[str, tuple[int, int]]:
    padding = _pair(attributes, "pads_begin")
    if attributes.get("auto_pad", "explicit") != "explicit" or padding != _pair(
        attributes, "pads_end"
    ):
        raise ValueError(f"a convolution is padded by {attributes}; only equal ends are known here")
    return {
        "stride": _pair(attributes, "strides"),
        "padding": padding,
        "dilation": _pair(attributes, "dilations"),
    }


def _matmul(attributes: Attributes, one: Tensor, other: Tensor) -> Tensor:
    one = one.mT if attributes["transpose_a"] == "true" else one
    return one @ (other.mT if attributes["transpose_b"] == "true" else other)


def _reshape(attributes: Attributes, value: Tensor, shape: Tensor) -> Tensor:
    sizes = shape.tolist()
    if attributes["special_zero"] == "true":
        sizes = [value.shape[place] if size == 0 else size for place, size in enumerate(sizes)]
    return value.reshape(sizes)


def _broadcast(attributes: Attributes, value: Tensor, shape: Tensor) -> Tensor:
    sizes = shape.tolist()
    if attributes["mode"] == "bidirectional":
        sizes = list(torch.broadcast_shapes(value.shape, sizes))
    return value.expand(sizes)


def _gather(attributes: Attributes, value: Tensor, places: Tensor, axis: Tensor) -> Tensor:
    taken = value.index_select(int(axis), places.reshape(-1))
    before, after = value.shape[: int(axis)], value.shape[int(axis) + 1 :]
    return taken.reshape((*before, *places.shape, *after))


def _unsqueeze(attributes: Attributes, value: Tensor, axes: Tensor) -> Tensor:
    for axis in sorted(axes.reshape(-1).tolist()):
        value = value.unsqueeze(axis)
    return value


def _convolution(attributes: Attributes, value: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(value, weight, **_geometry(attributes))


def _grouped(attributes: Attributes, value: Tensor, weight: Tensor) -> Tensor:
    geometry = _geometry(attributes)
    return F.conv2d(value, weight.flatten(0, 1), groups=len(weight), **geometry)


def _grouped_back(attributes: Attributes, value: Tensor, weight: Tensor) -> Tensor:
    kernel = (weight.shape[-2], weight.shape[-1])
    if weight.shape[1:3] == (1, 1) and kernel == _pair(attributes, "strides"):
        # every value becomes a block of its own, as in wavelets: hundreds of times as fast
        block = weight[:, 0, 0, None, :, None, :]  # [channels, 1, kernel rows, 1, kernel columns]
        spread = value[..., :, None, :, None] * block
        return spread.flatten(-2).flatten(-3, -2)
    return F.conv_transpose2d(
        value,
        weight.flatten(0, 1),
        groups=len(weight),
        output_padding=_pair(attributes, "output_padding"),
        **_geometry(attributes),
    )


def _mean(attributes: Attributes, value: Tensor, axes: Tensor) -> Tensor:
    return value.mean(axes.tolist(), keepdim=attributes["keep_dims"] == "true")


OPERATIONS: dict[str, Callable[..., Tensor | tuple[Tensor, ...]]] = {
    "Add": lambda _, one, other: one + other,
    "Broadcast": _broadcast,
    "Concat": lambda attributes, *parts: torch.cat(parts, int(attributes["axis"])),
    "Convolution": _convolution,
    "Gather": _gather,
    "GroupConvolution": _grouped,
    "GroupConvolutionBackpropData": _grouped_back,
    "MatMul": _matmul,
    "Multiply": lambda _, one, other: one * other,
    "PReLU": lambda _, value, slope: F.prelu(value, slope),
    "Power": lambda _, base, exponent: base**exponent,
    "ReduceMean": _mean,
    "Reshape": _reshape,
    "Result": lambda _, value: value,
    "ShapeOf": lambda _, value: torch.tensor(value.shape),
    "Squeeze": lambda _, value, axes: value.squeeze(axes.reshape(-1).tolist()),
    "Tile": lambda _, value, repeats: value.tile(repeats.tolist()),
    "Unsqueeze": _unsqueeze,
    "VariadicSplit": lambda _, value, axis, sizes: value.split(sizes.tolist(), int(axis)),
}
