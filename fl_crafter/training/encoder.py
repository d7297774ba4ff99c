"""Train an encoder and its cloud model on public faces and their attributes, undefended."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from fl_crafter.accelerator import convolution_layout
from fl_crafter.models.split import SplitModel
from fl_crafter.training import augment
from fl_crafter.training.loop import Trainable, cosine_rate, run_training, update_average


@dataclass(frozen=True)
class EncoderTraining:
    """Settings of `train_encoder`.

    Attributes:
        steps: number of updates.
        batch_size: images per update.
        learning_rate: peak of the cosine schedule.
        weight_decay: AdamW's, on weights with more than one dimension.
        mixup: parameter of the Beta distribution that mixes pairs of images; 0 mixes nothing.
        grey: share of images turned to grey.
        seed: of initialisation, order and augmentation.
    """

    steps: int = 1700
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    mixup: float = 0.4
    grey: float = 0.2
    seed: int = 0


def augmented(image: Tensor, *, grey: float, random: torch.Generator) -> Tensor:
    """The augmentation of encoder training: geometry, light, grey, erased squares."""
    image = augment.random_flip(image, random=random)
    image = augment.random_affine(image, scale=0.12, degrees=8.0, shift=0.12, random=random)
    image = augment.random_light(image, amount=0.25, random=random)
    image = augment.random_grey(image, share=grey, random=random)
    return augment.random_erase(image, side=image.shape[-1] // 3, random=random)


def train_encoder(
    model: SplitModel,
    images: Shaped[Tensor, "count 3 height width"],
    attributes: Float[Tensor, "count attributes"],
    *,
    settings: EncoderTraining,
    checkpoint: Path | None = None,
) -> tuple[SplitModel, dict[str, float]]:
    """Train both parts together on attribute logits.

    Args:
        model: freshly initialised; is trained in place.
        images: public images, uint8 in [0, 255] to save memory.
        attributes: 0 or 1.
        settings: see `EncoderTraining`.
        checkpoint: file to store the training state in and to resume from.

    Returns:
        The exponential average of the trained model, in evaluation mode, and the last figures.
    """
    random = torch.Generator().manual_seed(settings.seed)
    network = nn.ModuleDict({"encoder": model.encoder, "cloud": model.cloud})
    average = copy.deepcopy(network)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
    )
    network.train()
    device = next(network.parameters()).device
    layout = convolution_layout(device)
    network.to(memory_format=layout)  # type: ignore[call-overload]

    def step(index: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(index, settings.steps, peak=settings.learning_rate)
        chosen = torch.randint(0, len(images), (settings.batch_size,), generator=random)
        image = augmented(images[chosen].float() / 255, grey=settings.grey, random=random)
        target = attributes[chosen].to(device)
        if settings.mixup:
            # Beta(a, a) as a ratio of two gamma draws, from our own generator
            alpha = torch.full((2,), settings.mixup)
            gamma = torch._standard_gamma(alpha, generator=random)  # type: ignore[attr-defined]
            share = float(gamma[0] / gamma.sum())
            order = torch.randperm(len(image), generator=random)
            image = share * image + (1 - share) * image[order]
            target = share * target + (1 - share) * target[order]
        image = image.to(device, memory_format=layout)
        logits = model.logits(image)
        loss = F.binary_cross_entropy_with_logits(logits, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        update_average(average, network, decay=min(0.998, (index + 1) / (index + 10)))
        return {"loss": loss.item()}

    trainable = Trainable({"network": network, "average": average}, {"adamw": optimizer}, random)
    figures = run_training(
        step,
        trainable,
        steps=settings.steps,
        title="encoder",
        settings=settings,
        data=(images, attributes),
        checkpoint=checkpoint,
    )
    average.eval()
    return SplitModel(average["encoder"], average["cloud"]), figures  # type: ignore[arg-type]
