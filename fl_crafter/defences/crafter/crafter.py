"""The outer loop: from a public face towards the cloud's task, past any simulated eavesdropper."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.defences.base import (
    Defence,
    Protected,
    Status,
    in_micro_batches,
    utility_loss,
)
from fl_crafter.defences.crafter.convergence import Convergence
from fl_crafter.defences.crafter.descent import SampleAdam
from fl_crafter.defences.crafter.distance import (
    CriticSettings,
    Distance,
    DistanceSettings,
    gap_figures,
)
from fl_crafter.defences.crafter.simulated import SimulatedEavesdropper, Simulation
from fl_crafter.defences.crafter.utility import FeatureUtility, Utility


@dataclass(frozen=True)
class CrafterSettings:
    """Settings of `Crafter`.

    Attributes:
        utility_weight: the paper's beta: larger keeps more for the cloud, with less privacy.
        steps: most crafting steps. 30 are enough from a public start; beside a critic the feature
            goes on moving for hundreds (docs/crafting.md).
        tolerance: see `Convergence`: a sample that changes less is crafted no further. Where
            eavesdroppers are simulated all steps are taken.
        rate: length of a step, of its root mean square element (see `SampleAdam`).
        prior_images: faces of nobody in particular that each distance compares with.
        distance: to average faces, a critic by default.
        stationarity_limit: norm of the inner gradient, at the released feature, above which a
            sample's inversion has not converged; with more than a tenth of those crafted together,
            nor has the result.
        micro_batch: features crafted together, which bounds the memory; each such part has
            distances of its own.
    """

    utility_weight: float = 10.0
    steps: int = 30
    tolerance: float = 0.01
    rate: float = 0.05
    prior_images: int = 256
    distance: DistanceSettings = field(default_factory=CriticSettings)
    stationarity_limit: float = 0.05
    micro_batch: int = 64

    def __post_init__(self) -> None:
        if not self.utility_weight >= 0:
            raise ValueError(f"utility_weight must be 0 or more, not {self.utility_weight}")
        if self.steps < 0:
            raise ValueError(f"steps must be 0 or more, not {self.steps}")
        if self.micro_batch < 1:
            raise ValueError(f"micro_batch must be 1 or more, not {self.micro_batch}")


@dataclass(frozen=True)
class Step:
    """What an observer is shown of a crafting step, as it ends.

    Attributes:
        index: from 0, anew in each micro-batch.
        feature: the crafted feature.
        figures: of the simulated eavesdroppers, as in `Protected.figures`.
    """

    index: int
    feature: Float[Tensor, "batch channels rows columns"]
    figures: dict[str, float]


@dataclass
class _Watcher:
    """One simulated eavesdropper, and how far what it sees is from anybody."""

    owner: SimulatedEavesdropper
    simulation: Simulation
    distance: Distance
    figures: dict[str, float] = field(default_factory=dict)
    held: Tensor | None = None

    def gradient(self, crafted: Tensor, *, step: int) -> Tensor:
        """Gradient of this eavesdropper's privacy loss with respect to the crafted feature."""
        if self.held is not None and step % self.owner.refresh:
            return self.held
        image = self.simulation.reconstruct(crafted)
        self.distance.adapt(image)
        loss, image_gradient = self.distance.privacy_loss(image)
        pullback = self.simulation.pull_back(image_gradient)
        self.figures = {"privacy_loss": float(loss.mean()), **pullback.figures}
        self.held = self.owner.weight * pullback.gradient
        return self.held


MOST_UNCONVERGED = 0.1
"""Share of the samples whose inversions may be off their optimum in a result that has converged."""

FARTHEST = 100.0
"""Most squared change, in units of the square of the clean feature or of the start; of latents, the
most mean square, which is 1 where they are drawn. Steps that lead farther have diverged."""


