"""Random changes to training images, drawn from an explicit generator."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def _uniform(batch: int, low: float, high: float, random: torch.Generator) -> Tensor:
    return torch.rand(batch, generator=random) * (high - low) + low


def random_grey(
    image: Float[Tensor, "batch 3 height width"], *, share: float, random: torch.Generator
) -> Float[Tensor, "batch 3 height width"]:
    """Turn about `share` of the images to grey, so that grey photographs are in the domain."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    grey = (image * weights).sum(1, keepdim=True).expand_as(image)
    chosen = torch.rand(len(image), generator=random) < share
    return torch.where(chosen.view(-1, 1, 1, 1), grey, image)


def random_flip(
    image: Float[Tensor, "batch 3 height width"], *, random: torch.Generator
) -> Float[Tensor, "batch 3 height width"]:
    """Mirror half of the images."""
    chosen = torch.rand(len(image), generator=random) < 0.5
    return torch.where(chosen.view(-1, 1, 1, 1), image.flip(3), image)


def random_affine(
    image: Float[Tensor, "batch 3 height width"],
    *,
    scale: float,
    degrees: float,
    shift: float,
    random: torch.Generator,
) -> Float[Tensor, "batch 3 height width"]:
    """Scale by 1 +- `scale`, turn by +- `degrees`, move by +- `shift` of half the image's side."""
    batch = len(image)
    angle = _uniform(batch, -degrees, degrees, random) * torch.pi / 180
    zoom = _uniform(batch, 1 - scale, 1 + scale, random)
    cosine, sine = zoom * torch.cos(angle), zoom * torch.sin(angle)
    across = _uniform(batch, -shift, shift, random)
    down = _uniform(batch, -shift, shift, random)
    rows = [torch.stack([cosine, -sine, across], 1), torch.stack([sine, cosine, down], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, padding_mode="border", align_corners=False)


def random_light(
    image: Float[Tensor, "batch 3 height width"], *, amount: float, random: torch.Generator
) -> Float[Tensor, "batch 3 height width"]:
    """Change brightness, contrast and the colours' balance by up to `amount`, within [0, 1]."""
    batch = len(image)
    contrast = _uniform(batch, 1 - amount, 1 + amount, random).view(-1, 1, 1, 1)
    brightness = _uniform(batch, -amount / 2, amount / 2, random).view(-1, 1, 1, 1)
    balance = 1 + (torch.rand(batch, 3, 1, 1, generator=random) - 0.5) * amount
    return ((image - 0.5) * contrast + 0.5 + brightness).mul(balance).clamp(0, 1)


def random_erase(
    image: Float[Tensor, "batch 3 height width"], *, side: int, random: torch.Generator
) -> Float[Tensor, "batch 3 height width"]:
    """Grey out one `side` x `side` square in half of the images."""
    batch, _, height, width = image.shape
    top = torch.randint(-side // 2, height - side // 2, (batch, 1), generator=random)
    left = torch.randint(-side // 2, width - side // 2, (batch, 1), generator=random)
    chosen = torch.rand(batch, 1, generator=random) < 0.5
    row, column = torch.arange(height), torch.arange(width)
    rows = (row >= top) & (row < top + side) & chosen
    columns = (column >= left) & (column < left + side)
    erased = rows[:, None, :, None] & columns[:, None, None, :]
    return image.masked_fill(erased, 0.5)


def random_zoom(
    image: Float[Tensor, "batch 3 height width"], *, amount: float, random: torch.Generator
) -> Float[Tensor, "batch 3 height width"]:
    """Enlarge a random window, its side 1 - `amount` to 1 of the image's; no edge is repeated."""
    batch = len(image)
    side = _uniform(batch, 1 - amount, 1.0, random)
    across = _uniform(batch, -1.0, 1.0, random) * (1 - side)
    down = _uniform(batch, -1.0, 1.0, random) * (1 - side)
    zero = torch.zeros(batch)
    rows = [torch.stack([side, zero, across], 1), torch.stack([zero, side, down], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, padding_mode="border", align_corners=False)
