"""Critics: image -> score, used to tell one distribution of images from another."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Critic(nn.Module):
    """The paper's critic: 5x5 convolutions of stride 2, instance norm from the second on.

    Args:
        widths: channels of the stride-2 convolutions; published (64, 128, 256, 512).
        image_size: side of the images in pixels.
        channels: of the images; of pairs, those of both together.
        kernel: side of the kernels.
        norm: instance normalisation from the second convolution on.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        *,
        image_size: int = 64,
        channels: int = 3,
        kernel: int = 5,
        norm: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width_in, side = channels, image_size
        padding = (kernel - 1) // 2
        for index, width in enumerate(widths):
            layers.append(nn.Conv2d(width_in, width, kernel, 2, padding))
            side = (side + 2 * padding - kernel) // 2 + 1
            if norm and index:
                layers.append(nn.InstanceNorm2d(width, affine=True))
            layers.append(nn.LeakyReLU(0.2))
            width_in = width
        layers.append(nn.Conv2d(width_in, 1, side))
        self.layers = nn.Sequential(*layers)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, " batch"]:
        """One unbounded score per image."""
        return self.layers(image).flatten()


def gradient_penalty(
    critic: nn.Module,
    first: Float[Tensor, "batch channels height width"],
    second: Float[Tensor, "batch channels height width"],
    *,
    random: torch.Generator,
) -> Float[Tensor, ""]:
    """Mean squared distance of the critic's gradient norm from 1, between two sets of images.

    WGAN-GP (Gulrajani et al. 2017, eq. 3), at random points on the lines from `first` to `second`.
    """
    share = torch.rand(len(first), 1, 1, 1, generator=random).to(first)
    between = (share * first + (1 - share) * second).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
