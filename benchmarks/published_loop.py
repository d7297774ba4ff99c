"""The authors' crafting loop at their settings, as plainly as they run it; for comparison only.

Written from the paper's description and appendix: an amortised start and 80 momentum steps for the
inversion, 10 critic steps, and 120 Neumann terms by double differentiation, in every outer step.
As in their code the inner loss is a mean over the batch and the weights are not frozen. In one
thing it is given more than the authors had: the critic is ours, since theirs does not see the
people of a batch of many (`fl_crafter.defences.crafter.distance`), and is small; so that what is
compared is the solver, on one objective.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from fl_crafter.defences.crafter.distance import CriticSettings, PairedCritic
from fl_crafter.models.generator import Generator

Result = TypeVar("Result")


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
        critic: 10 steps of Adam at .0005, on 32 and 32 images, per outer step.
        prior_images: that the critic draws from.
    """

    outer_steps: int = 450
    utility_weight: float = 2.0
    rate: float = 0.01
    inner_steps: int = 80
    inner_rate: float = 5e-3
    momentum: float = 0.9
    terms: int = 120
    term_step: float = 1e-3
    critic: CriticSettings = CriticSettings(
        rate=5e-4, warm_up=40, steps=10, penalty=20.0, batch_size=32
    )
    prior_images: int = 256


@dataclass(frozen=True)
class PublishedStep:
    """An outer step as it ended.

    Attributes:
        feature: crafted.
        seconds: since the start, by part.
        processor_seconds: since the start, of the process: other work on the machine adds none.
        stationarity_residual: norm of a sample's inner gradient, mean over the batch.
        solve_residual: last term of the Neumann series against the first, of the whole batch.
    """

    feature: Tensor
    seconds: dict[str, float]
    processor_seconds: float
    stationarity_residual: float
    solve_residual: float


class PublishedLoop:
    """Crafts one batch of features `[batch, channels, rows, columns]`."""

    def __init__(
        self,
        encoder: nn.Module,
        generator: Generator,
        amortiser: nn.Module,
        feature: Tensor,
        *,
        settings: PublishedSettings,
        random: torch.Generator,
    ) -> None:
        # frozen weights are not assumed: every backward pass reaches the weights too
        self.encoder, self.generator = copy.deepcopy(encoder), copy.deepcopy(generator)
        for module in (self.encoder, self.generator):
            module.requires_grad_(True)
        self.amortiser, self.settings, self.feature = amortiser, settings, feature
        self.crafted = feature.clone().requires_grad_(True)
        self.seconds = {"inversion": 0.0, "critic": 0.0, "neumann": 0.0}
        self.processor_seconds = self.stationarity_residual = self.solve_residual = 0.0
        self.random = random

    def run(self, observe: Callable[[PublishedStep], None]) -> None:
        """All outer steps; `observe` is called after each, and its time is not counted."""
        settings = self.settings
        critic = self._timed("critic", self._critic)
        optimizer = torch.optim.Adam([self.crafted], lr=settings.rate)
        for _ in range(settings.outer_steps):
            latent = self._timed("inversion", self._invert)
            self._timed("critic", lambda latent=latent: self._train(critic, latent))
            implicit = self._timed("neumann", lambda latent=latent: self._implicit(critic, latent))
            utility = 2 * (self.crafted.detach() - self.feature) / self.feature.numel()
            self.crafted.grad = settings.utility_weight * utility + implicit
            optimizer.step()
            observe(
                PublishedStep(
                    self.crafted.detach().clone(),
                    dict(self.seconds),
                    self.processor_seconds,
                    self.stationarity_residual,
                    self.solve_residual,
                )
            )

    def _timed(self, part: str, work: Callable[[], Result]) -> Result:
        began, processor = time.perf_counter(), time.process_time()
        result = work()
        if self.feature.is_cuda:
            torch.cuda.synchronize()
        self.seconds[part] += time.perf_counter() - began
        self.processor_seconds += time.process_time() - processor
        return result

    def _critic(self) -> PairedCritic:
        with torch.no_grad():
            reference = self.generator(self._invert())
            prior = self.generator.sample(self.settings.prior_images, random=self.random)
        settings = self.settings.critic
        critic = PairedCritic(reference, prior, settings=settings, random=self.random)
        critic.train(reference, steps=settings.warm_up)
        return critic

    def _inner_loss(self, latent: Tensor, target: Tensor) -> Tensor:
        return (self.encoder(self.generator(latent)) - target).flatten(1).square().sum(1).mean()

    def _invert(self) -> Tensor:
        settings = self.settings
        with torch.no_grad():
            latent = self.amortiser(self.crafted)
        velocity = torch.zeros_like(latent)
        with torch.enable_grad():
            for _ in range(settings.inner_steps):
                leaf = latent.detach().requires_grad_(True)
                self._inner_loss(leaf, self.crafted.detach()).backward()
                assert leaf.grad is not None
                velocity = settings.momentum * velocity - settings.inner_rate * leaf.grad
                latent = latent + velocity
        return latent.detach()

    def _train(self, critic: PairedCritic, latent: Tensor) -> None:
        with torch.no_grad():
            seen = self.generator(latent)
        critic.train(seen, steps=self.settings.critic.steps)

    def _implicit(self, critic: PairedCritic, latent: Tensor) -> Tensor:
        settings = self.settings
        leaf = latent.clone().requires_grad_(True)
        image = self.generator(leaf)
        _, image_gradient = critic.privacy_loss(image.detach())
        (first,) = torch.autograd.grad(image, leaf, image_gradient / len(image))
        target = self.crafted.detach().requires_grad_(True)
        (inner,) = torch.autograd.grad(self._inner_loss(leaf, target), leaf, create_graph=True)
        term, total = first, first.clone()
        for _ in range(settings.terms):
            (product,) = torch.autograd.grad(inner, leaf, term, retain_graph=True)
            term = term - settings.term_step * product
            total = total + term
        (mixed,) = torch.autograd.grad(inner, target, settings.term_step * total)
        # per sample, of the mean over a feature's elements, as ours
        scale = len(latent) / self.feature[0].numel() / 2
        self.stationarity_residual = float(inner.detach().norm(dim=1).mean()) * scale
        self.solve_residual = float(term.norm() / first.norm())
        return -mixed
