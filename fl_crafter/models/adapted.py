"""Generators that somebody brings along."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.models.generator import ImageGenerator


class AdaptedGenerator(ImageGenerator):
    """Any differentiable module that draws faces, such as a StyleGAN's synthesis network.

    Args:
        module: latents -> images; is frozen, in evaluation mode.
        latent_shape: of one latent; (layers, width) for a W+ space.
        size: side of the victim's images in pixels, to which the module's are scaled; as they come
            by default.
        low: value of black.
        high: value of white.
        mean: of the latents, where it is not 0; of `latent_shape`, as is the next.
        deviation: of the latents, where it is not 1; measured over W for a StyleGAN.
        crop: top, left, height and width of the part that is framed as the victim's faces are, in
            the module's pixels; all of the image by default.

    Raises:
        ValueError: white is no more than black.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        module: nn.Module,
        *,
        latent_shape: tuple[int, ...],
        size: int | None = None,
        low: float = -1.0,
        high: float = 1.0,
        mean: Tensor | None = None,
        deviation: Tensor | None = None,
        crop: tuple[int, int, int, int] | None = None,
    ) -> None:
        super().__init__()
        if not high > low:
            raise ValueError(
                f"a generator's white must be more than its black, not {high} to {low}"
            )
        self.module = module.eval().requires_grad_(False)
        self.latent_shape, self.size, self.low, self.high = latent_shape, size, low, high
        self.latent_size = int(torch.tensor(latent_shape).prod())
        self.crop = crop
        zero, one = torch.zeros(latent_shape), torch.ones(latent_shape)
        self.register_buffer("mean", zero if mean is None else mean)
        self.register_buffer("deviation", one if deviation is None else deviation)

    def forward(
        self, latent: Float[Tensor, "batch latent_size"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """See `ImageGenerator`; without gradient where a pixel is beyond black or white."""
        given = self.mean + self.deviation * latent.unflatten(1, self.latent_shape)
        image = (self.module(given) - self.low) / (self.high - self.low)
        if self.crop is not None:
            top, left, height, width = self.crop
            image = image[..., top : top + height, left : left + width]
        if self.size is not None and image.shape[-2:] != (self.size, self.size):
            image = F.interpolate(image, size=self.size, mode="bilinear", antialias=True)
        return image.clamp(0, 1)
