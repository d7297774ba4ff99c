"""Pixels as latents, and crafting against whoever inverts over them."""

import torch

from fl_crafter.defences.base import Defence
from fl_crafter.defences.crafter.crafter import Crafter, CrafterSettings
from fl_crafter.defences.crafter.distance import CriticSettings
from fl_crafter.defences.crafter.pixels import DecodedStart, PixelSpace
from fl_crafter.defences.crafter.simulated import SimulatedWhiteBox
from fl_crafter.inversion.inverters import LevenbergMarquardt
from fl_crafter.inversion.problem import latent_inversion
from tests.defences.contract import DefenceContract
from tests.world import SIZE, World, pictures, seeded


def over_pixels(world: World, *, weight: float = 0.1) -> SimulatedWhiteBox:
    space = PixelSpace(world.decoder(world.public_feature))
    problem = latent_inversion(space, world.encoder, latent_weight=weight)
    return SimulatedWhiteBox(
        space,
        problem,
        DecodedStart(world.decoder, space),
        first=LevenbergMarquardt(steps=4, inner_iterations=4),
        name="pixels",
    )


class TestPixelsSimulated(DefenceContract):
    def build(self, world: World) -> Defence:
        critic = CriticSettings(widths=(4, 8), warm_up=3, steps=1, batch_size=8)
        settings = CrafterSettings(steps=3, prior_images=16, distance=critic)
        return Crafter([over_pixels(world)], settings=settings)


def test_latents_and_images_are_one_to_one() -> None:
    space = PixelSpace(pictures(32, seed=1))
    image = 0.05 + 0.9 * pictures(4, seed=2)
    torch.testing.assert_close(space(space.latent(image)), image, rtol=1e-4, atol=1e-5)
    extreme = torch.stack([torch.zeros(3, SIZE, SIZE), torch.ones(3, SIZE, SIZE)])
    assert bool(torch.isfinite(space.latent(extreme)).all())


def test_public_faces_are_standard_normal() -> None:
    public = 0.05 + 0.9 * pictures(64, seed=1)
    latent = PixelSpace(public).latent(public)
    torch.testing.assert_close(latent.mean(0), torch.zeros(latent.shape[1]), rtol=0, atol=1e-4)
    assert float(latent.std(0).max()) < 1.01


def test_the_inversion_comes_nearer_than_the_decoder(world: World) -> None:
    eavesdropper = over_pixels(world, weight=1e-4)
    with torch.no_grad():
        decoded = world.encoder(world.decoder(world.feature))
        seen = eavesdropper.watch(world.feature).reconstruct(world.feature)
        inverted = world.encoder(seen)
    distance = [float((each - world.feature).square().mean()) for each in (decoded, inverted)]
    assert distance[1] < 0.5 * distance[0]


def test_its_prior_is_public_faces_as_the_decoder_sees_them(world: World) -> None:
    public = world.decoder(world.public_feature)
    drawn = over_pixels(world).prior(6, random=seeded())
    for face in drawn:
        assert float((public - face).flatten(1).abs().amax(1).min()) == 0