class Crafter(Defence):
    """Crafts features whose reconstructions look like anybody, and serve the cloud's task.

    Minimises, per sample, over the released feature `F`

        utility_weight * U(F) + mean((F - S)^2) + sum_a weight_a * L_a(reconstruction_a(F))

    with the utility loss `U`, a start `S` among public faces, and the privacy losses `L_a` of
    simulated eavesdroppers. There are two ways to use it:

    - From public features, with `TaskUtility` and nobody simulated: whatever inverts `F` finds a
      public average face, since there is nothing else in `F` than that and the task's outputs. Each
      sample is crafted by itself.
    - As published (Crafter, NDSS 2024): from the clean feature (no `start`, and no term for it),
      with `FeatureUtility`, moving away from what simulated eavesdroppers see. What remains is
      hidden from those, not absent. The distances couple the samples of a batch.

    Neither is differential privacy.

    Args:
        eavesdroppers: whom to simulate.
        utility: what to keep of the clean feature; the feature itself by default.
        start: gives the public features that crafting starts from; the clean ones by default.
        settings: see `CrafterSettings`.
        name: in tables and files.
        observe: is called after every step, for progress and curves.

    Raises:
        ValueError: there is neither a start nor anybody to simulate: nothing would be protected.
    """

    def __init__(
        self,
        eavesdroppers: Sequence[SimulatedEavesdropper] = (),
        *,
        utility: Utility | None = None,
        start: Defence | None = None,
        settings: CrafterSettings | None = None,
        name: str = "crafter",
        observe: Callable[[Step], None] | None = None,
    ) -> None:
        if not eavesdroppers and start is None:
            raise ValueError("Crafter needs a start, or at least one eavesdropper to simulate")
        self.eavesdroppers = tuple(eavesdroppers)
        self.utility = utility or FeatureUtility()
        self.start = start
        self.settings = settings or CrafterSettings()
        self.name = name
        self.observe = observe

    def protect(
        self, feature: Float[Tensor, "batch channels rows columns"], *, random: torch.Generator
    ) -> Protected:
        """See `Defence`; a result with status `diverged` carries the last finite feature."""
        return in_micro_batches(
            feature, self.settings.micro_batch, partial(self._protect, random=random)
        )

    def _protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        start = None
        if self.start:
            begun = self.start.protect(feature, random=random)
            start = begun.feature.detach()
            if begun.status not in (Status.OK, Status.NOT_CONVERGED):
                return Protected(start, begun.status, identified=begun.identified)
        watchers = [self._watcher(owner, feature, random) for owner in self.eavesdroppers]
        target = self.utility.target(feature)
        crafted = feature if start is None else start
        descent = SampleAdam(rate=self.settings.rate)
        convergence = None if watchers else Convergence(tolerance=self.settings.tolerance)
        for step in range(self.settings.steps):
            objective, gradient = self._smooth_part(crafted, target, start)
            for watcher in watchers:
                gradient = gradient + watcher.gradient(crafted, step=step)
            moved = crafted + descent.move(gradient)
            if not bool(torch.isfinite(moved).all()):
                return Protected(crafted, Status.DIVERGED)
            if convergence is not None:
                active = convergence.active(objective)
                if not bool(active.any()):
                    break
                moved = torch.where(active[:, None, None, None], moved, crafted)
            crafted = moved
            if self.observe:
                self.observe(Step(step, crafted, _named_figures(watchers)))
        sizes = [each.flatten(1).square().mean(1) for each in (feature, start) if each is not None]
        size = torch.stack(sizes).amax(0)
        if not bool((utility_loss(crafted, feature) <= FARTHEST * size).all()):
            return Protected(crafted, Status.DIVERGED)
        return self._finish(crafted, feature, target, watchers)

    def _smooth_part(
        self, crafted: Tensor, target: Tensor, start: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The terms that need no eavesdropper, of each sample, and their gradient."""
        leaf = crafted.clone().requires_grad_(True)
        with torch.enable_grad():
            loss = self.settings.utility_weight * self.utility.loss(leaf, target)
            if start is not None:
                loss = loss + utility_loss(leaf, start)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), gradient

    def _watcher(
        self, owner: SimulatedEavesdropper, feature: Tensor, random: torch.Generator
    ) -> _Watcher:
        simulation = owner.watch(feature)
        reference = simulation.reconstruct(feature)
        prior = owner.prior(self.settings.prior_images, random=random).to(feature.device)
        distance = self.settings.distance.begin(reference, prior, random=random)
        return _Watcher(owner, simulation, distance)

    def _finish(
        self, crafted: Tensor, feature: Tensor, target: Tensor, watchers: list[_Watcher]
    ) -> Protected:
        with torch.no_grad():
            kept = self.utility.loss(crafted, target)
        figures = {
            "utility_loss": float(utility_loss(crafted, feature).mean()),
            "task_loss": float(kept.mean()),
        }
        status = Status.OK
        for watcher in watchers:
            image = watcher.simulation.reconstruct(crafted)
            figures |= gap_figures(watcher.owner.name, watcher.distance.gap(image))
            residual = watcher.simulation.residual
            if residual is not None:
                converged = residual <= self.settings.stationarity_limit  # which nan is not
                share = float((~converged).float().mean())
                figures[f"{watcher.owner.name}_unconverged"] = share
                if share > MOST_UNCONVERGED:
                    status = Status.NOT_CONVERGED
        return Protected(crafted, status, figures | _named_figures(watchers))


def _named_figures(watchers: Sequence[_Watcher]) -> dict[str, float]:
    return {
        f"{watcher.owner.name}_{name}": value
        for watcher in watchers
        for name, value in watcher.figures.items()
    }
