"""Train decoders and amortisers: networks that read features of public faces."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from fl_crafter.models.critic import Critic
from fl_crafter.models.generator import Generator
from fl_crafter.randomness import seeded
from fl_crafter.training import augment
from fl_crafter.training.adversary import Adversary
from fl_crafter.training.loop import Trainable, cosine_rate, run_training, update_average

R1_WEIGHT = 2.0


@dataclass(frozen=True)
class DecoderTraining:
    """Settings of `train_decoder`.

    Attributes:
        steps: number of updates.
        batch_size: images per update.
        learning_rate: peak of the cosine schedule.
        perceptual_weight: of the distance between the features of image and reconstruction, in
            units of the features' mean size: encoders differ a hundredfold in it.
        adversarial_weight: of the judgement of a critic that learns beside the decoder; 0 for none.
        critic_rate: the critic's constant learning rate.
        grey: share of images turned to grey.
        seed: of order and augmentation.
    """

    steps: int = 1500
    batch_size: int = 32
    learning_rate: float = 1e-3
    perceptual_weight: float = 0.13
    adversarial_weight: float = 0.0
    critic_rate: float = 4e-4
    grey: float = 0.25
    seed: int = 0


def train_decoder(
    decoder: nn.Module,
    encoder: nn.Module,
    images: Shaped[Tensor, "count 3 height width"],
    *,
    settings: DecoderTraining,
    feature: Float[Tensor, "count channels rows columns"] | None = None,
    checkpoint: Path | None = None,
    title: str = "decoder",
) -> tuple[nn.Module, dict[str, float]]:
    """Train a decoder on public images and the features an eavesdropper can make of them.

    Args:
        decoder: is trained in place.
        encoder: the victim's, frozen; its preprocessing is the eavesdropper's too.
        images: public images, uint8 in [0, 255].
        settings: see `DecoderTraining`.
        feature: what a defence released for each image; by default the decoder learns from clean
            features, of images that are augmented.
        checkpoint: file to store the training state in and to resume from.
        title: shown beside the progress bar.

    Returns:
        The exponential average of the decoder, in evaluation mode, and the last figures.
    """
    random = torch.Generator().manual_seed(settings.seed)
    average = copy.deepcopy(decoder)
    optimizer = torch.optim.Adam(decoder.parameters(), betas=(0.9, 0.99))
    device = next(decoder.parameters()).device
    adversary = _adversary(settings, images.shape[-1], device)

    def step(index: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(index, settings.steps, peak=settings.learning_rate)
        chosen = torch.randint(0, len(images), (settings.batch_size,), generator=random)
        image = images[chosen].float() / 255
        if feature is None:
            image = augment.random_flip(image, random=random)
            image = augment.random_zoom(image, amount=0.1, random=random)
            image = augment.random_grey(image, share=settings.grey, random=random)
        image = image.to(device)
        with torch.no_grad():
            clean = encoder(image)
        rebuilt = decoder(clean if feature is None else feature[chosen.to(feature.device)])
        pixel = F.l1_loss(rebuilt, image) + F.mse_loss(rebuilt, image)
        size = clean.abs().mean().clamp_min(1e-12)
        perception = F.l1_loss(encoder(rebuilt), clean) / size
        loss = pixel + settings.perceptual_weight * perception
        figures = {"pixel": pixel.item(), "feature": perception.item()}
        if adversary is not None:
            figures["gap"] = adversary.learn(image, rebuilt, index=index)
            loss = loss + settings.adversarial_weight * adversary.judgement(rebuilt)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        update_average(average, decoder, decay=min(0.998, (index + 1) / (index + 10)))
        return figures

    modules: dict[str, nn.Module] = {"decoder": decoder, "average": average}
    optimizers: dict[str, torch.optim.Optimizer] = {"adam": optimizer}
    if adversary is not None:
        modules["critic"], optimizers["critic"] = adversary.critic, adversary.optimizer
    trainable = Trainable(modules, optimizers, random)
    figures = run_training(
        step,
        trainable,
        steps=settings.steps,
        title=title,
        settings=settings,
        data=(images, *encoder.parameters()),
        checkpoint=checkpoint,
    )
    return average.eval(), figures


def _adversary(settings: DecoderTraining, side: int, device: torch.device) -> Adversary | None:
    """A fresh critic of the seed, where it has a say."""
    if not settings.adversarial_weight:
        return None
    with seeded(settings.seed):
        critic = Critic((48, 96, 192, 256), image_size=side, kernel=4, norm=False)
    return Adversary(critic.to(device), rate=settings.critic_rate, r1_weight=R1_WEIGHT)


@dataclass(frozen=True)
class AmortiserTraining:
    """Settings of `train_amortiser`.

    Attributes:
        steps: number of updates.
        batch_size: samples per update, half of them drawn from the generator, half public images.
        learning_rate: peak of the cosine schedule.
        grey: share of public images turned to grey.
        seed: of the samples and their order.
    """

    steps: int = 1200
    batch_size: int = 48
    learning_rate: float = 1e-3
    grey: float = 0.25
    seed: int = 0


def train_amortiser(
    amortiser: nn.Module,
    generator: Generator,
    encoder: nn.Module,
    images: Shaped[Tensor, "count 3 height width"],
    *,
    settings: AmortiserTraining,
    checkpoint: Path | None = None,
) -> tuple[nn.Module, dict[str, float]]:
    """Train an amortiser: on drawn faces to give the latent back, on real ones the feature.

    Args:
        amortiser: is trained in place.
        generator: frozen.
        encoder: frozen.
        images: public images, uint8 in [0, 255].
        settings: see `AmortiserTraining`.
        checkpoint: file to store the training state in and to resume from.

    Returns:
        The exponential average of the amortiser, in evaluation mode, and the last figures.
    """
    random = torch.Generator().manual_seed(settings.seed)
    average = copy.deepcopy(amortiser)
    optimizer = torch.optim.Adam(amortiser.parameters(), betas=(0.9, 0.99))
    device = next(amortiser.parameters()).device
    half = settings.batch_size // 2

    def step(index: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(index, settings.steps, peak=settings.learning_rate)
        drawn = torch.randn(half, generator.latent_size, generator=random).to(device)
        chosen = torch.randint(0, len(images), (half,), generator=random)
        real = augment.random_grey(images[chosen].float() / 255, share=settings.grey, random=random)
        with torch.no_grad():
            feature = encoder(torch.cat([generator(drawn), real.to(device)]))
        latent = amortiser(feature)
        recovery = F.mse_loss(latent[:half], drawn)
        distance = F.mse_loss(encoder(generator(latent[half:])), feature[half:])
        spread = latent[half:].square().mean()
        loss = recovery + distance + 0.01 * spread
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        update_average(average, amortiser, decay=min(0.998, (index + 1) / (index + 10)))
        return {"latent": recovery.item(), "feature": distance.item()}

    trainable = Trainable({"amortiser": amortiser, "average": average}, {"adam": optimizer}, random)
    figures = run_training(
        step,
        trainable,
        steps=settings.steps,
        title="amortiser",
        settings=settings,
        data=(images, *encoder.parameters()),
        checkpoint=checkpoint,
    )
    return average.eval(), figures
