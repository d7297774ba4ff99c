"""White-box inversion over pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.inversion.fold import fold_batch_norm
from fl_crafter.training.loop import cosine_rate


@dataclass(frozen=True)
class Descent:
    """Where a descent over pixels ended.

    Attributes:
        image: of each row, the one with the nearest feature among all that were met.
        distance: of its feature, see `relative_distance`.
        curve: mean objective at each step, the start first.
        still: rows whose first gradient was zero or not finite.
    """

    image: Float[Tensor, "batch 3 height width"]
    distance: Float[Tensor, "batch"]
    curve: list[float]
    still: Bool[Tensor, "batch"]


def total_variation(image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch"]:
    """Mean absolute difference of neighbouring pixels, across and down, of each image."""
    across = (image[..., 1:] - image[..., :-1]).abs().mean((1, 2, 3))
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().mean((1, 2, 3))
    return across + down


def relative_distance(
    output: Float[Tensor, "batch *shape"], feature: Float[Tensor, "batch *shape"]
) -> Float[Tensor, "batch"]:
    """Squared distance of each sample's feature, in units of the feature's own mean square."""
    size = feature.flatten(1).square().mean(1).clamp_min(torch.finfo(feature.dtype).tiny)
    return (output - feature).flatten(1).square().mean(1) / size


def descend_pixels(
    encode: Callable[[Tensor], Tensor],
    feature: Float[Tensor, "batch channels rows columns"],
    *,
    start: Float[Tensor, "batch 3 height width"],
    steps: int,
    rate: float,
    variation_weight: float,
) -> Descent:
    """Adam over pixels, kept in [0, 1], on the relative feature distance and total variation.

    Args:
        encode: images -> features.
        feature: what the images' features are to be.
        start: images to start from.
        steps: of Adam; the step length rises and then falls along a cosine.
        rate: longest step, in units of the pixels' range.
        variation_weight: of the total variation.
    """
    image = start.detach().clone().requires_grad_(True)
    adam = torch.optim.Adam([image], betas=(0.9, 0.99))
    best, nearest = image.detach().clone(), torch.full((len(image),), torch.inf).to(image)
    still = torch.zeros(len(image), dtype=torch.bool, device=image.device)
    curve = []
    for index in range(steps + 1):
        with torch.enable_grad():
            distance, variation = relative_distance(encode(image), feature), total_variation(image)
        reached = distance.detach()
        best = torch.where((reached < nearest)[:, None, None, None], image.detach(), best)
        nearest = torch.minimum(reached, nearest)
        curve.append(float((reached + variation_weight * variation.detach()).mean()))
        if index == steps:
            break
        slope = _slope(distance, image)
        if index == 0:
            size = slope.flatten(1).norm(dim=1)
            still = ~(size.isfinite() & (size > 0))
        image.grad = slope + variation_weight * _slope(variation, image)
        for group in adam.param_groups:
            group["lr"] = cosine_rate(index, steps, peak=rate)
        adam.step()
        with torch.no_grad():
            image.clamp_(0, 1)
    return Descent(best, nearest, curve, still)


def _slope(value: Tensor, image: Tensor) -> Tensor:
    """Gradient of each sample's value; zero where it does not depend on the image."""
    if not value.requires_grad:
        return torch.zeros_like(image)
    return torch.autograd.grad(value.sum(), image)[0]


@dataclass(frozen=True)
class WhiteBoxPixels(Attack):
    """Minimises the feature distance over pixels; total variation stands for the prior.

    No generator bounds what it can draw, so of features that keep the image's detail it draws more
    than a search over latents. It starts from the decoder's picture, as it is and with `restarts`
    from the mean public face and noise; the nearest feature decides, never the truth.

    Attributes:
        steps: of Adam from every start.
        rate: longest step, in units of the pixels' range.
        variation_weight: of the total variation against the relative feature distance.
        noise: deviation of what is added to every start, so that none is stuck at 0 or 1.
        restarts: further starts, from the mean public face.
        micro_batch: features inverted at once.
    """

    steps: int = 200
    rate: float = 0.03
    variation_weight: float = 0.03
    noise: float = 0.01
    restarts: int = 0
    micro_batch: int = 32
    name: str = "white_box_pixels"

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`; the curve is the mean objective from the decoder's picture."""
        encode = fold_batch_norm(knowledge.encoder)
        images, curves, still = [], [], []
        for part in feature.split(self.micro_batch):
            with torch.no_grad():
                start = knowledge.decoder(part)
            found = self._descend(encode, part, start, random)
            image, distance = found.image, found.distance
            curves.append(torch.tensor(found.curve) * len(part))
            still.append(found.still)
            for _ in range(self.restarts):
                mean = knowledge.public_image.mean(0).to(part).expand_as(start)
                other = self._descend(encode, part, mean, random)
                better = other.distance < distance
                image = torch.where(better[:, None, None, None], other.image, image)
                distance = torch.where(better, other.distance, distance)
            images.append(image)
        curve = (torch.stack(curves).sum(0) / len(feature)).tolist()
        return Reconstruction(torch.cat(images), curve, float(torch.cat(still).float().mean()))

    def _descend(
        self,
        encode: Callable[[Tensor], Tensor],
        feature: Tensor,
        start: Tensor,
        random: torch.Generator,
    ) -> Descent:
        noise = torch.randn(start.shape, generator=random).to(start)
        return descend_pixels(
            encode,
            feature,
            start=(start + self.noise * noise).clamp(0, 1),
            steps=self.steps,
            rate=self.rate,
            variation_weight=self.variation_weight,
        )
