"""A network cut in two: the encoder stays with the user, the cloud model with the server."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.errors import InputError


class Encoder(nn.Module):
    """The user's part: maps images to features.

    Input normalisation is inside, so that victim, defence and attacker cannot disagree about it.

    Args:
        body: maps normalised images `[batch, 3, height, width]` to features.
        mean: per-channel mean of images in [0, 1].
        std: per-channel standard deviation of images in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        *,
        mean: tuple[float, float, float] = (0.5, 0.5, 0.5),
        std: tuple[float, float, float] = (0.25, 0.25, 0.25),
    ) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch *shape"]:
        """Features of images in [0, 1], `[batch, channels, rows, columns]` from most cuts."""
        return self.body((image - self.mean) / self.std)


@dataclass(frozen=True)
class SplitModel:
    """An encoder and the cloud model that continues it.

    Attributes:
        encoder: images in [0, 1] -> features; an `Encoder`, or any module of one's own.
        cloud: features -> one logit per attribute, `[batch, attributes]`.
    """

    encoder: nn.Module
    cloud: nn.Module

    def to(self, device: torch.device | str) -> "SplitModel":
        """Both parts on a device; modules are moved, not copied."""
        return SplitModel(self.encoder.to(device), self.cloud.to(device))

    def logits(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch attributes"]:
        """Attribute logits of images in [0, 1], through both parts."""
        return self.cloud(self.encoder(image))

    def train(self, mode: bool = True) -> "SplitModel":
        """Set both parts to training or, with `mode=False`, to evaluation mode."""
        self.encoder.train(mode)
        self.cloud.train(mode)
        return self

    def parameters(self) -> list[nn.Parameter]:
        """Parameters of both parts."""
        return [*self.encoder.parameters(), *self.cloud.parameters()]


def freeze(module: nn.Module) -> nn.Module:
    """Put a module in evaluation mode and stop gradients to its weights; returns the module."""
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def feature_shape(encoder: nn.Module, image_size: int) -> tuple[int, int, int]:
    """Shape (channels, rows, columns) of the feature of one `image_size` x `image_size` image.

    Raises:
        InputError: the encoder takes no such image, or the feature is no such map, as behind a
            transformer's block or the pooling.
    """
    reference = next(encoder.parameters(), torch.empty(0))
    image = torch.zeros(1, 3, image_size, image_size, device=reference.device)
    was_training = encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            shape = encoder(image).shape
    except RuntimeError as error:
        raise InputError(f"The encoder takes no image {list(image.shape)}: {error}") from error
    finally:
        encoder.train(was_training)
    if len(shape) != 4:
        raise InputError(
            f"The encoder's feature has shape {list(shape[1:])}; cut the network where it is a map "
            "of channels, rows and columns."
        )
    return (int(shape[1]), int(shape[2]), int(shape[3]))
