"""Inverters: solve the eavesdropper's inner problem from a start."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.inversion.linear_solvers import ConjugateGradient
from fl_crafter.inversion.problem import InversionProblem, Linearisation


@dataclass(frozen=True)
class Inversion:
    """Result of an inversion.

    Attributes:
        latent: `[batch, latent_size]`, the best seen.
        objective: inner objective of each sample.
        stationarity_residual: norm of the inner gradient of each sample.
        curve: mean objective after each step, the start first.
        linearisation: at `latent`, where the inverter has it at hand: the hypergradient needs it.
    """

    latent: Float[Tensor, "batch latent_size"]
    objective: Float[Tensor, " batch"]
    stationarity_residual: Float[Tensor, " batch"]
    curve: list[float]
    linearisation: Linearisation | None = None


class Inverter(ABC):
    """Finds the latents of a batch of features; the samples never see each other."""

    @abstractmethod
    def invert(
        self,
        problem: InversionProblem,
        feature: Float[Tensor, " batch *shape"],
        *,
        start: Float[Tensor, "batch latent_size"],
    ) -> Inversion:
        """Minimise the objective of each sample from `start`."""


@dataclass(frozen=True)
class LevenbergMarquardt(Inverter):
    """Damped Gauss-Newton steps, with a damping and an acceptance test per sample.

    Attributes:
        steps: most steps.
        inner_iterations: conjugate-gradient iterations per step.
        damping: first damping, relative to the curvature along the first gradient.
    """

    steps: int = 12
    inner_iterations: int = 6
    damping: float = 0.1

    def invert(
        self,
        problem: InversionProblem,
        feature: Float[Tensor, " batch *shape"],
        *,
        start: Float[Tensor, "batch latent_size"],
    ) -> Inversion:
        """See `Inverter`; the objective of a sample never rises."""
        solver = ConjugateGradient(self.inner_iterations)
        latent = start.detach()
        at = problem.linearise(latent)
        objective = problem.objective_of(at.output, latent, feature)
        gradient = at.gradient(feature)
        damping = self.damping * at.curvature(gradient)
        curve = [float(objective.mean())]
        for _ in range(self.steps):

            def damped(vector: Tensor, at: Linearisation = at, damping: Tensor = damping) -> Tensor:
                return at.gauss_newton(vector) + damping[:, None] * vector

            divide = partial(at.precondition, damping=damping)
            move = solver.solve(damped, -gradient, precondition=divide).value
            trial = latent + move
            trial_at = problem.linearise(trial)
            trial_objective = problem.objective_of(trial_at.output, trial, feature)
            better = trial_objective < objective
            damping = torch.where(better, damping / 3, damping * 4)
            if not bool(better.any()):
                curve.append(curve[-1])
                continue
            latent = torch.where(better[:, None], trial, latent)
            objective = torch.where(better, trial_objective, objective)
            curve.append(float(objective.mean()))
            at = trial_at if bool(better.all()) else problem.linearise(latent)
            gradient = at.gradient(feature)
        return Inversion(latent, objective.detach(), gradient.norm(dim=1), curve, at)


class FirstOrder(Inverter):
    """Descends along the gradient alone, and keeps the best latent of each sample, not the last.

    Attributes:
        steps: number of steps.
    """

    steps: int

    @abstractmethod
    def mover(self) -> Callable[[Tensor], Tensor]:
        """A function from one gradient after another to the move that it asks for."""

    def invert(
        self,
        problem: InversionProblem,
        feature: Float[Tensor, " batch *shape"],
        *,
        start: Float[Tensor, "batch latent_size"],
    ) -> Inversion:
        """See `Inverter`."""
        move = self.mover()
        latent = best = start.detach()
        best_objective = best_norm = torch.full_like(latent[:, 0], torch.inf)
        curve = []
        for index in range(self.steps + 1):
            at = problem.linearise(latent)
            objective = problem.objective_of(at.output, latent, feature)
            gradient = at.gradient(feature)
            better = objective < best_objective
            best = torch.where(better[:, None], latent, best)
            best_norm = torch.where(better, gradient.norm(dim=1), best_norm)
            best_objective = torch.where(better, objective, best_objective)
            curve.append(float(objective.mean()))
            if index < self.steps:
                latent = latent + move(at.size * gradient)
        return Inversion(best, best_objective, best_norm, curve)


@dataclass(frozen=True)
class Momentum(FirstOrder):
    """Gradient descent with momentum, as published: 600 steps, or 80 after an amortised start.

    Attributes:
        steps: number of steps.
        rate: step length for the gradient of a sum over the feature's elements, as published.
        momentum: share of the last move that is kept.
    """

    steps: int = 600
    rate: float = 5e-3
    momentum: float = 0.9

    def mover(self) -> Callable[[Tensor], Tensor]:
        """See `FirstOrder`."""
        velocity: Tensor | float = 0.0

        def move(gradient: Tensor) -> Tensor:
            nonlocal velocity
            velocity = self.momentum * velocity - self.rate * gradient
            return velocity

        return move


@dataclass(frozen=True)
class Adam(FirstOrder):
    """Adam; its moments are elementwise, so the samples stay apart.

    Attributes:
        steps: number of steps.
        rate: its learning rate.
        betas: of its two moments.
    """

    steps: int = 600
    rate: float = 2e-2
    betas: tuple[float, float] = (0.9, 0.999)

    def mover(self) -> Callable[[Tensor], Tensor]:
        """See `FirstOrder`."""
        first, second = self.betas
        mean: Tensor | float = 0.0
        square: Tensor | float = 0.0
        count = 0

        def move(gradient: Tensor) -> Tensor:
            nonlocal mean, square, count
            count += 1
            mean = first * mean + (1 - first) * gradient
            square = second * square + (1 - second) * gradient.square()
            unbiased = (square / (1 - second**count)).sqrt()
            return -self.rate * mean / (1 - first**count) / (unbiased + 1e-8)

        return move
