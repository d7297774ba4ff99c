"""The gradient through the eavesdropper: how its inversion moves with the feature it sees."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.inversion.linear_solvers import LinearSolver
from fl_crafter.inversion.problem import Linearisation


@dataclass(frozen=True)
class Hypergradient:
    """Gradient of an outer loss with respect to the feature, through the inner argmin.

    Attributes:
        gradient: `[batch, *shape]`, the feature's shape.
        stationarity_residual: norm of the inner gradient of each sample. At a latent that is not
            stationary the result is not a gradient of anything.
        solve_residual: relative residual of the linear system of each sample.
        solution: of that system; a start for the next one, a crafting step later.
    """

    gradient: Float[Tensor, " batch *shape"]
    stationarity_residual: Float[Tensor, " batch"]
    solve_residual: Float[Tensor, " batch"]
    solution: Float[Tensor, "batch latent_size"]


def hypergradient(
    linearisation: Linearisation,
    feature: Float[Tensor, " batch *shape"],
    outer_gradient: Float[Tensor, "batch latent_size"],
    *,
    solver: LinearSolver,
    start: Float[Tensor, "batch latent_size"] | None = None,
) -> Hypergradient:
    """Implicit gradient of an outer loss `l(z*(F))` with respect to the feature `F`.

    At `z*(F) = argmin_z L(z, F)` the implicit function theorem gives
    `dl/dF = -(d2L/dzdF)^T (d2L/dzdz)^-1 dl/dz`. `F` enters `L` only through the least-squares
    residual, so the mixed derivative is exactly `-J^T / size`, and the Hessian is taken in the
    Gauss-Newton approximation, exact where the residual vanishes or `h` is linear:
    `dl/dF = J (J^T J / size + prior)^-1 dl/dz / size`. The Crafter paper has the general form.

    Args:
        linearisation: of the inversion problem, at the inverted latents.
        feature: the features whose inversions they are.
        outer_gradient: `dl/dz` at the inverted latents.
        solver: solves the Gauss-Newton system.
        start: the solution of a system not far from this one.
    """
    solution = solver.solve(
        linearisation.gauss_newton,
        outer_gradient,
        start=start,
        precondition=linearisation.precondition,
    )
    gradient = linearisation.jvp(solution.value) / linearisation.size
    stationarity = linearisation.gradient(feature).norm(dim=1)
    return Hypergradient(gradient, stationarity.detach(), solution.residual, solution.value)


def cosine(first: Tensor, second: Tensor) -> Float[Tensor, " batch"]:
    """Cosine of two batches of gradients, per sample."""
    return torch.cosine_similarity(first.flatten(1), second.flatten(1))
