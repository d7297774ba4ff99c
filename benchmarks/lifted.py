"""Residual lifting: crafting in the latent alone, with the feature's residual put back.

A feature is stationary for a latent `z` where its residual is orthogonal to the range of `J(z)`, so
the nearest such feature to `F0` is `h(z) + (I - P(z)) (F0 - h(z))`, with `P` the projector on that
range. The bilevel problem becomes `min_z L_p(G(z)) + utility_weight * mean((P(z) (F0 - h(z)))^2)`.
It is measured here and left out of the package: docs/crafting.md says why.
"""

import torch
from torch import Tensor

from benchmarks.faces import DrawnFaces
from fl_crafter.defences.base import Defence, Protected
from fl_crafter.defences.crafter.crafter import CrafterSettings
from fl_crafter.defences.crafter.simulated import LATENT_WEIGHT, SOLVER, WARM_SOLVER
from fl_crafter.inversion.inverters import LevenbergMarquardt
from fl_crafter.inversion.linear_solvers import LinearSolver
from fl_crafter.inversion.problem import Linearisation, latent_inversion


class Lifted(Defence):
    """See the module.

    Args:
        faces: whose networks are used.
        settings: of the steps over the latent.
    """

    name = "lifted"

    def __init__(self, faces: DrawnFaces, settings: CrafterSettings) -> None:
        self.generator, self.amortiser = faces.generator, faces.amortiser
        problem = latent_inversion(faces.generator, faces.encoder, latent_weight=LATENT_WEIGHT)
        like = torch.empty(0, faces.generator.latent_size, device=faces.device)
        self.problem = problem.preconditioned(like, random=torch.Generator().manual_seed(0))
        self.settings = settings

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        """See `Defence`."""
        settings, generator = self.settings, self.generator
        with torch.no_grad():
            start = self.amortiser(feature)
        inverter = LevenbergMarquardt(steps=3, inner_iterations=3, damping=0.02)
        latent = inverter.invert(self.problem, feature, start=start).latent
        with torch.no_grad():
            reference = generator(latent)
        prior = generator.sample(settings.prior_images, random=random)
        distance = settings.distance.begin(reference, prior, random=random)
        leaf = latent.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([leaf], lr=settings.rate)
        solution = None
        for _ in range(settings.steps):
            at = self.problem.linearise(leaf)
            solver = SOLVER if solution is None else WARM_SOLVER
            inside, solution = _project(at, feature - at.output, solver, solution)
            # P J = J, and the change of P with z is left out
            kept = -2 * at.vjp(inside / at.size)
            with torch.enable_grad():
                image = generator(leaf)
            distance.adapt(image.detach())
            _, image_gradient = distance.privacy_loss(image)
            (hidden,) = torch.autograd.grad(image, leaf, image_gradient)
            leaf.grad = hidden + settings.utility_weight * kept
            optimizer.step()
        at = self.problem.linearise(leaf)
        residual = feature - at.output
        inside, _ = _project(at, residual, SOLVER, solution)
        return Protected(at.output + residual - inside)


def _project(
    at: Linearisation, residual: Tensor, solver: LinearSolver, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The part of the residual in the range of the Jacobian, and its latents."""
    right = at.vjp(residual / at.size)
    solution = solver.solve(at.gauss_newton, right, start=start, precondition=at.precondition).value
    return at.jvp(solution), solution
