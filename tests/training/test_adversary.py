"""The adversarial term: the critic learns what is real, and pulls the other images there."""

import torch
from torch import Tensor, nn

from fl_crafter.training.adversary import Adversary


class Brightness(nn.Module):
    """A critic that looks at the mean pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, image: Tensor) -> Tensor:
        return self.weight * (image.mean((1, 2, 3)) - 0.5)


REAL, FAKE = torch.full((4, 3, 8, 8), 0.9), torch.full((4, 3, 8, 8), 0.2)


def test_the_critic_learns_and_its_judgement_pulls_towards_what_is_real() -> None:
    adversary = Adversary(Brightness(), rate=0.1, r1_weight=0.0)
    gaps = [adversary.learn(REAL, FAKE, index=index) for index in range(30)]
    assert gaps[0] == 0 and gaps == sorted(gaps) and gaps[-1] > 1
    assert adversary.judgement(REAL) < torch.log(torch.tensor(2.0)) < adversary.judgement(FAKE)
    fake = FAKE.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(adversary.judgement(fake), fake)
    assert float(slope.max()) < 0, "brighter is more real"


def test_the_penalty_keeps_the_critic_flat_and_comes_every_eighth_step() -> None:
    free, held, spared = (
        Adversary(Brightness(), rate=0.1, r1_weight=weight) for weight in (0.0, 1e4, 1e4)
    )
    for index in range(30):
        free.learn(REAL, FAKE, index=index)
        held.learn(REAL, FAKE, index=8 * index)
        spared.learn(REAL, FAKE, index=8 * index + 1)
    steep = [abs(float(each.critic.weight.detach())) for each in (free, held, spared)]
    assert steep[1] < 0.5 * steep[0]
    assert steep[2] == steep[0]


def test_what_it_judges_gets_no_gradient_while_it_learns() -> None:
    fake = FAKE.clone().requires_grad_(True)
    Adversary(Brightness(), rate=0.1, r1_weight=1.0).learn(REAL, fake, index=0)
    assert fake.grad is None
