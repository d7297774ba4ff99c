"""Solvers for a batch of small symmetric positive definite systems, one per sample."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Operator = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LinearSolution:
    """Solution of `A x = b` for each sample.

    Attributes:
        value: `x`, `[batch, size]`.
        residual: `||A x - b|| / ||b||` of each sample, 0 where `b` is 0.
    """

    value: Float[Tensor, "batch size"]
    residual: Float[Tensor, " batch"]


class LinearSolver(ABC):
    """Solves `A x = b` for a batch of operators given by their products."""

    @abstractmethod
    def solve(
        self,
        operator: Operator,
        right: Float[Tensor, "batch size"],
        *,
        start: Float[Tensor, "batch size"] | None = None,
        precondition: Operator | None = None,
    ) -> LinearSolution:
        """Solve for each sample; the samples never see each other.

        Args:
            operator: products with `A`, `[batch, size]` -> `[batch, size]`.
            right: `b`.
            start: a guess of `x`, such as the solution of a system not far from this one; 0 by
                default.
            precondition: products with a symmetric positive definite approximation of the inverse
                of `A`, for solvers that gain from one.
        """


def _relative(residual: Tensor, right: Tensor) -> Tensor:
    norm = right.norm(dim=1)
    return torch.where(norm > 0, residual.norm(dim=1) / norm.clamp_min(1e-30), 0.0)


@dataclass(frozen=True)
class ConjugateGradient(LinearSolver):
    """Conjugate gradients with one step length per sample.

    Attributes:
        iterations: most products with the operator.
        tolerance: a sample whose relative residual is below this moves no further.
    """

    iterations: int = 6
    tolerance: float = 1e-6

    def solve(
        self,
        operator: Operator,
        right: Tensor,
        *,
        start: Tensor | None = None,
        precondition: Operator | None = None,
    ) -> LinearSolution:
        """See `LinearSolver`; memory is five vectors. A start costs one product."""
        divide = precondition or (lambda vector: vector)
        value = torch.zeros_like(right) if start is None else start
        residual = right.clone() if start is None else right - operator(start)
        direction = divide(residual)
        energy = (residual * direction).sum(1)
        target = right.square().sum(1) * self.tolerance**2
        going = residual.square().sum(1) > target
        for _ in range(self.iterations):
            if not bool(going.any()):
                break
            product = operator(direction)
            curvature = (direction * product).sum(1)
            # a sample that is done, or that meets a direction without curvature, takes no step
            going = going & (curvature > 0)
            length = torch.where(going, energy / torch.where(going, curvature, 1.0), 0.0)
            value = value + length[:, None] * direction
            residual = residual - length[:, None] * product
            going = going & (residual.square().sum(1) > target)
            divided = divide(residual)
            renewed = (residual * divided).sum(1)
            ratio = torch.where(going, renewed / torch.where(going, energy, 1.0), 0.0)
            direction = divided + ratio[:, None] * direction
            energy = renewed
        return LinearSolution(value, _relative(residual, right))


@dataclass(frozen=True)
class Neumann(LinearSolver):
    """The truncated Neumann series `x = step * sum_k (I - step A)^k b`, as published.

    For comparison: where `step * A` is small it has hardly begun after all its terms, and a mean
    over a batch in the objective makes `A` as small as the batch is large.

    Attributes:
        terms: of the series, one product each.
        step: must be below twice the reciprocal of the largest eigenvalue.
    """

    terms: int = 120
    step: float = 1e-3

    def solve(
        self,
        operator: Operator,
        right: Tensor,
        *,
        start: Tensor | None = None,
        precondition: Operator | None = None,
    ) -> LinearSolution:
        """See `LinearSolver`; memory is three vectors."""
        value = torch.zeros_like(right) if start is None else start
        rest = right.clone() if start is None else right - operator(start)
        for _ in range(self.terms):
            value = value + self.step * rest
            rest = rest - self.step * operator(rest)
        # what is left of the right-hand side is the residual, by construction
        return LinearSolution(value, _relative(rest, right))


@dataclass(frozen=True)
class Dense(LinearSolver):
    """Builds each sample's matrix column by column and factorises it: exact, for small systems."""

    def solve(
        self,
        operator: Operator,
        right: Tensor,
        *,
        start: Tensor | None = None,
        precondition: Operator | None = None,
    ) -> LinearSolution:
        """See `LinearSolver`; costs `size` products, and a start saves none."""
        batch, size = right.shape
        basis = torch.eye(size, dtype=right.dtype, device=right.device)
        columns = [operator(row.expand(batch, size).contiguous()) for row in basis]
        matrix = torch.stack(columns, dim=2)
        value = torch.linalg.solve(matrix, right)
        return LinearSolution(value, _relative((matrix @ value[..., None])[..., 0] - right, right))
