"""The outer loop: move features until every simulated eavesdropper sees anybody but the person."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected, Status, utility_loss
from fl_crafter.defences.crafter.distance import CriticSettings, PairedCritic
from fl_crafter.defences.crafter.simulated import SimulatedEavesdropper, Simulation


@dataclass(frozen=True)
class CrafterSettings:
    """Settings of `Crafter`.

    Attributes:
        utility_weight: the paper's beta: larger is closer to the clean feature, with less privacy.
        steps: crafting steps.
        rate: Adam's learning rate on the feature.
        prior_images: faces of nobody in particular that each critic compares with.
        critic: see `CriticSettings`.
        stationarity_limit: an inner gradient norm above which a result counts as not converged.
    """

    utility_weight: float = 20.0
    steps: int = 30
    rate: float = 0.05
    prior_images: int = 256
    critic: CriticSettings = field(default_factory=CriticSettings)
    stationarity_limit: float = 0.05

    def __post_init__(self) -> None:
        if not self.utility_weight >= 0:
            raise ValueError(f"utility_weight must be 0 or more, not {self.utility_weight}")
        if self.steps < 0:
            raise ValueError(f"steps must be 0 or more, not {self.steps}")


@dataclass
class _Watcher:
    """One simulated eavesdropper with its critic."""

    owner: SimulatedEavesdropper
    simulation: Simulation
    critic: PairedCritic
    figures: dict[str, float] = field(default_factory=dict)

    held: Tensor | None = None

    def gradient(self, crafted: Tensor, *, step: int, critic_steps: int) -> Tensor:
        """Gradient of this eavesdropper's privacy loss with respect to the crafted feature."""
        if self.held is not None and step % self.owner.refresh:
            return self.held
        image = self.simulation.reconstruct(crafted)
        self.critic.train(image, steps=critic_steps)
        loss, image_gradient = self.critic.privacy_loss(image)
        pullback = self.simulation.pull_back(image_gradient)
        self.figures = {"privacy_loss": float(loss.mean()), **pullback.figures}
        self.held = self.owner.weight * pullback.gradient
        return self.held


class Crafter(Defence):
    """Crafts features whose reconstructions look like anybody (Crafter, NDSS 2024).

    Minimises `sum_a weight_a * L_p(reconstruction_a(F)) + utility_weight * mean((F - F0)^2)` over
    the released feature `F`, per sample, with one critic per simulated eavesdropper and batch. Only
    the critics couple the samples of a batch.

    This is protection against the eavesdroppers it simulates, measured against others; it is not
    differential privacy.

    Args:
        eavesdroppers: whom to simulate; at least one.
        settings: see `CrafterSettings`.
        start: whose features crafting starts from; the clean ones by default. From substitutes,
            crafting buys utility back only where no eavesdropper objects, instead of hiding what
            was there.
    """

    name = "crafter"

    def __init__(
        self,
        eavesdroppers: Sequence[SimulatedEavesdropper],
        settings: CrafterSettings | None = None,
        start: Defence | None = None,
    ) -> None:
        if not eavesdroppers:
            raise ValueError("Crafter needs at least one simulated eavesdropper")
        self.eavesdroppers = tuple(eavesdroppers)
        self.settings = settings or CrafterSettings()
        self.start = start

    def protect(
        self, feature: Float[Tensor, "batch channels rows columns"], *, random: torch.Generator
    ) -> Protected:
        """See `Defence`; a result with status `diverged` carries the last finite feature."""
        settings = self.settings
        feature = feature.detach()
        if not bool(torch.isfinite(feature).all()):
            return Protected(feature, Status.DIVERGED)
        watchers = [self._watcher(owner, feature, random) for owner in self.eavesdroppers]
        crafted = self._begin(feature, random).clone().requires_grad_(True)
        optimizer = torch.optim.Adam([crafted], lr=settings.rate)
        last = feature
        for step in range(settings.steps):
            gradient = settings.utility_weight * 2 * (crafted.detach() - feature)
            gradient = gradient / feature[0].numel()
            for watcher in watchers:
                gradient = gradient + watcher.gradient(
                    crafted.detach(), step=step, critic_steps=settings.critic.steps
                )
            crafted.grad = gradient
            optimizer.step()
            if not bool(torch.isfinite(crafted).all()):
                return Protected(last, Status.DIVERGED)
            last = crafted.detach().clone()
        return self._finish(last, feature, watchers)

    def _begin(self, feature: Tensor, random: torch.Generator) -> Tensor:
        if self.start is None:
            return feature
        return self.start.protect(feature, random=random).feature.detach()

    def _watcher(
        self, owner: SimulatedEavesdropper, feature: Tensor, random: torch.Generator
    ) -> _Watcher:
        simulation = owner.watch(feature)
        reference = simulation.reconstruct(feature)
        prior = owner.prior(self.settings.prior_images, random=random).to(feature.device)
        critic = PairedCritic(reference, prior, settings=self.settings.critic, random=random)
        critic.train(reference, steps=self.settings.critic.warm_up)
        return _Watcher(owner, simulation, critic)

    def _finish(self, crafted: Tensor, feature: Tensor, watchers: list[_Watcher]) -> Protected:
        figures = {"utility_loss": float(utility_loss(crafted, feature).mean())}
        status = Status.OK
        for watcher in watchers:
            image = watcher.simulation.reconstruct(crafted)
            figures[f"{watcher.owner.name}_privacy_gap"] = float(watcher.critic.gap(image).mean())
            for name, value in watcher.figures.items():
                figures[f"{watcher.owner.name}_{name}"] = value
            residual = watcher.figures.get("stationarity_residual", 0.0)
            if residual > self.settings.stationarity_limit:
                status = Status.NOT_CONVERGED
        return Protected(crafted, status, figures)
