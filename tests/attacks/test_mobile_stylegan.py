"""The example in examples/mobile_stylegan: an OpenVINO graph becomes a generator to search."""

import xml.etree.ElementTree as ElementTree
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from examples.mobile_stylegan.generator import ABOVE, LowResolution, folder, styles
from examples.mobile_stylegan.graph import OpenVinoGraph
from tests.world import seeded

WEIGHTS = {
    "first": (6, 4),
    "bias": (1, 6),
    "start": (1, 6, 2, 2),
    "slope": (1,),
    "second": (2, 4),
    "wavelet": (2, 1, 1, 2, 1),
    "wide": (2, 1, 1, 3, 3),
    "depthwise": (2, 1, 1, 3, 3),
    "mix": (3, 2, 1, 1),
}
Port = tuple[int, int]  # number of a layer, and which of its outputs
PLAIN = {"pads_begin": "0, 0", "pads_end": "0, 0", "dilations": "1, 1", "strides": "1, 1"}
PADDED = PLAIN | {"pads_begin": "1, 1", "pads_end": "1, 1"}


class Writer:
    """Writes a graph as OpenVINO's model optimiser does."""

    def __init__(self) -> None:
        self.root = ElementTree.Element("net", name="small", version="10")
        self.layers = ElementTree.SubElement(self.root, "layers")
        self.edges = ElementTree.SubElement(self.root, "edges")
        self.blob = b""

    def constant(self, value: Tensor) -> Port:
        content = value.contiguous().numpy().tobytes()
        kind = {torch.float32: "f32", torch.int64: "i64"}[value.dtype]
        shape = ", ".join(str(size) for size in value.shape)
        data = {"element_type": kind, "shape": shape}
        place = {"offset": str(len(self.blob)), "size": str(len(content))}
        self.blob += content
        return self.layer("Const", **data, **place)

    def layer(self, kind: str, *inputs: Port, outputs: int = 1, **data: str) -> Port:
        number = len(self.layers)
        layer = ElementTree.SubElement(self.layers, "layer", id=str(number), type=kind)
        layer.set("name", f"{kind}_{number}")
        ElementTree.SubElement(layer, "data", data)
        for port, (source, place) in enumerate(inputs):
            edge = {"from-layer": source, "from-port": place, "to-layer": number, "to-port": port}
            ElementTree.SubElement(self.edges, "edge", {k: str(v) for k, v in edge.items()})
        output = ElementTree.SubElement(layer, "output")
        for port in range(outputs):
            ElementTree.SubElement(output, "port", id=str(len(inputs) + port))
        return number, len(inputs)

    def save(self, path: Path) -> Path:
        ElementTree.ElementTree(self.root).write(path)
        path.with_suffix(".bin").write_bytes(self.blob)
        return path


def weights() -> dict[str, Tensor]:
    random = seeded(4)
    return {name: torch.randn(shape, generator=random) for name, shape in WEIGHTS.items()}


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A generator of 4 x 2 images: two modulations, a wavelet's half, convolutions of each kind."""
    w = Writer()
    own = {name: w.constant(value) for name, value in weights().items()}
    style = w.layer("Parameter", shape="1, 4", element_type="f32")
    zero, empty = w.constant(torch.tensor(0)), w.constant(torch.tensor([0]))
    count = w.layer("Gather", w.layer("ShapeOf", style), zero, zero, batch_dims="0")
    count = w.layer("Unsqueeze", count, empty)

    def sizes(*rest: int) -> Port:
        return w.layer("Concat", count, w.constant(torch.tensor(rest)), axis="0")

    def modulation(name: str) -> Port:
        return w.layer("MatMul", style, own[name], transpose_a="false", transpose_b="true")

    scale = w.layer("Add", modulation("first"), own["bias"])
    scale = w.layer("Reshape", scale, sizes(6, 1, 1), special_zero="true")
    value = w.layer("Broadcast", own["start"], sizes(6, 2, 2), mode="bidirectional")
    value = w.layer("PReLU", w.layer("Multiply", scale, value), own["slope"])
    one, lengths = w.constant(torch.tensor(1)), w.constant(torch.tensor([2, 4]))
    low, port = w.layer("VariadicSplit", value, one, lengths, outputs=2)
    high = w.layer("Reshape", (low, port + 1), sizes(2, 2, 2, 2), special_zero="true")
    thirds = w.constant(torch.tensor([1, 1]))
    halves, port = w.layer("VariadicSplit", high, w.constant(torch.tensor(2)), thirds, outputs=2)
    high = w.layer("Squeeze", (halves, port + 1), w.constant(torch.tensor([2])))
    up = {"strides": "2, 1", "output_padding": "0, 0"}
    back = "GroupConvolutionBackpropData"
    value = w.layer("Add", (low, 3), high)
    value = w.layer(back, value, own["wavelet"], **PLAIN | up)
    value = w.layer(back, value, own["wide"], **PADDED, output_padding="0, 0")
    scale = w.layer("Reshape", modulation("second"), sizes(2, 1, 1), special_zero="true")
    value = w.layer(
        "GroupConvolution", w.layer("Multiply", value, scale), own["depthwise"], **PADDED
    )
    w.layer("Result", w.layer("Convolution", value, own["mix"], **PLAIN))
    return w.save(tmp_path / "small.xml")


