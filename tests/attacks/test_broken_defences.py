"""Three planted broken defences, and what each shows to the attacks."""

from dataclasses import replace

import torch

from fl_crafter.attacks.adaptive import AdaptiveDecoder
from fl_crafter.attacks.base import Attack, AttackerKnowledge
from fl_crafter.attacks.pixels import AdaptivePixels, WhiteBoxChannels, WhiteBoxPixels
from fl_crafter.attacks.queries import Release
from fl_crafter.attacks.suite import run_suite, standard
from fl_crafter.attacks.un_crafter import UnCrafter
from tests.attacks.contract import knowledge_of
from tests.attacks.planted import Mixing, Rounding, one_for_all
from tests.world import World, pictures, seeded

PIXELS = WhiteBoxPixels(steps=80)


def knowing(world: World, release: Release, *, public: int = 24) -> AttackerKnowledge:
    known = replace(knowledge_of(world), public_image=pictures(public, seed=4))
    return replace(known, release=release)


def error(attack: Attack, world: World, release: Release, *, public: int = 24) -> float:
    """How far reconstructions are for the encoder, in units of how far the average picture is."""
    image = pictures(12, seed=3)
    with torch.no_grad():
        clean = world.encoder(image)
        average = world.encoder(image.mean(0, keepdim=True))
    knowledge = knowing(world, release, public=public)
    found = attack.reconstruct(release(clean), knowledge, random=seeded()).image
    with torch.no_grad():
        distance = (world.encoder(found) - clean).square().mean()
    return float(distance / (average - clean).square().mean())


def test_hidden_gradients_hide_no_face_and_are_told(world: World) -> None:
    release = Rounding(0.5)
    through = AdaptivePixels(PIXELS)
    assert error(PIXELS, world, release) < 0.2
    assert error(through, world, release) < 0.2

    with torch.no_grad():
        released = release(world.feature)
    result = through.reconstruct(released, knowing(world, release), random=seeded())
    assert result.zero_gradients == 1
    honest = through.reconstruct(
        world.feature, knowing(world, lambda feature: 2 * feature), random=seeded()
    )
    assert honest.zero_gradients == 0


def test_one_feature_for_all_shows_one_picture_for_all(world: World) -> None:
    knowledge = knowing(world, one_for_all)
    released = one_for_all(world.feature)
    deterministic = [
        each
        for each in standard("smoke")
        if not isinstance(each, WhiteBoxPixels | WhiteBoxChannels)
    ]
    for attack, result in run_suite(deterministic, released, knowledge, random=seeded()):
        spread = (result.image - result.image[0]).abs().max()
        assert float(spread) < 1e-3, attack.name
    undone = UnCrafter().reconstruct(released, knowledge, random=seeded())
    assert min(undone.loss_curve) > 0.9  # nothing of the feature is in what is released


def test_a_fixed_invertible_matrix_is_undone(world: World) -> None:
    release = Mixing()
    assert error(PIXELS, world, release) > 1  # to whoever does not know the defence
    undone = error(UnCrafter(inverter=PIXELS, images=300), world, release, public=300)
    assert undone < 0.2
    learnt = AdaptiveDecoder(images=300, steps=200, learning_rate=3e-3, start="dense")
    assert error(learnt, world, release, public=300) < 0.9
