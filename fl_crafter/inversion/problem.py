"""The eavesdropper's inner problem: the latent whose image has the observed feature."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.inversion.fold import fold_batch_norm


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
    """

    forward: Callable[[Tensor], Tensor]
    latent_weight: float = 1e-3

    def objective(
        self,
        latent: Float[Tensor, "batch latent_size"],
        feature: Float[Tensor, "batch *shape"],
    ) -> Float[Tensor, "batch"]:
        """Objective of each sample."""
        return self.objective_of(self.forward(latent), latent, feature)

    def objective_of(self, output: Tensor, latent: Tensor, feature: Tensor) -> Tensor:
        """Objective of each sample, for a forward result that is already at hand."""
        distance = (output - feature).flatten(1).square().mean(1)
        return 0.5 * (distance + self.latent_weight * latent.square().mean(1))

    def linearise(self, latent: Float[Tensor, "batch latent_size"]) -> "Linearisation":
        """The forward map and its Jacobian at a latent."""
        return Linearisation(self, latent)


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

    def jvp(self, tangent: Float[Tensor, "batch latent_size"]) -> Float[Tensor, "batch *shape"]:
        """`J v` for each sample."""
        if self._pulled is None:
            self._cotangent = torch.zeros_like(self.output, requires_grad=True)
            (self._pulled,) = torch.autograd.grad(
                self._output, self._leaf, self._cotangent, create_graph=True
            )
        assert self._cotangent is not None
        return torch.autograd.grad(self._pulled, self._cotangent, tangent, retain_graph=True)[0]

    def vjp(self, cotangent: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch latent_size"]:
        """`J^T u` for each sample."""
        return torch.autograd.grad(self._output, self._leaf, cotangent, retain_graph=True)[0]

    def gradient(
        self, feature: Float[Tensor, "batch *shape"]
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


def latent_inversion(
    generator: nn.Module, encoder: nn.Module, *, latent_weight: float = 1e-3
) -> InversionProblem:
    """The white-box eavesdropper's problem for a frozen generator and encoder.

    Both are copied, with their batch norms folded: gradients to their weights are never formed.
    """
    folded = fold_batch_norm(nn.Sequential(generator, encoder))

    def forward(latent: Tensor) -> Tensor:
        return folded(latent)

    return InversionProblem(forward, latent_weight)
