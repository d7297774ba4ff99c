"""The critic that estimates mutual information in TIPRDC, and the bound that it maximises."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from fl_crafter.models.resnet import resnet_tail


class InformationCritic(nn.Module):
    """Scores how well an image, a feature and a person go together.

    The image goes through a stem of its own to the feature's shape; a shared trunk reads both; what
    comes out, with the one-hot person, goes through two hidden layers to one score.

    Args:
        people: number of people.
        widths: channels of the feature, and of the trunk's three stages.
        strides: of the stages.
        reduction: of the feature's side against the image's, a power of 2.
        hidden: widths of the hidden layers.
    """

    def __init__(
        self,
        people: int,
        *,
        widths: tuple[int, int, int, int],
        strides: tuple[int, int, int] = (2, 2, 2),
        reduction: int = 4,
        hidden: tuple[int, int] = (4096, 512),
    ) -> None:
        super().__init__()
        self.people = people
        stem: list[nn.Module] = []
        width = 3
        for _ in range(reduction.bit_length() - 1):
            stem += [
                nn.Conv2d(width, widths[0], 3, 2, 1, bias=False),
                nn.BatchNorm2d(widths[0]),
                nn.ReLU(),
            ]
            width = widths[0]
        self.stem = nn.Sequential(*stem)
        self.trunk = resnet_tail(widths, strides)
        self.layers = nn.Sequential(
            nn.Linear(2 * widths[3] + people, hidden[0]),
            nn.ReLU(),
            nn.Linear(hidden[0], hidden[1]),
            nn.ReLU(),
            nn.Linear(hidden[1], 1),
        )

    def read_image(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch taken"]:
        """What the critic takes from images in [0, 1]."""
        return self.trunk(self.stem(image * 2 - 1))

    def read_feature(
        self, feature: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch taken"]:
        """What it takes from features."""
        return self.trunk(feature)

    def forward(
        self,
        image: Float[Tensor, "batch taken"],
        feature: Float[Tensor, "batch taken"],
        person: Int64[Tensor, " batch"],
    ) -> Float[Tensor, " batch"]:
        """One unbounded score per row.

        Args:
            image: what `read_image` gave.
            feature: what `read_feature` gave.
            person: 0 to people - 1.
        """
        known = F.one_hot(person, self.people).to(feature)
        return self.layers(torch.cat([image, feature, known], 1))[:, 0]


def information_bound(
    joint: Float[Tensor, " batch"], shuffled: Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Jensen-Shannon lower bound on mutual information (Nowozin et al. 2016), in nats.

    Args:
        joint: scores of rows that belong together.
        shuffled: scores of rows whose image was taken from another row.
    """
    return -F.softplus(-joint).mean() - F.softplus(shuffled).mean()
