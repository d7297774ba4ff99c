"""A search for the task's outputs sees through what keeps them and nothing else."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fl_crafter.attacks.base import Attack, AttackerKnowledge
from fl_crafter.attacks.outputs import ThroughOutputs
from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.inversion.inverters import LevenbergMarquardt
from fl_crafter.models.split import Encoder, freeze
from tests.attacks.contract import AttackContract, knowledge_of
from tests.world import LATENT, SIZE, World, seeded

INNER = WhiteBoxLatent(
    inverter=LevenbergMarquardt(steps=15, inner_iterations=LATENT, damping=1e-3),
    latent_weight=1e-4,
    restarts=3,
)


class TestThroughOutputs(AttackContract):
    def build(self) -> Attack:
        quick = LevenbergMarquardt(steps=3, inner_iterations=3)
        return ThroughOutputs(replace(INNER, inverter=quick, candidates=4))


class Telling(nn.Module):
    """A model of the task with more outputs than there are latents, of every second column."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(3 * (SIZE // 4) * (SIZE // 8), 12)

    def forward(self, feature: Tensor) -> Tensor:
        return self.read(feature[..., ::2].flatten(1))


@pytest.fixture(scope="module")
def telling(world: World) -> AttackerKnowledge:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        cloud = Telling()
    freeze(cloud)
    return replace(knowledge_of(world), encoder=Encoder(nn.AvgPool2d(4)), cloud=cloud)


def test_what_the_task_does_not_read_may_be_anything(telling: AttackerKnowledge) -> None:
    image = telling.generator.sample(6, random=seeded(5))
    released = telling.encoder(image).clone()
    released[..., 1::2] = torch.rand(released[..., 1::2].shape, generator=seeded(6))

    def error(attack: Attack) -> float:
        found = attack.reconstruct(released, replace(telling, amortiser=None), random=seeded())
        return float((found.image - image).square().mean() / image.var(0).mean())

    assert error(ThroughOutputs(INNER)) < 0.1
    assert error(INNER) > 0.3


def test_without_the_model_of_the_task_it_does_not_apply(world: World) -> None:
    blind = replace(knowledge_of(world), cloud=None)
    attack = ThroughOutputs(INNER)
    assert not attack.applies(blind)
    assert attack.prepare(blind, random=seeded()) is attack
    with pytest.raises(ValueError, match="AttackerKnowledge.cloud"):
        attack.reconstruct(world.feature, blind, random=seeded())
