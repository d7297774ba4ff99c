"""Disco: prunes the channels by which a face could be rebuilt (Singh et al., CVPR 2021)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from fl_crafter.models.pruner import ChannelPruner, channel_mask, random_mask
from fl_crafter.models.split import SplitModel, freeze
from fl_crafter.training.loop import Trainable, run_training
from fl_crafter.training.task import attribute_loss, check_share, draw_images


@dataclass(frozen=True)
class DiscoTraining:
    """Settings of `train_disco`.

    Attributes:
        privacy_weight: the paper's alpha, of the decoder's error in the pruner's gradient, in
            [0, 1]; published at 0.2, 0.6 and 0.8. Random pruning has no use for it.
        ratio: share of the channels below the threshold.
        steps: number of updates.
        batch_size: images per update.
        learning_rate: Adam's, of every part.
        seed: of order, augmentation and random channels.
    """

    privacy_weight: float = 0.6
    ratio: float = 0.99
    steps: int = 400
    batch_size: int = 64
    learning_rate: float = 3e-4
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a weight that is no share."""
        check_share(self.privacy_weight)


def pruning_mask(
    feature: Float[Tensor, "batch channels rows columns"],
    pruner: ChannelPruner | None,
    *,
    ratio: float,
    random: torch.Generator,
) -> Float[Tensor, "batch channels 1 1"]:
    """The mask that each channel is multiplied by, in [0, 1].

    Args:
        feature: of the encoder.
        pruner: chooses the channels; without one they are drawn.
        ratio: share of the channels below the threshold.
        random: draws them.
    """
    if pruner is None:
        mask = random_mask(*feature.shape[:2], ratio=ratio, random=random).to(feature)
    else:
        mask = channel_mask(pruner(feature), ratio=ratio)
    return mask[:, :, None, None]


def set_gradients(
    model: SplitModel,
    pruner: ChannelPruner | None,
    decoder: nn.Module,
    image: Float[Tensor, "batch 3 height width"],
    target: Float[Tensor, "batch attributes"],
    *,
    privacy_weight: float,
    ratio: float,
    random: torch.Generator,
) -> dict[str, float]:
    """Add to every part's gradient its own, all at the same pruned feature.

    The cloud model's and the encoder's is the task's, the decoder's is the reconstruction's, and
    the pruner's is (1 - privacy_weight) times the task's less privacy_weight times the
    reconstruction's: it hides from this very decoder.
    """
    feature = model.encoder(image)
    mask = pruning_mask(feature.detach(), pruner, ratio=ratio, random=random)
    for_task = (feature * mask).detach().requires_grad_(True)
    for_decoder = for_task.detach().requires_grad_(True)
    task = attribute_loss(model.cloud(for_task), target)
    seen = (decoder(for_decoder) - image).square().mean()
    (task + seen).backward()
    assert for_task.grad is not None and for_decoder.grad is not None
    (feature * mask.detach()).backward(for_task.grad)
    if pruner is not None:
        gradient = (1 - privacy_weight) * for_task.grad - privacy_weight * for_decoder.grad
        (feature.detach() * mask).backward(gradient)
    return {"task": task.item(), "decoder": seen.item()}


def train_disco(
    model: SplitModel,
    pruner: ChannelPruner | None,
    decoder: nn.Module,
    images: Shaped[Tensor, "count 3 height width"],
    attributes: Float[Tensor, "count attributes"],
    *,
    settings: DiscoTraining,
    checkpoint: Path | None = None,
) -> dict[str, float]:
    """Train encoder, pruner, cloud model and proxy decoder together; all in place.

    Encoder and cloud model stay in evaluation mode, as in `train_advlearn`.

    Args:
        model: trained beforehand on the attributes.
        pruner: fresh; None is the paper's random pruning.
        decoder: the proxy of the eavesdropper, pruned features -> images in [0, 1].
        images: photographs, uint8 in [0, 255].
        attributes: of these, 0, 1 or nan.
        settings: see `DiscoTraining`.
        checkpoint: file to store the training state in and to resume from.

    Returns:
        The last figures.
    """
    random = torch.Generator().manual_seed(settings.seed)
    parts = {"encoder": model.encoder, "cloud": model.cloud, "decoder": decoder}
    if pruner is not None:
        parts["pruner"] = pruner
    whole = nn.ModuleDict(parts)
    whole.requires_grad_(True).eval()
    if pruner is not None:
        pruner.train()
    device = next(decoder.parameters()).device
    adam = torch.optim.Adam(whole.parameters(), lr=settings.learning_rate)

    def step(index: int) -> dict[str, float]:
        image, chosen = draw_images(images, settings.batch_size, random=random)
        adam.zero_grad(set_to_none=True)
        figures = set_gradients(
            model,
            pruner,
            decoder,
            image.to(device),
            attributes[chosen].to(device),
            privacy_weight=settings.privacy_weight,
            ratio=settings.ratio,
            random=random,
        )
        adam.step()
        return figures

    figures = run_training(
        step,
        Trainable({"whole": whole}, {"adam": adam}, random),
        steps=settings.steps,
        title="disco",
        settings=settings,
        data=(images, attributes),
        checkpoint=checkpoint,
    )
    freeze(whole)
    return figures
