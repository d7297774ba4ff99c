"""The amortiser: feature -> latent, a start for the inversion that saves most of its steps."""

from jaxtyping import Float
from torch import Tensor, nn

SHIPPED_WIDTHS = (96, 192, 256, 256)


class Amortiser(nn.Module):
    """Three 4x4 convolutions of stride 2, one over what is left, and a 1x1 to the latent.

    Args:
        latent_size: of the generator that it predicts for.
        feature_shape: (channels, rows, columns) of the feature; rows and columns divisible by 8.
        widths: channels of the four hidden convolutions.
    """

    def __init__(
        self,
        latent_size: int,
        *,
        feature_shape: tuple[int, int, int] = (64, 16, 16),
        widths: tuple[int, int, int, int] = SHIPPED_WIDTHS,
    ) -> None:
        super().__init__()
        width_in, rows, columns = feature_shape
        layers: list[nn.Module] = []
        for width in widths[:3]:
            layers += [
                nn.Conv2d(width_in, width, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(0.2),
            ]
            width_in = width
        layers += [
            nn.Conv2d(width_in, widths[3], (rows // 8, columns // 8), bias=False),
            nn.BatchNorm2d(widths[3]),
            nn.LeakyReLU(0.2),
            nn.Conv2d(widths[3], latent_size, 1),
            nn.Flatten(),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(
        self, feature: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch latent_size"]:
        """A first guess of the latent whose image has this feature."""
        return self.layers(feature)
