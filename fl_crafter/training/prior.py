"""Train the prior: a generator of public faces, as a variational autoencoder sharpened by a critic.

An adversarial generator alone needs millions of images to look like faces. Here its latent space is
first learnt by reconstruction (a variational autoencoder, Kingma and Welling 2014, with a
perceptual loss), then samples and reconstructions are sharpened by a critic (Larsen et al. 2016)
under the non-saturating loss with the lazy R1 penalty (Mescheder et al. 2018). What is shipped is
the exponential average of the generator. Its inversions reach real faces better than those of a
generator that never saw a reconstruction, which makes the white-box eavesdropper stronger.
"""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from fl_crafter.accelerator import convolution_layout
from fl_crafter.models.critic import Critic
from fl_crafter.models.generator import Generator
from fl_crafter.models.split import SplitModel
from fl_crafter.training import augment
from fl_crafter.training.adversary import Adversary
from fl_crafter.training.loop import Trainable, cosine_rate, run_training, update_average


@dataclass(frozen=True)
class PriorTraining:
    """Settings of `train_prior`.

    Attributes:
        steps: number of updates.
        adversarial_from: step at which the critic joins.
        batch_size: images per update.
        learning_rate: peak of the generator's cosine schedule.
        critic_rate: the critic's constant learning rate.
        kl_weight: of the Kullback-Leibler term, per latent dimension.
        perceptual_weight: of the feature distances.
        adversarial_weight: of the critic's judgement.
        r1_weight: of the R1 penalty, applied every 8th step.
        grey: share of images turned to grey.
        seed: of initialisation, order and augmentation.
    """

    steps: int = 2500
    adversarial_from: int = 1400
    batch_size: int = 48
    learning_rate: float = 1.5e-3
    critic_rate: float = 4e-4
    kl_weight: float = 0.25
    perceptual_weight: float = 0.3
    adversarial_weight: float = 0.15
    r1_weight: float = 2.0
    grey: float = 0.25
    seed: int = 0


