"""Simulated eavesdroppers: how an attacker would see a feature, and how that moves with it.

A simulated eavesdropper turns features into reconstructions and pulls a gradient on reconstructions
back to the features. The defence knows nothing else of it, so any of them can be combined.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.chunks import in_chunks
from fl_crafter.defences.crafter.pixels import PixelSpace
from fl_crafter.inversion.hypergradient import hypergradient
from fl_crafter.inversion.inverters import LevenbergMarquardt
from fl_crafter.inversion.linear_solvers import ConjugateGradient, LinearSolver
from fl_crafter.inversion.problem import InversionProblem
from fl_crafter.models.generator import Generator

# On the shipped networks, of eight faces the one that comes out worst: preconditioned, 12
# iterations reach a cosine of .998 to the solution and 4 reach .95; plain, 20 reach .98 and 4 .74.
LATENT_WEIGHT = 0.1
SOLVER = ConjugateGradient(iterations=12)
# From the solution of the step before, a few iterations are enough.
WARM_SOLVER = ConjugateGradient(iterations=3)
# Of pixels, with standard normal latents, whose curvature is too large a matrix to precondition
# with: 20 iterations reach .70 with a weight of .1, and .93 with 1.
PIXEL_WEIGHT = 1.0
PIXEL_SOLVER = ConjugateGradient(iterations=20)


@dataclass(frozen=True)
class Pullback:
    """A gradient pulled back to the features.

    Attributes:
        gradient: `[batch, *shape]`.
        figures: residuals that say how far the gradient can be trusted, by name.
    """

    gradient: Float[Tensor, " batch *shape"]
    figures: dict[str, float]


class Simulation(ABC):
    """One eavesdropper watching one batch of features while they are crafted.

    Attributes:
        residual: of each sample, how far the last reconstruction is from the eavesdropper's
            optimum: the norm of its inner gradient; None where it solves nothing.
    """

    residual: Float[Tensor, " batch"] | None = None

    @abstractmethod
    def reconstruct(
        self, feature: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """What the eavesdropper sees of the features now; images in [0, 1], no gradient."""

    @abstractmethod
    def pull_back(self, image_gradient: Float[Tensor, "batch 3 height width"]) -> Pullback:
        """Gradient of a loss on the last reconstruction, with respect to the features."""


class SimulatedEavesdropper(ABC):
    """A kind of eavesdropper that the defence simulates.

    Attributes:
        name: short, for figures.
        weight: of its privacy loss against those of the others.
        refresh: crafting steps that share one of its gradients, more than one where it is costly.
    """

    name: str
    weight: float
    refresh: int

    @abstractmethod
    def watch(self, feature: Float[Tensor, "batch channels rows columns"]) -> Simulation:
        """Begin to watch a batch, from its clean features."""

    @abstractmethod
    def prior(
        self, count: int, *, random: torch.Generator
    ) -> Float[Tensor, "count 3 height width"]:
        """Faces of nobody in particular, as this eavesdropper would see them."""


class _DecoderSimulation(Simulation):
    def __init__(self, decoder: nn.Module) -> None:
        self.decoder = decoder

    def reconstruct(self, feature: Tensor) -> Tensor:
        self._feature = feature.detach().requires_grad_(True)
        with torch.enable_grad():
            self._image = self.decoder(self._feature)
        return self._image.detach()

    def pull_back(self, image_gradient: Tensor) -> Pullback:
        (gradient,) = torch.autograd.grad(self._image, self._feature, image_gradient)
        return Pullback(gradient, {})


@dataclass(frozen=True)
class SimulatedDecoder(SimulatedEavesdropper):
    """An eavesdropper that decodes features directly; its gradient is a plain one.

    Attributes:
        decoder: frozen, features -> images in [0, 1].
        public_feature: features of public faces, its prior.
    """

    decoder: nn.Module
    public_feature: Float[Tensor, "count channels rows columns"]
    weight: float = 1.0
    refresh: int = 1
    name: str = "decoder"

    def watch(self, feature: Tensor) -> Simulation:
        """See `SimulatedEavesdropper`."""
        return _DecoderSimulation(self.decoder)

    def prior(self, count: int, *, random: torch.Generator) -> Tensor:
        """See `SimulatedEavesdropper`."""
        chosen = torch.randint(len(self.public_feature), (count,), generator=random)
        return in_chunks(self.decoder, self.public_feature[chosen])


class _LatentSimulation(Simulation):
    """Keeps the inversion up to date: the latent moves little between two outer steps."""

    def __init__(self, owner: "SimulatedWhiteBox", feature: Tensor) -> None:
        self.owner = owner
        start = owner.amortiser(feature).detach()
        self.latent = owner.first.invert(owner.problem, feature, start=start).latent
        self._solution: Tensor | None = None

    def reconstruct(self, feature: Tensor) -> Tensor:
        owner = self.owner
        self.feature = feature.detach()
        inversion = owner.warm.invert(owner.problem, self.feature, start=self.latent)
        self.latent, self.residual = inversion.latent, inversion.stationarity_residual
        self._at = inversion.linearisation or owner.problem.linearise(self.latent)
        self._leaf = self.latent.clone().requires_grad_(True)
        with torch.enable_grad():
            self._image = owner.generator(self._leaf)
        return self._image.detach()

    def pull_back(self, image_gradient: Tensor) -> Pullback:
        (outer,) = torch.autograd.grad(self._image, self._leaf, image_gradient)
        owner = self.owner
        solver = owner.first_solver if self._solution is None else owner.warm_solver
        result = hypergradient(self._at, self.feature, outer, solver=solver, start=self._solution)
        self._solution = result.solution
        figures = {
            "stationarity_residual": float(result.stationarity_residual.mean()),
            "solve_residual": float(result.solve_residual.mean()),
        }
        return Pullback(result.gradient, figures)


@dataclass(frozen=True)
class SimulatedWhiteBox(SimulatedEavesdropper):
    """The paper's eavesdropper: inverts features over a generator's latents.

    Its gradient goes through the inner argmin (`hypergradient`); the inversion is amortised at the
    start, then warm-started from one outer step to the next.

    Attributes:
        generator: frozen, latents -> images in [0, 1]; of faces, or of any pixels.
        problem: inner problem for that generator and the victim's encoder.
        amortiser: frozen, features -> first latents.
        first: inverter of the clean features.
        warm: inverter from one outer step to the next.
        first_solver: of the first hypergradient's linear system.
        warm_solver: of the later ones, each from the solution before.
    """

    generator: Generator | PixelSpace
    problem: InversionProblem
    amortiser: nn.Module
    first: LevenbergMarquardt = LevenbergMarquardt(steps=3, inner_iterations=3, damping=0.02)
    warm: LevenbergMarquardt = LevenbergMarquardt(steps=1, inner_iterations=2)
    first_solver: LinearSolver = SOLVER
    warm_solver: LinearSolver = WARM_SOLVER
    weight: float = 1.0
    refresh: int = 5
    name: str = "latent"

    def watch(self, feature: Tensor) -> Simulation:
        """See `SimulatedEavesdropper`."""
        return _LatentSimulation(self, feature)

    def prior(self, count: int, *, random: torch.Generator) -> Tensor:
        """See `SimulatedEavesdropper`."""
        return self.generator.sample(count, random=random)
