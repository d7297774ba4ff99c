"""Generators: latent -> image, trained on public faces."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.chunks import in_chunks


@dataclass(frozen=True)
class GeneratorShape:
    """Size of a generator.

    Attributes:
        latent_size: number of latent dimensions.
        widths: channels at the start and after each doubling but the last, which gives the image.
        start: side of the first feature map, in pixels; the image's is `start * 2**len(widths)`.
        kernel: side of the transposed convolutions' kernels.
    """

    latent_size: int
    widths: tuple[int, ...]
    start: int
    kernel: int


# Crafter's generators for CelebA (NDSS 2024, appendix) and the one whose weights are shipped.
G1 = GeneratorShape(latent_size=500, widths=(256, 128, 64), start=8, kernel=5)
G2 = GeneratorShape(latent_size=500, widths=(512, 256, 128, 64), start=4, kernel=5)
SHIPPED = GeneratorShape(latent_size=256, widths=(256, 192, 128, 96), start=4, kernel=4)
SHAPES = {"shipped": SHIPPED, "g1": G1, "g2": G2}


def doubling(width_in: int, width: int, kernel: int, *, bias: bool = True) -> nn.ConvTranspose2d:
    """A transposed convolution that doubles the side exactly, for odd and even kernels."""
    return nn.ConvTranspose2d(
        width_in,
        width,
        kernel,
        stride=2,
        padding=(kernel - 1) // 2,
        output_padding=kernel % 2,
        bias=bias,
    )


class ImageGenerator(nn.Module, ABC):
    """What draws images in [0, 1] of latents; N(0, I) is where its latents live.

    Attributes:
        latent_size: number of latent dimensions.
    """

    latent_size: int

    @abstractmethod
    def forward(
        self, latent: Float[Tensor, "batch latent_size"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Images in [0, 1]; a latent drawn from N(0, I) gives a random public face."""

    def sample(
        self, count: int, *, random: torch.Generator
    ) -> Float[Tensor, "count 3 height width"]:
        """`count` images of latents drawn from N(0, I), without gradients."""
        latent = torch.randn(count, self.latent_size, generator=random)
        reference = next(self.parameters(), next(self.buffers(), latent))
        return in_chunks(self, latent.to(reference), 128)


class Generator(ImageGenerator):
    """A DCGAN-shaped generator: a linear layer, then transposed convolutions of stride 2.

    Args:
        shape: see `GeneratorShape`.
    """

    def __init__(self, shape: GeneratorShape = SHIPPED) -> None:
        super().__init__()
        self.shape = shape
        self.latent_size = shape.latent_size
        first = shape.widths[0]
        layers: list[nn.Module] = [
            nn.Linear(shape.latent_size, first * shape.start**2),
            nn.Unflatten(1, (first, shape.start, shape.start)),
            nn.BatchNorm2d(first),
            nn.ReLU(),
        ]
        for width_in, width in zip(shape.widths, shape.widths[1:], strict=False):
            layers += [
                doubling(width_in, width, shape.kernel, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
        layers.append(doubling(shape.widths[-1], 3, shape.kernel))
        self.layers = nn.Sequential(*layers)

    def forward(
        self, latent: Float[Tensor, "batch latent_size"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """See `ImageGenerator`."""
        return torch.sigmoid(self.layers(latent))
