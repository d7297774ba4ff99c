"""Decoders: feature -> image, what a black-box eavesdropper trains on public faces."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.models.generator import doubling


class ConvolutionalDecoder(nn.Module):
    """A decoder that keeps the feature's spatial layout: the strong one.

    Args:
        channels: channels of the feature.
        widths: channels of the residual trunk and after each doubling.
        blocks: residual blocks at the feature's resolution.
        shuffle: double the side by pixel shuffling instead of by transposed convolutions, for a
            decoder that shares no layer shape with another one.
    """

    def __init__(
        self,
        channels: int = 64,
        *,
        widths: tuple[int, ...] = (128, 64, 32),
        blocks: int = 1,
        shuffle: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, 1, 1), nn.ReLU()]
        layers += [ResidualBlock(widths[0]) for _ in range(blocks)]
        for width_in, width in zip(widths, widths[1:], strict=False):
            if shuffle:
                layers += [nn.Conv2d(width_in, 4 * width, 3, 1, 1), nn.PixelShuffle(2)]
            else:
                layers.append(doubling(width_in, width, 4))
            layers.append(nn.ReLU())
        layers.append(nn.Conv2d(widths[-1], 3, 3, 1, 1))
        self.layers = nn.Sequential(*layers)

    def forward(
        self, feature: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Images in [0, 1]."""
        return torch.sigmoid(self.layers(feature))


class Rescaled(nn.Module):
    """A decoder before which each channel is brought to the spread that the decoder is used to.

    Encoders that were trained against a decoder let their features grow a hundredfold. A network
    that meets these unscaled learns nothing, which looks like privacy and is none.

    Args:
        decoder: features -> images, or whatever else is learnt from features.
        feature: what it is to meet.
        like: what it is used to; a mean of 0 and a deviation of 1 by default.
    """

    shift: Tensor
    factor: Tensor

    def __init__(
        self,
        decoder: nn.Module,
        feature: Float[Tensor, "count channels rows columns"],
        like: Float[Tensor, "count channels rows columns"] | None = None,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        mean, deviation = _moments(feature)
        mean_wanted, wanted = (
            (torch.zeros_like(mean), torch.ones_like(deviation)) if like is None else _moments(like)
        )
        # a channel that is always the same stays so, whatever its rounding errors
        size = torch.maximum(deviation, mean.abs()).max().clamp_min(1e-12)
        factor = wanted / deviation.clamp_min(1e-6 * size)
        self.register_buffer("factor", factor)
        self.register_buffer("shift", mean_wanted - factor * mean)

    def forward(
        self, feature: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, " batch *output"]:
        """What the decoder makes of them."""
        return self.decoder(feature * self.factor + self.shift)


def _moments(feature: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, `[channels, 1, 1]`."""
    deviation, mean = torch.std_mean(feature, dim=(0, 2, 3))
    return mean[:, None, None], deviation[:, None, None]


class ResidualBlock(nn.Module):
    """Two convolutions beside the identity.

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1)
        )

    def forward(self, value: Tensor) -> Tensor:
        """Same shape as `value`."""
        return torch.relu(value + self.layers(value))


class DenseDecoder(nn.Module):
    """The published decoder: the whole feature through one linear layer, then four up-blocks.

    Args:
        feature_shape: (channels, rows, columns) of the feature.
        widths: channels at the start and after each of the doublings but the last; the image's
            side is `start * 2**len(widths)`, so a 128x128 image takes five from 4x4.
        start: side of what the linear layer gives.
    """

    def __init__(
        self,
        feature_shape: tuple[int, int, int],
        *,
        widths: tuple[int, ...] = (512, 256, 128, 64),
        start: int = 4,
    ) -> None:
        super().__init__()
        channels, rows, columns = feature_shape
        layers: list[nn.Module] = [
            nn.Flatten(),
            nn.Linear(channels * rows * columns, widths[0] * start**2),
            nn.Unflatten(1, (widths[0], start, start)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        for width_in, width in zip(widths, widths[1:], strict=False):
            layers += [
                doubling(width_in, width, 5),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
        layers.append(doubling(widths[-1], 3, 5))
        self.layers = nn.Sequential(*layers)

    def forward(
        self, feature: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Images in [0, 1]."""
        return torch.sigmoid(self.layers(feature))
