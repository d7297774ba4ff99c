"""The eavesdropper's inner problem: the latent whose image has the observed feature."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.inversion.curvature import MeanCurvature
from fl_crafter.inversion.frozen import frozen_copy

LEAST_PROBES = 512
PROBES_PER_DIMENSION = 2  # with fewer than one, nothing would be known of some directions
PROBED_AT_ONCE = 32


@dataclass(frozen=True)
class InversionProblem:
    """One per-sample least-squares objective, used by every solver and every gradient alike.

    `L(z, F) = mean((h(z) - F)^2) / 2 + latent_weight * mean(z^2) / 2`, with
    `h = encoder o generator` (Crafter's, with the squared per-sample residual). The second
    term is the negative log-density of the latent prior and makes the Gauss-Newton matrix positive
    definite.

    Attributes:
        forward: latents `[batch, latent_size]` -> features, with frozen weights.
        latent_weight: weight of the prior, >= 0.
        curvature: of an average face, which preconditions the linear systems; None leaves them as
            they are.
    """

    forward: Callable[[Tensor], Tensor]
    latent_weight: float = 1e-3
    curvature: MeanCurvature | None = None

    def objective(
        self,
        latent: Float[Tensor, "batch latent_size"],
        feature: Float[Tensor, " batch *shape"],
    ) -> Float[Tensor, " batch"]:
        """Objective of each sample."""
        return self.objective_of(self.forward(latent), latent, feature)

    def objective_of(self, output: Tensor, latent: Tensor, feature: Tensor) -> Tensor:
        """Objective of each sample, for a forward result that is already at hand."""
        distance = (output - feature).flatten(1).square().mean(1)
        return 0.5 * (distance + self.latent_weight * latent.square().mean(1))

    def linearise(self, latent: Float[Tensor, "batch latent_size"]) -> "Linearisation":
        """The forward map and its Jacobian at a latent."""
        return Linearisation(self, latent)

    def preconditioned(
        self,
        like: Float[Tensor, "batch latent_size"],
        *,
        random: torch.Generator,
        probes: int | None = None,
    ) -> "InversionProblem":
        """The same problem, with its mean curvature estimated.

        For `z` and a feature-shaped `u` from standard normal distributions, `J(z)^T u` has the
        covariance `E[J^T J]`: a probe costs a forward and a reverse pass.

        Args:
            like: latents of the size, dtype and device that the problem takes.
            random: source of all probes.
            probes: how many; by default 512, or two for each dimension if those are more.
        """
        size = like.shape[1]
        rounds = -(-(probes or max(LEAST_PROBES, PROBES_PER_DIMENSION * size)) // PROBED_AT_ONCE)
        total = torch.zeros(size, size, dtype=torch.float64)
        for _ in range(rounds):
            at = self.linearise(torch.randn(PROBED_AT_ONCE, size, generator=random).to(like))
            row = at.vjp(torch.randn(at.output.shape, generator=random).to(at.output))
            row = row.double().cpu() / (rounds * PROBED_AT_ONCE * at.size) ** 0.5
            total += row.T @ row
        return replace(self, curvature=MeanCurvature.of(total).to(like))


class Linearisation:
    """`h(z)` and products with its Jacobian `J` and with the Gauss-Newton matrix, at one latent.

    All products are per sample and share one forward pass. `J^T u` is a reverse pass; it is linear
    in `u`, so that `J v` is a reverse pass through it, which costs as little. (Forward-mode
    differentiation gives the same at three times the cost: it repeats the forward pass.) No second
    derivative of the network is formed.

    Attributes:
        output: `h(z)`, `[batch, *shape]`, without gradient.
    """

    def __init__(self, problem: InversionProblem, latent: Tensor) -> None:
        self.problem = problem
        self.latent = latent.detach()
        self._leaf = self.latent.clone().requires_grad_(True)
        with torch.enable_grad():
            self._output = problem.forward(self._leaf)
        self.output = self._output.detach()
        self.size = self.output[0].numel()
        self._cotangent: Tensor | None = None
        self._pulled: Tensor | None = None

    def jvp(self, tangent: Float[Tensor, "batch latent_size"]) -> Float[Tensor, " batch *shape"]:
        """`J v` for each sample."""
        if self._pulled is None:
            self._cotangent = torch.zeros_like(self.output, requires_grad=True)
            self._pulled = self._pull(self._cotangent, create_graph=True)
        assert self._cotangent is not None
        if not self._pulled.requires_grad:  # as of a network that rounds
            return torch.zeros_like(self.output)
        return torch.autograd.grad(
            self._pulled, self._cotangent, tangent, retain_graph=True, materialize_grads=True
        )[0]

    def vjp(self, cotangent: Float[Tensor, " batch *shape"]) -> Float[Tensor, "batch latent_size"]:
        """`J^T u` for each sample; 0 where the network passes no gradient on."""
        return self._pull(cotangent)

    def _pull(self, cotangent: Tensor, *, create_graph: bool = False) -> Tensor:
        if not self._output.requires_grad:
            return torch.zeros_like(self.latent)
        return torch.autograd.grad(
            self._output,
            self._leaf,
            cotangent,
            retain_graph=True,
            create_graph=create_graph,
            materialize_grads=True,
        )[0]

    def gradient(
        self, feature: Float[Tensor, " batch *shape"]
    ) -> Float[Tensor, "batch latent_size"]:
        """Gradient of the objective with respect to the latent, of each sample."""
        prior = self.problem.latent_weight / self.latent.shape[1] * self.latent
        return self.vjp((self.output - feature) / self.size) + prior

    def gauss_newton(
        self, vector: Float[Tensor, "batch latent_size"]
    ) -> Float[Tensor, "batch latent_size"]:
        """`(J^T J / size + latent_weight / latent_size * I) v` for each sample."""
        prior = self.problem.latent_weight / self.latent.shape[1] * vector
        return self.vjp(self.jvp(vector) / self.size) + prior

    def curvature(self, vector: Float[Tensor, "batch latent_size"]) -> Float[Tensor, " batch"]:
        """Of the objective along a vector, above 0; of an average face where that is known."""
        known, tiny = self.problem.curvature, torch.finfo(vector.dtype).tiny
        if known is not None:
            return known.quotient(vector).clamp_min(tiny)
        product = self.gauss_newton(vector)
        return ((product * vector).sum(1) / vector.square().sum(1).clamp_min(tiny)).clamp_min(tiny)

    def precondition(
        self,
        vector: Float[Tensor, "batch latent_size"],
        damping: Float[Tensor, " batch"] | float = 0.0,
    ) -> Float[Tensor, "batch latent_size"]:
        """An approximation of `(gauss_newton + damping I)^-1 v`; `v` itself where none is known."""
        if self.problem.curvature is None:
            return vector
        prior = self.problem.latent_weight / self.latent.shape[1]
        shift = vector.new_zeros(len(vector)) + damping + prior
        return self.problem.curvature.inverse(vector, shift)


def latent_inversion(
    generator: nn.Module, encoder: nn.Module, *, latent_weight: float = 1e-3
) -> InversionProblem:
    """The white-box eavesdropper's problem for a frozen generator and encoder.

    Both are copied, with their batch norms folded: gradients to their weights are never formed.
    """
    folded = frozen_copy(nn.Sequential(generator, encoder))

    def forward(latent: Tensor) -> Tensor:
        return folded(latent)

    return InversionProblem(forward, latent_weight)
