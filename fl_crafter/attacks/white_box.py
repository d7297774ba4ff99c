"""White-box inversion over a generator's latents."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.descent import without_gradient
from fl_crafter.inversion.inverters import Inverter, LevenbergMarquardt
from fl_crafter.inversion.problem import InversionProblem, latent_inversion
from fl_crafter.progress import in_parts


@dataclass(frozen=True)
class WhiteBoxLatent(Attack):
    """Minimises the feature distance over latents; keeps each sample's best of several starts.

    The published attack takes 600 momentum steps from one random start. This one takes damped
    Gauss-Newton steps from an amortised start and, if asked, from the best of several random ones
    (which never won over the amortised start on the ORL faces), and chooses among the results by
    the objective, never by the truth.

    Attributes:
        inverter: runs from every start.
        restarts: random starts beside the amortised one.
        candidates: latents drawn for each random start, of which the nearest in feature is taken.
        latent_weight: of the latent prior in the objective, in units of the variance of public
            features.
        micro_batch: features inverted at once.
        probes: of the average curvature; see `InversionProblem.preconditioned`.
        problem: what is minimised, with the average curvature that preconditions it; None
            estimates that on the first features seen.
    """

    inverter: Inverter = LevenbergMarquardt(steps=8, inner_iterations=4, damping=1e-3)
    restarts: int = 0
    candidates: int = 8
    latent_weight: float = 6e-4
    micro_batch: int = 32
    probes: int | None = None
    problem: InversionProblem | None = field(default=None, repr=False, compare=False)
    name: str = "white_box_latent"

    def prepare(self, knowledge: AttackerKnowledge, *, random: torch.Generator) -> "WhiteBoxLatent":
        """See `Attack`; estimates the average curvature.

        Raises:
            ValueError: fewer than two public faces, which tell no spread of features.
        """
        if len(knowledge.public_image) < 2:
            raise ValueError(
                f"{self.name} needs two public faces at least, to tell how much features vary; "
                f"AttackerKnowledge.public_image has {len(knowledge.public_image)}"
            )
        # an encoder of small features must not leave the prior alone
        some = knowledge.public_feature()
        weight = self.latent_weight * float(some.var(0).mean().clamp_min(1e-12))
        problem = latent_inversion(knowledge.generator, knowledge.encoder, latent_weight=weight)
        like = torch.empty(0, knowledge.generator.latent_size, device=knowledge.device)
        return replace(
            self, problem=problem.preconditioned(like, random=random, probes=self.probes)
        )

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`; the curve is the mean objective from the first start."""
        latent, curve = self.find_latents(feature, knowledge, random=random)
        problem = latent_inversion(knowledge.generator, knowledge.encoder)
        images, still = [], []
        for part in latent.split(self.micro_batch):
            with torch.no_grad():
                images.append(knowledge.generator(part))
            # at the optimum the objective has no gradient either: of a drawn direction instead
            at = problem.linearise(part)
            drawn = torch.randn(at.output.shape, generator=torch.Generator().manual_seed(0))
            still.append(without_gradient(at.vjp(drawn.to(at.output))))
        return Reconstruction(torch.cat(images), curve, float(torch.cat(still).float().mean()))

    def find_latents(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> tuple[Float[Tensor, "batch latent_size"], list[float]]:
        """The latents of the reconstructions, and the curve; arguments as of `reconstruct`.

        Without an amortiser the first start is the best of random ones and the mean face.
        """
        if self.problem is None:
            prepared = self.prepare(knowledge, random=random)
            return prepared.find_latents(feature, knowledge, random=random)
        problem = self.problem
        latents, curves = [], []
        for part in in_parts(feature, self.micro_batch, title=self.name):
            if knowledge.amortiser is None:
                start = self._random_start(problem, part, knowledge, random, mean=True)
            else:
                with torch.no_grad():
                    start = knowledge.amortiser(part)
            best = self.inverter.invert(problem, part, start=start)
            latent, objective = best.latent, best.objective
            for _ in range(self.restarts):
                start = self._random_start(problem, part, knowledge, random)
                other = self.inverter.invert(problem, part, start=start)
                better = other.objective < objective
                latent = torch.where(better[:, None], other.latent, latent)
                objective = torch.where(better, other.objective, objective)
            latents.append(latent)
            curves.append(torch.tensor([*best.curve, float(objective.mean())]) * len(part))
        return torch.cat(latents), (torch.stack(curves).sum(0) / len(feature)).tolist()

    def _random_start(
        self,
        problem: InversionProblem,
        feature: Tensor,
        knowledge: AttackerKnowledge,
        random: torch.Generator,
        *,
        mean: bool = False,
    ) -> Tensor:
        size = knowledge.generator.latent_size
        drawn = torch.randn(self.candidates, size, generator=random).to(feature)
        if mean:  # where latents have many dimensions nearer than any face that is drawn
            drawn = torch.cat([drawn, torch.zeros_like(drawn[:1])])
        with torch.no_grad():
            output = problem.forward(drawn)
        return drawn[torch.cdist(feature.flatten(1), output.flatten(1)).argmin(1)]
