"""The authors' crafting loop at their settings, as plainly as they run it; for comparison only.

Written from the paper's description and appendix: an amortised start and 80 momentum steps for the
inversion, 10 critic steps, and 120 Neumann terms by double differentiation, in every outer step. As
in their code the inner loss is a mean over the batch and the weights are not frozen.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fl_crafter.models.critic import Critic, gradient_penalty
from fl_crafter.models.generator import Generator


@dataclass(frozen=True)
class PublishedSettings:
    """The published settings (crafting of CelebA at 64 pixels).

    Attributes:
        outer_steps: 450 in the paper; on two cores only a few can be waited for.
        utility_weight: beta.
        rate: Adam's, on the feature.
        inner_steps: momentum steps of each inversion.
        inner_rate: of those, on the sum over a feature's elements.
        momentum: of those.
        terms: of the Neumann series.
        term_step: its step.
        critic_steps: per outer step.
        critic_rate: Adam's.
        penalty: weight of the gradient penalty.
        critic_batch: images of each kind per critic step.
    """

    outer_steps: int = 450
    utility_weight: float = 2.0
    rate: float = 0.01
    inner_steps: int = 80
    inner_rate: float = 5e-3
    momentum: float = 0.9
    terms: int = 120
    term_step: float = 1e-3
    critic_steps: int = 10
    critic_rate: float = 5e-4
    penalty: float = 20.0
    critic_batch: int = 32


@dataclass(frozen=True)
class Outcome:
    """What the loop released, and where its time went, in seconds by part."""

    feature: Tensor
    seconds: dict[str, float]


def published_loop(
    encoder: nn.Module,
    generator: Generator,
    amortiser: nn.Module,
    feature: Tensor,
    *,
    settings: PublishedSettings,
    random: torch.Generator,
) -> Outcome:
    """Craft one batch of features `[batch, channels, rows, columns]`."""
    # frozen weights are not assumed: every backward pass reaches the weights too
    encoder, generator = copy.deepcopy(encoder), copy.deepcopy(generator)
    for module in (encoder, generator):
        module.requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=random)))
        critic = Critic(image_size=generator.sample(1, random=random).shape[-1])
    critic_optimizer = torch.optim.Adam(critic.parameters(), lr=settings.critic_rate)
    crafted = feature.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([crafted], lr=settings.rate)
    seconds = {"inversion": 0.0, "critic": 0.0, "neumann": 0.0}

    def timed(part: str, work: Callable[[], Tensor]) -> Tensor:
        began = time.perf_counter()
        result = work()
        seconds[part] += time.perf_counter() - began
        return result

    def inner_loss(latent: Tensor, target: Tensor) -> Tensor:
        return (encoder(generator(latent)) - target).flatten(1).square().sum(1).mean()

    def invert() -> Tensor:
        with torch.no_grad():
            latent = amortiser(crafted)
        velocity = torch.zeros_like(latent)
        for _ in range(settings.inner_steps):
            leaf = latent.detach().requires_grad_(True)
            inner_loss(leaf, crafted.detach()).backward()
            assert leaf.grad is not None
            velocity = settings.momentum * velocity - settings.inner_rate * leaf.grad
            latent = latent + velocity
        return latent.detach()

    def train_critic(latent: Tensor) -> Tensor:
        with torch.no_grad():
            seen = generator(latent)
        for _ in range(settings.critic_steps):
            rows = torch.randint(len(seen), (settings.critic_batch,), generator=random)
            with torch.no_grad():
                prior = generator.sample(settings.critic_batch, random=random)
            gap = critic(prior).mean() - critic(seen[rows]).mean()
            penalty = gradient_penalty(critic, seen[rows], prior, random=random)
            critic_optimizer.zero_grad(set_to_none=True)
            (settings.penalty * penalty - gap).backward()
            critic_optimizer.step()
        return seen

    def implicit_gradient(latent: Tensor) -> Tensor:
        leaf = latent.clone().requires_grad_(True)
        privacy = -critic(generator(leaf)).mean()
        (term,) = torch.autograd.grad(privacy, leaf)
        target = crafted.detach().requires_grad_(True)
        (inner,) = torch.autograd.grad(inner_loss(leaf, target), leaf, create_graph=True)
        total = term.clone()
        for _ in range(settings.terms):
            (product,) = torch.autograd.grad(inner, leaf, term, retain_graph=True)
            term = term - settings.term_step * product
            total = total + term
        (mixed,) = torch.autograd.grad(inner, target, settings.term_step * total)
        return -mixed

    for _ in range(settings.outer_steps):
        latent = timed("inversion", invert)
        timed("critic", lambda latent=latent: train_critic(latent))
        implicit = timed("neumann", lambda latent=latent: implicit_gradient(latent))
        utility = 2 * (crafted.detach() - feature) / feature.numel()
        crafted.grad = settings.utility_weight * utility + implicit
        optimizer.step()
    return Outcome(crafted.detach(), seconds)
