"""The generators: W or W+ of the wheel's MobileStyleGAN, in the frame and size of the victim.

The wheel random-face (Apache License 2.0) holds the network as OpenVINO graphs. It was distilled
from a StyleGAN2 of FFHQ (Belousov, 2021).
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from examples.mobile_stylegan.graph import OpenVinoGraph
from fl_crafter.errors import InputError
from fl_crafter.models.adapted import AdaptedGenerator

SIDE = 64
WIDTH = 512
HEAD = "LeakyRelu_442"  # the last layer of 64 x 64 pixels
DRAWN = 4096
FITTED = 48
# What is framed as CelebA's faces are here, by eyes, nose and mouth of either's mean face: 62 of 64
# pixels, from 3 above the image, which are repeated, and from the second column
ABOVE = 3
CROP = (0, 1, 62, 62)


def folder() -> Path:
    """Where the wheel's graphs are; the wheel itself is never imported.

    Raises:
        InputError: it is not installed.
    """
    spec = find_spec("random_face")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "The generator is in the wheel random-face, which is not installed; do so with "
            "'pip install --no-deps random-face==2021.7.21.1'."
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def w(size: int = SIDE) -> AdaptedGenerator:
    """Latents are styles, one for all layers: `[512]`."""
    return _generator(size, rows=False)


def w_plus(size: int = SIDE) -> AdaptedGenerator:
    """Latents are styles, one for each layer: `[23, 512]`."""
    return _generator(size, rows=True)


def _generator(size: int, *, rows: bool) -> AdaptedGenerator:
    style = styles(DRAWN)
    synthesis = LowResolution(folder() / "SynthesisNetwork.xml", style[:FITTED], rows=rows)
    shape = (synthesis.graph.rows, WIDTH) if rows else (WIDTH,)
    return AdaptedGenerator(
        synthesis,
        latent_shape=shape,
        size=size,
        mean=style.mean(0).expand(shape).clone(),
        deviation=style.std(0).expand(shape).clone(),
        crop=CROP,
    )


@torch.no_grad()
def styles(count: int) -> Tensor:
    """Styles of random latents, `[count, 512]`, the same ones at every call."""
    latent = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(0))
    return OpenVinoGraph(folder() / "MappingNetwork.xml")(latent)


class LowResolution(nn.Module):
    """The synthesis network up to 64 x 64 pixels, a tenth of the work of the 1024 x 1024.

    Each of its layers had a head of its own, linear in the layer's values, when it was trained; the
    wheel has the last one only. This one is fitted by least squares to whole images, made small.

    Args:
        xml: of the synthesis network.
        style: to fit the head on.
        rows: whether latents are W+, `[batch, rows, 512]`.
        head: name of the layer that the head reads.

    Attributes:
        error: of the images, mean squared, in units of their variance over the styles; measured on
            the last quarter of the styles, which the head was not fitted on.
    """

    def __init__(self, xml: Path, style: Tensor, *, rows: bool, head: str = HEAD) -> None:
        super().__init__()
        self.graph = OpenVinoGraph(xml, rows=rows, until=head)
        values, images = [], []
        whole, part = OpenVinoGraph(xml), OpenVinoGraph(xml, until=head)
        with torch.no_grad():
            for one in style.split(1):
                values.append(part(one))
                images.append(nn.functional.adaptive_avg_pool2d(whole(one), values[0].shape[-1]))
            value, image = torch.cat(values), torch.cat(images)
            fitted = 3 * len(style) // 4
            self.head = nn.Conv2d(value.shape[1], 3, 1)
            self._fit(value[:fitted], image[:fitted])
            rest = image[fitted:]
            missed = (self.head(value[fitted:]) - rest).square().mean()
            self.error = float(missed / (rest - image[:fitted].mean(0)).square().mean())

    def _fit(self, value: Tensor, image: Tensor) -> None:
        """Ridge regression over all pixels."""
        given = value.permute(0, 2, 3, 1).flatten(0, 2).double()
        given = torch.cat([given, torch.ones(len(given), 1, dtype=torch.float64)], dim=1)
        wanted = image.permute(0, 2, 3, 1).flatten(0, 2).double()
        square = given.T @ given
        square.diagonal().add_(1e-5 * square.diagonal().mean())
        solution = torch.linalg.solve(square, given.T @ wanted).float()
        self.head.weight.copy_(solution[:-1].T[..., None, None])
        self.head.bias.copy_(solution[-1])

    def forward(self, style: Tensor) -> Tensor:
        """Images, about in [-1, 1], `[batch, 3, 67, 64]`."""
        image = self.head(self.graph(style))
        return nn.functional.pad(image, (0, 0, ABOVE, 0), mode="replicate")
