"""White-box inversion: planted faces are found, and restarts only help."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fl_crafter.attacks.base import Attack, AttackerKnowledge
from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.inversion.inverters import LevenbergMarquardt, Momentum
from fl_crafter.models.generator import Generator, GeneratorShape
from fl_crafter.models.split import Encoder, freeze
from tests.attacks.contract import AttackContract, knowledge_of
from tests.world import LATENT, World, pictures, seeded

QUICK = LevenbergMarquardt(steps=4, inner_iterations=4)


class TestWhiteBoxLatent(AttackContract):
    def build(self) -> Attack:
        return WhiteBoxLatent(inverter=QUICK, restarts=2, candidates=4, micro_batch=3)

    def test_the_objective_never_rises(self, result) -> None:
        assert len(result.loss_curve) > 1
        assert result.loss_curve == sorted(result.loss_curve, reverse=True)


class Nearly(Generator):
    """A linear generator, but for the sigmoid that keeps images in [0, 1]."""

    def __init__(self) -> None:
        super().__init__(GeneratorShape(LATENT, (2,), 8, 4))
        self.layers = nn.Sequential(nn.Linear(LATENT, 3 * 16 * 16), nn.Unflatten(1, (3, 16, 16)))


class Mean(nn.Module):
    """An amortiser that knows nothing: the mean latent for every feature."""

    def forward(self, feature: Tensor) -> Tensor:
        return torch.zeros(len(feature), LATENT)


@pytest.fixture
def planted() -> AttackerKnowledge:
    torch.manual_seed(0)
    generator, encoder = Nearly(), Encoder(nn.AvgPool2d(2))
    freeze(generator)
    return AttackerKnowledge(
        encoder=encoder,
        public_image=torch.rand(4, 3, 16, 16),
        generator=generator,
        amortiser=Mean(),
        decoder=nn.Identity(),
    )


@pytest.mark.parametrize(
    "inverter",
    [LevenbergMarquardt(steps=10, inner_iterations=LATENT), Momentum(steps=300, rate=5e-3)],
)
def test_planted_faces_are_found(
    planted: AttackerKnowledge, inverter: LevenbergMarquardt | Momentum
) -> None:
    image = planted.generator.sample(20, random=seeded(5))
    attack = WhiteBoxLatent(inverter=inverter, restarts=0, latent_weight=1e-4)
    found = attack.reconstruct(planted.encoder(image), planted, random=seeded()).image
    error = (found - image).square().mean((1, 2, 3))
    spread = (image - image.mean(0)).square().mean()
    assert float(error.max()) < 0.01 * float(spread)


def test_rows_keep_their_order(planted: AttackerKnowledge) -> None:
    image = planted.generator.sample(7, random=seeded(5))
    attack = WhiteBoxLatent(restarts=1, micro_batch=2)
    found = attack.reconstruct(planted.encoder(image), planted, random=seeded()).image
    nearest = torch.cdist(found.flatten(1), image.flatten(1)).argmin(1)
    assert nearest.tolist() == list(range(7))


def feature_distance(world: World, attack: WhiteBoxLatent, feature: Tensor) -> Tensor:
    found = attack.reconstruct(feature, knowledge_of(world), random=seeded()).image
    with torch.no_grad():
        return (world.encoder(found) - feature).square().mean((1, 2, 3))


def test_restarts_never_hurt(world: World) -> None:
    with torch.no_grad():
        feature = world.encoder(pictures(12, seed=9))
    # without the latent prior the objective is the feature distance alone
    attack = WhiteBoxLatent(inverter=QUICK, restarts=0, candidates=1, latent_weight=0.0)
    distances = [
        feature_distance(world, replace(attack, restarts=restarts), feature)
        for restarts in (0, 1, 4)
    ]
    for fewer, more in zip(distances, distances[1:], strict=False):
        assert bool((more <= fewer * (1 + 1e-4)).all())
        assert bool((more < 0.99 * fewer).any())


def test_of_more_candidates_the_nearest_is_taken(world: World) -> None:
    still = LevenbergMarquardt(steps=0)
    attack = WhiteBoxLatent(inverter=still, restarts=1, latent_weight=0.0)
    one, many = (
        feature_distance(world, replace(attack, candidates=count), world.feature)
        for count in (1, 64)
    )
    assert float(many.mean()) < 0.9 * float(one.mean())


def test_more_steps_come_nearer(world: World) -> None:
    attack = WhiteBoxLatent(restarts=0, latent_weight=0.0)
    few, many = (
        feature_distance(
            world, replace(attack, inverter=replace(QUICK, steps=steps)), world.feature
        )
        for steps in (1, 12)
    )
    assert bool((many <= few * (1 + 1e-4)).all()) and float(many.mean()) < float(few.mean())


def test_an_encoder_of_small_features_is_inverted_as_well(world: World) -> None:
    """The prior is weighed against features of their own size."""
    images = []
    for size in (1.0, 0.01):
        encoder = nn.Sequential(world.encoder, _Times(size))
        knowledge = replace(knowledge_of(world), encoder=encoder, amortiser=None)
        attack = WhiteBoxLatent(inverter=QUICK)
        found = attack.reconstruct(size * world.feature, knowledge, random=seeded())
        images.append(found.image)
    torch.testing.assert_close(images[1], images[0], atol=0.02, rtol=0)


class _Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, value: Tensor) -> Tensor:
        return self.factor * value


def test_without_public_faces_no_spread_is_made_up(planted: AttackerKnowledge) -> None:
    alone = replace(planted, public_image=planted.public_image[:1])
    with pytest.raises(ValueError, match="public_image has 1"):
        WhiteBoxLatent().prepare(alone, random=seeded())
