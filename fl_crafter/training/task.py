"""What every trainer of a task shares: the loss on attributes, and the order of photographs."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from fl_crafter.errors import InputError
from fl_crafter.training import augment


def attribute_loss(
    logits: Float[Tensor, "batch attributes"], target: Float[Tensor, "batch attributes"]
) -> Float[Tensor, ""]:
    """Binary cross entropy, in nats, averaged over the known attributes (nan is unknown)."""
    known = ~target.isnan()
    loss = F.binary_cross_entropy_with_logits(logits, target.nan_to_num(0.0), reduction="none")
    return (loss * known).sum() / known.sum().clamp_min(1)


def draw_images(
    images: Shaped[Tensor, "count 3 height width"], size: int, *, random: torch.Generator
) -> tuple[Float[Tensor, "batch 3 height width"], Int64[Tensor, " batch"]]:
    """Images in [0, 1], mirrored and zoomed at random, and which of the uint8 images they are."""
    chosen = torch.randint(0, len(images), (size,), generator=random)
    image = augment.random_flip(images[chosen].float() / 255, random=random)
    return augment.random_zoom(image, amount=0.1, random=random), chosen


def check_share(privacy_weight: float) -> None:
    """Refuse a weight outside [0, 1].

    Raises:
        InputError: it is.
    """
    if not 0 <= privacy_weight <= 1:
        raise InputError(f"privacy_weight is {privacy_weight:g}; give a share from 0 to 1.")


def only(*trained: nn.Module, among: nn.Module) -> None:
    """Let gradients reach the weights of these parts and of no others."""
    among.requires_grad_(False)
    for part in trained:
        part.requires_grad_(True)
