"""Pixels as latents, so that the simulated white box can invert without any generator."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

DARKEST = 0.02  # logits of black and white are infinite


class PixelSpace(nn.Module):
    """Images whose logits have independent normal pixels: all the prior there is.

    `image = sigmoid(mean + spread * latent)`, with the mean and spread of public faces at every
    pixel. A generator draws faces only; this draws anything, and holds what a face needs least.

    Args:
        public_image: public faces as the eavesdropper's decoder sees them, in [0, 1].
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, public_image: Float[Tensor, "count 3 height width"]) -> None:
        super().__init__()
        logit = public_image.clamp(DARKEST, 1 - DARKEST).logit()
        self.register_buffer("mean", logit.mean(0))
        self.register_buffer("spread", logit.std(0).clamp_min(0.1))
        self._public = public_image

    def forward(self, latent: Float[Tensor, "batch size"]) -> Float[Tensor, "batch 3 height width"]:
        """Images of latents; the size of a latent is that of an image."""
        return torch.sigmoid(self.mean + self.spread * latent.view(-1, *self.mean.shape))

    def latent(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch size"]:
        """The latents of images, clear of black and white."""
        logit = image.clamp(DARKEST, 1 - DARKEST).logit()
        return ((logit - self.mean) / self.spread).flatten(1)

    def sample(
        self, count: int, *, random: torch.Generator
    ) -> Float[Tensor, "count 3 height width"]:
        """Public faces, since draws from the prior are none."""
        chosen = torch.randint(len(self._public), (count,), generator=random)
        return self._public[chosen.to(self._public.device)]


class DecodedStart(nn.Module):
    """Features -> the latents of a decoder's pictures: where a pixel inversion starts.

    Args:
        decoder: features -> images in [0, 1].
        space: of the latents.
    """

    def __init__(self, decoder: nn.Module, space: PixelSpace) -> None:
        super().__init__()
        self.decoder, self.space = decoder, space

    def forward(
        self, feature: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch size"]:
        """See the class."""
        return self.space.latent(self.decoder(feature))
