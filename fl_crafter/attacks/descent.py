"""Descend from an image, or from what draws one, to a given feature."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fl_crafter.training.loop import cosine_rate

Map = Callable[[Tensor], Tensor]
OFFSET = 4.0  # mean square over variance; at most 3.7 in 80 CelebA faces under five defences


@dataclass(frozen=True)
class Descent:
    """Where a descent ended.

    Attributes:
        value: of each row, the one with the nearest feature among all that were met.
        distance: of its feature, see `relative_distance`.
        curve: mean distance at each step, the start first, and last that of `value`. It is not
            descended but decides: a lower objective may be a smoother image of other features.
        still: rows whose first gradient was zero or not finite.
    """

    value: Float[Tensor, " batch *shape"]
    distance: Float[Tensor, " batch"]
    curve: list[float]
    still: Bool[Tensor, " batch"]

    def better_of(self, other: "Descent") -> "Descent":
        """Row by row the one with the nearer feature; the curve is this one's but for its end."""
        value = choose(other.distance < self.distance, other.value, self.value)
        distance = torch.minimum(self.distance, other.distance)
        curve = [*self.curve[:-1], float(distance.mean())]
        return Descent(value, distance, curve, self.still & other.still)


def choose(
    first: Bool[Tensor, " batch"], one: Float[Tensor, " batch *shape"], other: Tensor
) -> Float[Tensor, " batch *shape"]:
    """Rows of `one` where `first` is true, else of `other`."""
    return torch.where(first.view(-1, *[1] * (one.ndim - 1)), one, other)


def total_variation(image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, " batch"]:
    """Mean absolute difference of neighbouring pixels, across and down, of each image."""
    across = (image[..., 1:] - image[..., :-1]).abs().mean((1, 2, 3))
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().mean((1, 2, 3))
    return across + down


def relative_distance(
    output: Float[Tensor, " batch *shape"], feature: Float[Tensor, " batch *shape"]
) -> Float[Tensor, " batch"]:
    """Squared distance of each sample's feature, in units of the feature's own mean square.

    Where that is an offset above all, which says nothing of the image, it is in units of a few
    times the feature's variance instead.
    """
    own = feature.flatten(1)
    square = own.square().mean(1)
    size = torch.minimum(square, OFFSET * own.var(1, correction=0).clamp_min(1e-6 * square))
    size = size.clamp_min(torch.finfo(feature.dtype).tiny)
    return (output - feature).flatten(1).square().mean(1) / size


def descend(
    encode: Map,
    feature: Float[Tensor, "batch channels rows columns"],
    *,
    start: Float[Tensor, " batch *shape"],
    draw: Map,
    project: Map,
    steps: int,
    rate: float,
    variation_weight: float,
) -> Descent:
    """Adam on the relative feature distance and the total variation of the image.

    Args:
        encode: images -> features.
        feature: what the images' features are to be.
        start: values to start from.
        draw: values -> images.
        project: values -> the nearest ones that are allowed.
        steps: of Adam; the step length rises and then falls along a cosine.
        rate: longest step.
        variation_weight: of the total variation.
    """
    value = start.detach().clone().requires_grad_(True)
    adam = torch.optim.Adam([value], betas=(0.9, 0.99))
    best, nearest = value.detach().clone(), torch.full((len(value),), torch.inf).to(value)
    still = torch.zeros(len(value), dtype=torch.bool, device=value.device)
    curve = []
    for index in range(steps + 1):
        with torch.enable_grad():
            image = draw(value)
            distance, variation = relative_distance(encode(image), feature), total_variation(image)
        reached = distance.detach()
        best = choose(reached < nearest, value.detach(), best)
        nearest = torch.minimum(reached, nearest)
        curve.append(float(reached.mean()))
        if index == steps:
            break
        if index == 0:
            still = without_gradient(slope_of(distance, value, keep=True))
        value.grad = slope_of(distance + variation_weight * variation, value)
        for group in adam.param_groups:
            group["lr"] = cosine_rate(index, steps, peak=rate)
        adam.step()
        with torch.no_grad():
            value.copy_(project(value))
    return Descent(best, nearest, [*curve, float(nearest.mean())], still)


def slope_of(
    objective: Float[Tensor, " batch"], value: Float[Tensor, " batch *shape"], *, keep: bool = False
) -> Float[Tensor, " batch *shape"]:
    """Gradient of each sample's objective; zero where it does not depend on the value."""
    if not objective.requires_grad:
        return torch.zeros_like(value)
    total = objective.sum()
    return torch.autograd.grad(total, value, retain_graph=keep, materialize_grads=True)[0]


def without_gradient(slope: Float[Tensor, " batch *shape"]) -> Bool[Tensor, " batch"]:
    """Rows whose gradient is zero or not finite."""
    size = slope.flatten(1).norm(dim=1)
    return ~(size.isfinite() & (size > 0))


def into_ball(
    value: Float[Tensor, " batch *shape"], centre: Tensor, *, radius: float
) -> Float[Tensor, " batch *shape"]:
    """The nearest values whose l1 distance from the centre is at most its l1 norm times `radius`.

    By sorting (Duchi et al., 2008, figure 1).
    """
    offset = (value - centre).flatten(1)
    most = radius * centre.flatten(1).abs().sum(1)
    size, _ = offset.abs().sort(dim=1, descending=True)
    excess = size.cumsum(1) - most[:, None]
    count = torch.arange(1, size.shape[1] + 1, device=size.device)
    last = (size * count > excess).sum(1, keepdim=True).clamp_min(1)
    threshold = (excess.gather(1, last - 1) / last).clamp_min(0)
    shrunk = offset.sign() * (offset.abs() - threshold).clamp_min(0)
    return centre + shrunk.view_as(centre)
