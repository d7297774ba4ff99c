"""White-box inversion over pixels."""

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

    With `any_scale` each channel of each feature counts up to a factor of its own, the best one:
    what prunes channels, or damps them, is undone. A decoder of whole features draws nothing from
    such ones, so that the search starts from the mean public face, and as less is known the prior
    wants a larger weight.

    Attributes:
        steps: of Adam from every start.
        rate: longest step, in units of the pixels' range.
        variation_weight: of the total variation against the relative feature distance.
        noise: deviation of what is added to every start, so that none is stuck at 0 or 1.
        restarts: further starts, from the mean public face.
        micro_batch: features inverted at once.
        any_scale: see above.
    """

    steps: int = 100
    rate: float = 0.03
    variation_weight: float = 0.1
    noise: float = 0.01
    restarts: int = 0
    micro_batch: int = 32
    any_scale: bool = False
    name: str = "white_box_pixels"

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`; the curve is the mean feature distance from the first start."""
        return self.search(frozen_copy(knowledge.encoder), feature, knowledge, random=random)

    def search(
        self,
        encode: Map,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """As `reconstruct`, for any way from images in [0, 1] to features."""
        mean = knowledge.public_image.mean(0).to(feature)
        images, curves, still = [], [], []
        for part in in_parts(feature, self.micro_batch, title=self.name):
            average = mean.expand(len(part), -1, -1, -1)
            with torch.no_grad():
                start = average if self.any_scale else knowledge.decoder(part)
            found = self._descend(encode, part, start, random)
            for _ in range(self.restarts):
                other = self._descend(encode, part, average, random)
                found = found.better_of(other)
            images.append(found.value)
            curves.append(torch.tensor(found.curve) * len(part))
            still.append(found.still)
        curve = (torch.stack(curves).sum(0) / len(feature)).tolist()
        return Reconstruction(torch.cat(images), curve, float(torch.cat(still).float().mean()))

    def _descend(
        self, encode: Map, feature: Tensor, start: Tensor, random: torch.Generator
    ) -> Descent:
        noise = torch.randn(start.shape, generator=random).to(start)

        def encode_to_scale(image: Tensor) -> Tensor:
            return in_scale_of(feature, encode(image))

        return descend(
            encode_to_scale if self.any_scale else encode,
            feature,
            start=(start + self.noise * noise).clamp(0, 1),
            draw=lambda image: image,
            project=lambda image: image.clamp(0, 1),
            steps=self.steps,
            rate=self.rate,
            variation_weight=self.variation_weight,
        )


def in_scale_of(
    feature: Float[Tensor, "batch channels rows columns"], output: Tensor
) -> Float[Tensor, "batch channels rows columns"]:
    """The output with each channel of each row times what brings it nearest to the feature's."""
    along = (output * feature).sum((2, 3), keepdim=True)
    size = output.square().sum((2, 3), keepdim=True)
    tiny = torch.finfo(output.dtype).tiny
    return output * (along.clamp_min(0.0) / size.clamp_min(tiny))


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

        found = descent.search(encode, feature, knowledge, random=random)
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
