"""Other priors: generators of other sizes, ranges and framings."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fl_crafter.attacks.base import Attack
from fl_crafter.attacks.hybrid import WhiteBoxHybrid
from fl_crafter.attacks.priors import EigenfaceGenerator, WithEigenfaces
from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.inversion.inverters import LevenbergMarquardt
from fl_crafter.models.adapted import AdaptedGenerator
from tests.attacks.contract import AttackContract, knowledge_of
from tests.world import SIZE, World, pictures, seeded

QUICK = WhiteBoxLatent(inverter=LevenbergMarquardt(steps=3, inner_iterations=4), restarts=1)


class TestWithEigenfaces(AttackContract):
    def build(self) -> Attack:
        return WithEigenfaces(QUICK, latent_size=12)


def test_eigenfaces_span_the_public_faces() -> None:
    image = pictures(30, seed=1)
    generator = EigenfaceGenerator(image, latent_size=29)
    latent = generator.latent_of(image)
    torch.testing.assert_close(generator(latent), image.clamp(0.02, 0.98), atol=1e-3, rtol=0)
    torch.testing.assert_close(latent.mean(0), torch.zeros(29), atol=1e-3, rtol=0)
    torch.testing.assert_close(latent.square().mean(0), torch.ones(29), atol=1e-2, rtol=0)


def test_a_face_that_is_there_twice_adds_no_component() -> None:
    image = pictures(30, seed=1)
    generator = EigenfaceGenerator(torch.cat([image, image[:1]]), latent_size=30)
    assert generator.latent_size == 29
    assert float(generator.latent_of(image).abs().max()) < 10


def test_fewer_eigenfaces_come_less_near() -> None:
    image = pictures(60, seed=1)
    errors = []
    for count in (2, 10, 40):
        generator = EigenfaceGenerator(image, latent_size=count)
        drawn = generator(generator.latent_of(image))
        errors.append(float((drawn - image).square().mean()))
    assert errors == sorted(errors, reverse=True) and errors[2] < 0.1 * errors[0]


@pytest.mark.parametrize("count", [0, 5])
def test_as_many_eigenfaces_as_faces_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="fewer than faces"):
        EigenfaceGenerator(pictures(5, seed=1), latent_size=count)


class Synthesis(nn.Module):
    """As of another project: latents by layer -> images in [-1, 1], larger, in a wider frame."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.weight = nn.Parameter(torch.randn(2, 4, 3 * 8 * 8))

    def forward(self, latent: Tensor) -> Tensor:
        assert latent.shape[1:] == (2, 4)
        image = torch.tanh(torch.einsum("bls,lsp->bp", latent, self.weight) / 2)
        return nn.functional.interpolate(image.view(-1, 3, 8, 8), size=80, mode="bilinear")


def test_a_generator_that_was_brought_along_is_searched(world: World) -> None:
    generator = AdaptedGenerator(
        Synthesis(),
        latent_shape=(2, 4),
        size=SIZE,
        mean=torch.full((2, 4), 0.1),
        deviation=torch.full((2, 4), 0.7),
        crop=(8, 8, 64, 64),
    )
    image = generator.sample(5, random=seeded(6))
    assert image.shape == (5, 3, SIZE, SIZE)
    assert 0 <= float(image.min()) < 0.3 and 0.7 < float(image.max()) <= 1
    knowledge = replace(knowledge_of(world), generator=generator, amortiser=None)
    with torch.no_grad():
        feature = world.encoder(image)
    inverter = LevenbergMarquardt(steps=10, inner_iterations=6)
    attack = WhiteBoxLatent(inverter=inverter, restarts=1, candidates=32)
    found = attack.reconstruct(feature, knowledge, random=seeded()).image
    spread = (image - image.mean(0)).square().mean()
    assert float((found - image).square().mean()) < 0.05 * float(spread)

    hybrid = WhiteBoxHybrid(latent=replace(attack, inverter=replace(inverter, steps=1)), steps=2)
    assert hybrid.reconstruct(feature, knowledge, random=seeded()).image.shape == image.shape


def test_without_an_amortiser_the_mean_face_is_among_the_starts(world: World) -> None:
    knowledge = replace(knowledge_of(world), amortiser=None)
    none = LevenbergMarquardt(steps=0)
    attack = WhiteBoxLatent(inverter=none, candidates=1)
    mean = world.generator(torch.zeros(1, world.generator.latent_size))
    feature = world.encoder(mean)
    found = attack.reconstruct(feature, knowledge, random=seeded()).image
    torch.testing.assert_close(found, mean, atol=1e-4, rtol=1e-3)


def test_a_range_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="white must be more"):
        AdaptedGenerator(Synthesis(), latent_shape=(2, 4), size=SIZE, low=1.0, high=1.0)
