"""Another prior, made of the public faces at once: their principal components."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.models.generator import ImageGenerator

NO_VARIANCE = 1e-6  # of the first component's


class EigenfaceGenerator(ImageGenerator):
    """The principal components of public faces, a prior that takes no training.

    Of the logits of the pixels, so that every latent's image lies in [0, 1].

    Args:
        image: public faces.
        latent_size: number of components, fewer than faces; those that the faces do not vary in, as
            where one is there twice, are left out.

    Raises:
        ValueError: there are too few faces for the components.
    """

    mean: Tensor
    axes: Tensor
    strength: Tensor

    def __init__(self, image: Float[Tensor, "count 3 height width"], *, latent_size: int) -> None:
        super().__init__()
        if not 1 <= latent_size < len(image):
            raise ValueError(
                f"{latent_size} components of {len(image)} public faces; take fewer than faces"
            )
        logit = _logit(image)
        self.register_buffer("mean", logit.mean(0))
        # by the faces' kernel: there are far fewer faces than pixels
        centred = logit - self.mean
        values, vectors = torch.linalg.eigh((centred @ centred.T).double() / len(image))
        values, vectors = values[-latent_size:], vectors[:, -latent_size:]
        varies = values > NO_VARIANCE * values[-1]
        values, vectors = values[varies], vectors[:, varies]
        self.latent_size, self.shape = len(values), image.shape[1:]
        weight = (vectors / len(image) ** 0.5).to(logit)
        self.register_buffer("axes", (centred.T @ weight).T)  # of length sqrt(value) each
        self.register_buffer("strength", values.to(logit))

    def forward(
        self, latent: Float[Tensor, "batch latent_size"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """See `ImageGenerator`."""
        return torch.sigmoid(latent @ self.axes + self.mean).unflatten(1, self.shape)

    def latent_of(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch latent_size"]:
        """The latent of the nearest image, in the pixels' logits."""
        return (_logit(image) - self.mean) @ self.axes.T / self.strength


def _logit(image: Tensor) -> Tensor:
    return image.clamp(0.02, 0.98).logit().flatten(1)


class _ThroughPictures(nn.Module):
    """The eigenfaces' amortiser: the latent of the picture that a decoder draws."""

    def __init__(self, decoder: nn.Module, generator: EigenfaceGenerator) -> None:
        super().__init__()
        self.decoder, self.generator = decoder, generator

    def forward(self, feature: Tensor) -> Tensor:
        return self.generator.latent_of(self.decoder(feature))


@dataclass(frozen=True)
class WithEigenfaces(Attack):
    """Another attack, with eigenfaces of the public photographs for a generator.

    Attributes:
        inner: the attack, one that searches latents.
        latent_size: number of eigenfaces; fewer where there are fewer faces.
        generator: made of the public faces; None makes it.
    """

    inner: Attack
    latent_size: int = 512
    generator: EigenfaceGenerator | None = None
    name: str = "white_box_eigenfaces"

    def prepare(self, knowledge: AttackerKnowledge, *, random: torch.Generator) -> "WithEigenfaces":
        """See `Attack`; makes the eigenfaces, and the other attack prepares."""
        public = knowledge.public_image
        size = min(self.latent_size, len(public) - 1)
        generator = EigenfaceGenerator(public, latent_size=size).requires_grad_(False)
        known = self._known(generator, knowledge)
        return replace(self, generator=generator, inner=self.inner.prepare(known, random=random))

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`."""
        if self.generator is None:
            prepared = self.prepare(knowledge, random=random)
            return prepared.reconstruct(feature, knowledge, random=random)
        known = self._known(self.generator, knowledge)
        return self.inner.reconstruct(feature, known, random=random)

    @staticmethod
    def _known(generator: EigenfaceGenerator, knowledge: AttackerKnowledge) -> AttackerKnowledge:
        generator = generator.to(knowledge.device)
        start = _ThroughPictures(knowledge.decoder, generator)
        return replace(knowledge, generator=generator, amortiser=start)
