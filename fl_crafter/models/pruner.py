"""The channel pruner of Disco: it reads a feature and says which of its channels may stay."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.models.resnet import resnet_tail

SLOPE = 30.0


class ChannelPruner(nn.Module):
    """Scores each channel of a feature, sample by sample, with the tail of a ResNet.

    Args:
        widths: channels of the feature, and of the three stages that read it.
        strides: of the stages.
    """

    def __init__(
        self, widths: tuple[int, int, int, int], strides: tuple[int, int, int] = (2, 2, 2)
    ) -> None:
        super().__init__()
        self.tail = resnet_tail(widths, strides, outputs=widths[0])

    def forward(
        self, feature: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch channels"]:
        """One unbounded score per channel."""
        return self.tail(feature)


def rank_of(ratio: float, channels: int) -> int:
    """How many channels are below the threshold.

    Raises:
        ValueError: a ratio that leaves no channel, or is negative.
    """
    rank = int(ratio * channels + 1e-9)  # .29 * 100 is a little less than 29
    if not 0 <= rank < channels:
        raise ValueError(f"ratio must leave one of {channels} channels, not be {ratio}")
    return rank


def channel_mask(
    score: Float[Tensor, "batch channels"], *, ratio: float
) -> Float[Tensor, "batch channels"]:
    """What each channel is multiplied by, in (0, 1): sigmoid(30 (score - threshold)).

    The threshold is the sample's own score of rank `floor(ratio * channels)` from below, so that
    channel itself is halved (Singh et al. 2021, section 4).
    """
    rank = rank_of(ratio, score.shape[1])
    threshold = score.sort(dim=1).values[:, rank : rank + 1]
    return torch.sigmoid(SLOPE * (score - threshold))


def random_mask(
    count: int, channels: int, *, ratio: float, random: torch.Generator
) -> Float[Tensor, "count channels"]:
    """Zeros and ones that keep as many channels as the threshold would, drawn for each sample."""
    rank = rank_of(ratio, channels)
    order = torch.rand(count, channels, generator=random).argsort(dim=1)
    return (order >= rank).float()
