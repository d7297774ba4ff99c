"""A critic that learns beside the network it judges: the adversarial term of a trainer's loss."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

R1_EVERY = 8


class Adversary:
    """The non-saturating loss with the lazy R1 penalty (Mescheder et al. 2018).

    Args:
        critic: images in [0, 1] -> one score each; is trained in place.
        rate: its constant learning rate.
        r1_weight: of the penalty, applied every 8th step.
    """

    def __init__(self, critic: nn.Module, *, rate: float, r1_weight: float) -> None:
        self.critic, self.r1_weight = critic, r1_weight
        self.optimizer = torch.optim.Adam(critic.parameters(), lr=rate, betas=(0.0, 0.99))

    def learn(
        self,
        real: Float[Tensor, "count 3 height width"],
        fake: Float[Tensor, "count 3 height width"],
        *,
        index: int,
    ) -> float:
        """One update of the critic at step `index`; returns how far apart it holds the two."""
        penalised = index % R1_EVERY == 0
        real = real.detach().requires_grad_(penalised)
        real_score, fake_score = self.critic(real), self.critic(fake.detach())
        loss = F.softplus(-real_score).mean() + F.softplus(fake_score).mean()
        if penalised:
            (slope,) = torch.autograd.grad(real_score.sum(), real, create_graph=True)
            size = slope.square().sum((1, 2, 3)).mean()
            loss = loss + R1_EVERY * self.r1_weight / 2 * size
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return (real_score.mean() - fake_score.mean()).item()

    def judgement(self, fake: Float[Tensor, "count 3 height width"]) -> Float[Tensor, ""]:
        """The term that the judged network minimises; 0 where all its images pass for real."""
        return F.softplus(-self.critic(fake)).mean()