def by_hand(style: Tensor, other: Tensor) -> Tensor:
    """What the graph computes, where the modulations read these styles."""
    own = weights()
    scale = (style @ own["first"].T + own["bias"]).view(-1, 6, 1, 1)
    value = F.prelu(scale * own["start"], own["slope"])
    value = value[:, :2] + value[:, 2:].view(-1, 2, 2, 2, 2)[:, :, 1]
    value = F.conv_transpose2d(value, own["wavelet"][:, 0], stride=(2, 1), groups=2)
    value = F.conv_transpose2d(value, own["wide"][:, 0], padding=1, groups=2)
    value = value * (other @ own["second"].T).view(-1, 2, 1, 1)
    value = F.conv2d(value, own["depthwise"][:, 0], padding=1, groups=2)
    return F.conv2d(value, own["mix"])


def test_a_graph_computes_what_its_layers_say(graph: Path) -> None:
    style = torch.randn(5, 4, generator=seeded(1))
    torch.testing.assert_close(OpenVinoGraph(graph)(style), by_hand(style, style))


def test_rows_are_read_one_by_each_modulation_and_have_gradients(graph: Path) -> None:
    style = torch.randn(5, 2, 4, generator=seeded(1)).requires_grad_(True)
    network = OpenVinoGraph(graph, rows=True)
    assert network.rows == 2
    found, wanted = network(style), by_hand(style[:, 0], style[:, 1])
    torch.testing.assert_close(found, wanted)
    slopes = [torch.autograd.grad(out.square().sum(), style)[0] for out in (found, wanted)]
    torch.testing.assert_close(*slopes)
    assert float(slopes[0].abs().amin((0, 2)).min()) > 0


def test_a_layer_before_the_last_can_be_asked_for(graph: Path) -> None:
    style = torch.randn(5, 4, generator=seeded(1))
    name = next(
        each.attrib["name"]
        for each in ElementTree.parse(graph).getroot().iter("layer")
        if each.attrib["type"] == "PReLU"
    )
    assert OpenVinoGraph(graph, until=name)(style).shape == (5, 6, 2, 2)
    with pytest.raises(ValueError, match="holds no layer nowhere"):
        OpenVinoGraph(graph, until="nowhere")


def test_a_head_is_fitted_to_a_layer_before_the_last(graph: Path) -> None:
    style = torch.randn(200, 4, generator=seeded(1))
    head = next(
        each.attrib["name"]
        for each in ElementTree.parse(graph).getroot().iter("layer")
        if each.attrib["type"] == "Multiply"  # of the start, before the slope
    )
    small = LowResolution(graph, style, rows=True, head=head)
    rest = style[150:]
    image = small(rest[:, None].expand(-1, small.graph.rows, -1)).detach()
    assert image.shape == (50, 3, 2 + ABOVE, 2)
    with torch.no_grad():
        wanted = F.adaptive_avg_pool2d(OpenVinoGraph(graph)(rest), 2)
        average = F.adaptive_avg_pool2d(OpenVinoGraph(graph)(style[:150]), 2).mean(0)
    missed = (image[:, :, ABOVE:] - wanted).square().mean() / (wanted - average).square().mean()
    assert small.error == pytest.approx(float(missed), rel=1e-3)
    assert 0 < small.error < 1


def test_what_is_not_known_is_refused(graph: Path) -> None:
    graph.write_text(graph.read_text().replace('type="PReLU"', 'type="Mish"'))
    with pytest.raises(ValueError, match="type Mish"):
        OpenVinoGraph(graph)


@pytest.mark.skipif(find_spec("random_face") is None, reason="random-face is not installed")
def test_the_wheels_network_agrees_with_openvino() -> None:
    openvino = pytest.importorskip("openvino")  # what the graph was made for
    style, path = styles(2), folder() / "SynthesisNetwork.xml"
    theirs = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with torch.no_grad():
        ours = OpenVinoGraph(path)(style)
    for own, row in zip(ours, style, strict=True):
        wanted = torch.from_numpy(theirs({0: row[None].numpy()})[0][0])
        torch.testing.assert_close(own, wanted, atol=1e-3, rtol=0)