class Inference(nn.Module):
    """The autoencoder's other half, for training only: image -> latent mean and log-variance.

    Args:
        latent_size: of the generator.
        image_size: side of the images in pixels, a multiple of 2**len(widths).
        widths: channels of the convolutions, each of stride 2.
    """

    def __init__(
        self,
        latent_size: int,
        *,
        image_size: int = 64,
        widths: tuple[int, ...] = (48, 96, 192, 256),
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width_in = 3
        for width in widths:
            layers += [
                nn.Conv2d(width_in, width, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(0.2),
            ]
            width_in = width
        places = (image_size // 2 ** len(widths)) ** 2
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(width_in * places, 2 * latent_size)
        )

    def forward(
        self, image: Float[Tensor, "batch 3 size size"]
    ) -> tuple[Float[Tensor, "batch latent_size"], Float[Tensor, "batch latent_size"]]:
        """Mean and log-variance of the posterior of each image's latent."""
        mean, log_variance = self.layers(image * 2 - 1).chunk(2, dim=1)
        return mean, log_variance.clamp(-8, 4)


def perceptual_distance(perceptual: SplitModel, image: Tensor, other: Tensor) -> Float[Tensor, ""]:
    """Mean absolute distance of two batches' features, at the cut and one stage behind it."""
    with torch.no_grad():
        target = perceptual.encoder(other)
        deep_target = perceptual.cloud[0](target)  # type: ignore[operator]
    feature = perceptual.encoder(image)
    deep = perceptual.cloud[0](feature)  # type: ignore[operator]
    return F.l1_loss(feature, target) + F.l1_loss(deep, deep_target)


def train_prior(
    generator: Generator,
    perceptual: SplitModel,
    images: Shaped[Tensor, "count 3 height width"],
    *,
    settings: PriorTraining,
    checkpoint: Path | None = None,
) -> tuple[Generator, dict[str, float]]:
    """Train a generator on public images.

    Args:
        generator: freshly initialised; is trained in place.
        perceptual: frozen network of the perceptual loss.
        images: public images, uint8 in [0, 255].
        settings: see `PriorTraining`.
        checkpoint: file to store the training state in and to resume from.

    Returns:
        The exponential average of the generator, in evaluation mode, and the last figures.
    """
    random = torch.Generator().manual_seed(settings.seed)
    device, side = next(generator.parameters()).device, images.shape[-1]
    layout = convolution_layout(device)
    inference = Inference(generator.latent_size, image_size=side).to(device)
    critic = Critic((48, 96, 192, 256), image_size=side, kernel=4, norm=False).to(device)
    average = copy.deepcopy(generator)
    autoencoder = nn.ModuleDict({"generator": generator, "inference": inference})
    optimizer = torch.optim.Adam(autoencoder.parameters(), betas=(0.5, 0.99))
    adversary = Adversary(critic, rate=settings.critic_rate, r1_weight=settings.r1_weight)
    for module in (autoencoder, critic, perceptual.encoder, perceptual.cloud):
        module.to(memory_format=layout)  # type: ignore[call-overload]

    def batch() -> Tensor:
        chosen = torch.randint(0, len(images), (settings.batch_size,), generator=random)
        image = augment.random_flip(images[chosen].float() / 255, random=random)
        image = augment.random_zoom(image, amount=0.1, random=random)
        image = augment.random_grey(image, share=settings.grey, random=random)
        return image.to(device, memory_format=layout)

    def step(index: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(index, settings.steps, peak=settings.learning_rate)
        image = batch()
        mean, log_variance = inference(image)
        noise = torch.randn(mean.shape, generator=random).to(device)
        posterior = mean + noise * (0.5 * log_variance).exp()
        adversarial = index >= settings.adversarial_from
        drawn = torch.randn(mean.shape, generator=random).to(device)
        latent = torch.cat([posterior, drawn]) if adversarial else posterior
        output = generator(latent)
        rebuilt = output[: len(image)]
        pixel = F.l1_loss(rebuilt, image)
        perception = perceptual_distance(perceptual, rebuilt, image)
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).mean()
        loss = pixel + settings.perceptual_weight * perception + settings.kl_weight * divergence
        figures = {"pixel": pixel.item(), "feature": perception.item(), "kl": divergence.item()}
        if adversarial:
            figures["gap"] = adversary.learn(image, output[len(image) :], index=index)
            judgement = adversary.judgement(output)
            loss = loss + settings.adversarial_weight * judgement
            figures["judged"] = judgement.item()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        update_average(average, generator, decay=min(0.998, (index + 1) / (index + 10)))
        return figures

    trainable = Trainable(
        {"autoencoder": autoencoder, "critic": critic, "average": average},
        {"autoencoder": optimizer, "critic": adversary.optimizer},
        random,
    )
    figures = run_training(
        step,
        trainable,
        steps=settings.steps,
        title="prior",
        settings=settings,
        data=(images,),
        checkpoint=checkpoint,
    )
    average.eval()
    match_prior(average, inference.eval(), images)
    return average, figures


@torch.no_grad()
def match_prior(
    generator: Generator,
    inference: Inference,
    images: Shaped[Tensor, "count 3 height width"],
) -> None:
    """Change the latent coordinates so that N(0, I) is where the public faces really are.

    The posteriors of all public faces together have a mean and a covariance that are not exactly 0
    and I; between them lie latents that no face ever used. The affine map from N(0, I) to that
    Gaussian is folded into the generator's first layer, in place.
    """
    linear = generator.layers[0]
    assert isinstance(linear, nn.Linear) and linear.bias is not None
    means, variances = [], []
    for part in images.split(256):
        mean, log_variance = inference(part.to(linear.weight) / 255)
        means.append(mean)
        variances.append(log_variance.exp())
    mean = torch.cat(means)
    covariance = torch.cov(mean.T) + torch.diag(torch.cat(variances).mean(0))
    shift = linear.weight @ mean.mean(0)
    linear.weight.copy_(linear.weight @ torch.linalg.cholesky(covariance))
    linear.bias.add_(shift)
