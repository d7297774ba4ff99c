"""White-box inversion over pixels."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.descent import (
    Descent,
    Map,
    descend,
    slope_of,
    without_gradient,
)
from fl_crafter.attacks.queries import Release
from fl_crafter.inversion.frozen import frozen_copy
from fl_crafter.progress import in_parts


@dataclass(frozen=True)
class WhiteBoxPixels(Attack):
    """Minimises the feature distance over pixels; total variation stands for the prior.

    No generator bounds what it can draw, so of features that keep the image's detail it draws more
    than a search over latents. It starts from the decoder's picture, and with `restarts` from the
    mean public face too; the nearest feature decides, never the truth.

    Attributes:
        steps: of Adam from every start.
        rate: longest step, in units of the pixels' range.
        variation_weight: of the total variation against the relative feature distance.
        noise: deviation of what is added to every start, so that none is stuck at 0 or 1.
        restarts: further starts, from the mean public face.
        micro_batch: features inverted at once.
    """

    steps: int = 100
    rate: float = 0.03
    variation_weight: float = 0.1
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
        """See `Attack`; the curve is the mean feature distance from the decoder's picture."""
        encode = frozen_copy(knowledge.encoder)
        return self.search(
            lambda part: encode, feature, knowledge, start=knowledge.decoder, random=random
        )

    def search(
        self,
        way: Callable[[Tensor], Map],
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        start: Map | None,
        random: torch.Generator,
    ) -> Reconstruction:
        """As `reconstruct`, for any way from images to features.

        Args:
            way: of some of the features, what takes images in [0, 1] to them.
            feature: what the images' features are to be.
            knowledge: see `AttackerKnowledge`.
            start: features -> images to start from; None starts from the mean public face.
            random: source of the noise on every start.
        """
        mean = knowledge.public_image.mean(0).to(feature)
        images, curves, still = [], [], []
        for part in in_parts(feature, self.micro_batch, title=self.name):
            average = mean.expand(len(part), -1, -1, -1)
            with torch.no_grad():
                picture = average if start is None else start(part)
            found = self._descend(way(part), part, picture, random)
            for _ in range(self.restarts):
                found = found.better_of(self._descend(way(part), part, average, random))
            images.append(found.value)
            curves.append(torch.tensor(found.curve) * len(part))
            still.append(found.still)
        curve = (torch.stack(curves).sum(0) / len(feature)).tolist()
        return Reconstruction(torch.cat(images), curve, float(torch.cat(still).float().mean()))

    def _descend(
        self, encode: Map, feature: Tensor, start: Tensor, random: torch.Generator
    ) -> Descent:
        noise = torch.randn(start.shape, generator=random).to(start)
        return descend(
            encode,
            feature,
            start=(start + self.noise * noise).clamp(0, 1),
            draw=lambda image: image,
            project=lambda image: image.clamp(0, 1),
            steps=self.steps,
            rate=self.rate,
            variation_weight=self.variation_weight,
        )


@dataclass(frozen=True)
class WhiteBoxChannels(Attack):
    """White box over pixels, for features whose channels were pruned or damped.

    Each channel of each feature counts up to a positive factor, as much as that channel does in
    public features, and not at all where it was set to zero. A decoder of whole features draws
    nothing from such ones, so that the search starts from the mean public face; as less is known,
    the total variation wants a larger weight.

    Attributes:
        descent: of what and how far.
    """

    descent: WhiteBoxPixels = field(default_factory=lambda: WhiteBoxPixels(variation_weight=1.5))
    name: str = "white_box_channels"

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`; the curve is the mean distance of the channels from the mean face on."""
        encode = frozen_copy(knowledge.encoder)
        weight = knowledge.public_feature().square().mean((0, 2, 3), keepdim=True).sqrt()

        def way(part: Tensor) -> Map:
            left = weight * (_norms(part) > 0)
            return lambda image: left * _alike(encode(image))

        target = weight * _alike(feature)
        descent = replace(self.descent, name=self.name)
        return descent.search(way, target, knowledge, start=None, random=random)


def _norms(feature: Float[Tensor, "batch channels rows columns"]) -> Tensor:
    return feature.flatten(2).norm(dim=2)[:, :, None, None]


def _alike(feature: Float[Tensor, "batch channels rows columns"]) -> Tensor:
    """Each channel of each row divided by its norm; what is zero stays zero."""
    return feature / _norms(feature).clamp_min(torch.finfo(feature.dtype).tiny)


@dataclass(frozen=True)
class AdaptivePixels(Attack):
    """White box over pixels and through the defence: the image whose *released* feature is nearest.

    Every step asks the defence anew, so that its randomness is averaged over the descent. Where no
    gradient comes back through the defence, what it did to the feature is taken for a constant
    (backward pass differentiable approximation, Athalye et al. 2018), and the rows are counted in
    `zero_gradients`.

    Attributes:
        descent: of what and how far; features are taken together as the victim protects them.
    """

    descent: WhiteBoxPixels = field(default_factory=lambda: WhiteBoxPixels(steps=40))
    name: str = "adaptive_pixels"
    adaptive: ClassVar[bool] = True

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`; the curve is the mean feature distance from the decoder's picture.

        Raises:
            ValueError: the knowledge holds no defence.
        """
        release = knowledge.release
        if release is None:
            raise ValueError(f"{self.name} must know the defence: set AttackerKnowledge.release")
        encoder = frozen_copy(knowledge.encoder)
        descent = replace(self.descent, micro_batch=knowledge.batch)
        dead = dead_rows(release, feature[: knowledge.batch])

        def encode(image: Tensor) -> Tensor:
            clean = encoder(image)
            released = release(clean)
            return clean + (released - clean).detach() if bool(dead.any()) else released

        found = descent.search(
            lambda part: encode, feature, knowledge, start=knowledge.decoder, random=random
        )
        return replace(found, zero_gradients=float(dead.float().mean()))


def dead_rows(
    release: Release, feature: Float[Tensor, "batch channels rows columns"]
) -> Bool[Tensor, " batch"]:
    """Rows of which no gradient comes back through the defence, or none that is finite."""
    probe = feature.detach().clone().requires_grad_(True)
    drawn = torch.randn(feature.shape, generator=torch.Generator().manual_seed(0)).to(feature)
    with torch.enable_grad():
        along = (release(probe) * drawn).flatten(1).sum(1)
        slope = slope_of(along, probe)
    return without_gradient(slope)
