"""Crafter-z: craft the latent, and release the feature of the face that it draws."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.defences.base import (
    Defence,
    Protected,
    Status,
    in_micro_batches,
    utility_loss,
)
from fl_crafter.defences.crafter.crafter import FARTHEST, CrafterSettings
from fl_crafter.defences.crafter.distance import gap_figures
from fl_crafter.inversion.inverters import LevenbergMarquardt
from fl_crafter.inversion.problem import latent_inversion
from fl_crafter.models.generator import Generator


class CrafterLatent(Defence):
    """The paper's cheaper variant, Crafter-z: everything released is the feature of a drawn face.

    Starts at the latent that inverts the clean feature, `z`, and minimises
    `L_p(G(z)) + utility_weight * mean((Enc(G(z)) - F0)^2)` over it by Adam; no implicit gradient.
    Its distance is `Crafter`'s, and couples the samples of a micro-batch. All steps are taken.

    Args:
        encoder: the encoder that made the features, frozen.
        generator: of public faces, frozen.
        amortiser: features -> latents, frozen.
        settings: see `CrafterSettings`; the rate is that of the latent.
        inverter: of the clean features.
    """

    name = "crafter_z"

    def __init__(
        self,
        encoder: nn.Module,
        generator: Generator,
        amortiser: nn.Module,
        *,
        settings: CrafterSettings | None = None,
        inverter: LevenbergMarquardt | None = None,
    ) -> None:
        self.encoder = encoder
        self.generator = generator
        self.amortiser = amortiser
        like = torch.empty(0, generator.latent_size, device=next(generator.parameters()).device)
        # the same probes for everybody: a release must not depend on them
        self.problem = latent_inversion(generator, encoder).preconditioned(
            like, random=torch.Generator().manual_seed(0)
        )
        self.settings = settings or CrafterSettings()
        self.inverter = inverter or LevenbergMarquardt(steps=3, inner_iterations=3, damping=1e-3)

    def protect(
        self, feature: Float[Tensor, "batch channels rows columns"], *, random: torch.Generator
    ) -> Protected:
        """See `Defence`; the figures have the privacy gap of the face that was drawn."""
        return in_micro_batches(
            feature, self.settings.micro_batch, partial(self._protect, random=random)
        )

    def _protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        settings, generator = self.settings, self.generator
        with torch.no_grad():
            start = self.amortiser(feature)
        latent = self.inverter.invert(self.problem, feature, start=start).latent
        with torch.no_grad():
            reference = generator(latent)
        prior = generator.sample(settings.prior_images, random=random).to(feature)
        distance = settings.distance.begin(reference, prior, random=random)
        leaf = latent.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([leaf], lr=settings.rate)
        for _ in range(settings.steps):
            with torch.enable_grad():
                image = generator(leaf)
                kept = settings.utility_weight * utility_loss(self.encoder(image), feature)
            distance.adapt(image.detach())
            _, image_gradient = distance.privacy_loss(image)
            (leaf.grad,) = torch.autograd.grad(
                [image, kept.sum()], leaf, [image_gradient, torch.ones_like(kept.sum())]
            )
            optimizer.step()
        with torch.no_grad():
            image = generator(leaf)
            released = self.encoder(image)
        # of a latent that is drawn this mean is 1; nan is no end either
        far = leaf.detach().square().mean(1)
        if not bool((far <= FARTHEST).all()) or not bool(torch.isfinite(released).all()):
            return Protected(feature, Status.DIVERGED)
        figures = {"utility_loss": float(utility_loss(released, feature).mean())}
        return Protected(released, figures=figures | gap_figures("latent", distance.gap(image)))
