"""The authors' loop does what its description says, before it is compared with."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmarks.crafting import summarise
from benchmarks.lifted import _project
from benchmarks.published_loop import PublishedLoop, PublishedSettings, PublishedStep
from fl_crafter.defences.crafter.distance import CriticSettings, PairedCritic
from fl_crafter.inversion.hypergradient import cosine, hypergradient
from fl_crafter.inversion.linear_solvers import Dense
from fl_crafter.inversion.problem import latent_inversion
from tests.world import LATENT, World, seeded

CRITIC = CriticSettings(widths=(4, 8), warm_up=2, steps=1, batch_size=4)
SETTINGS = PublishedSettings(
    outer_steps=2, inner_steps=5, terms=3, critic=CRITIC, prior_images=8, inner_rate=1e-3
)


def loop(world: World, feature: Tensor, settings: PublishedSettings = SETTINGS) -> PublishedLoop:
    return PublishedLoop(
        world.encoder,
        world.generator,
        world.amortiser,
        feature,
        settings=settings,
        random=seeded(),
    )


def test_every_step_is_observed_and_timed(world: World) -> None:
    steps: list[PublishedStep] = []
    loop(world, world.feature).run(steps.append)
    assert len(steps) == SETTINGS.outer_steps
    assert steps[0].seconds.keys() == {"inversion", "critic", "neumann"}
    assert sum(steps[1].seconds.values()) > sum(steps[0].seconds.values()) > 0
    moved = (steps[0].feature - world.feature).abs().max()
    assert float(moved) == pytest.approx(SETTINGS.rate, rel=1e-3), "Adam's first step"
    assert all(bool(torch.isfinite(step.feature).all()) for step in steps)


def test_the_victims_networks_are_left_alone(world: World) -> None:
    before = [value.clone() for value in world.generator.state_dict().values()]
    loop(world, world.feature).run(lambda step: None)
    after = world.generator.state_dict().values()
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert not any(each.requires_grad for each in world.generator.parameters())


def test_its_inversion_descends(world: World) -> None:
    made = loop(world, world.feature)
    short, long = (
        loop(world, world.feature, replace(SETTINGS, inner_steps=count)) for count in (0, 40)
    )
    latents = [each._invert() for each in (short, long)]
    with torch.no_grad():
        before, after = (float(made._inner_loss(each, world.feature)) for each in latents)
    assert after < before


def test_for_one_face_its_series_comes_to_the_implicit_gradient(world: World) -> None:
    problem = latent_inversion(world.generator, world.encoder, latent_weight=0.0)
    latent = torch.randn(1, LATENT, generator=seeded(1))
    feature = problem.forward(latent)
    curvature = problem.linearise(latent).gauss_newton(latent).norm() / latent.norm()
    step = 0.2 / float(curvature) / 2 / feature[0].numel()
    made = loop(world, feature, replace(SETTINGS, terms=3000, term_step=step))
    with torch.no_grad():
        reference, prior = world.generator(latent), world.generator.sample(8, random=seeded(2))
    critic = PairedCritic(reference, prior, settings=CRITIC, random=seeded(3))
    theirs = made._implicit(critic, latent)
    leaf = latent.clone().requires_grad_(True)
    image = world.generator(leaf)
    _, image_gradient = critic.privacy_loss(image.detach())
    (outer,) = torch.autograd.grad(image, leaf, image_gradient)
    ours = hypergradient(problem.linearise(latent), feature, outer, solver=Dense()).gradient
    assert float(cosine(theirs, ours)) > 0.98
    assert made.solve_residual < 0.2


def test_lifting_leaves_what_the_latent_cannot_say(world: World) -> None:
    problem = latent_inversion(world.generator, world.encoder, latent_weight=0.0)
    at = problem.linearise(torch.randn(2, LATENT, generator=seeded(1)))
    residual = torch.randn(at.output.shape, generator=seeded(2))
    inside, _ = _project(at, residual, Dense(), None)
    scale = at.vjp(residual).norm()
    assert float(at.vjp(residual - inside).norm()) < 1e-2 * float(scale)
    again, _ = _project(at, inside, Dense(), None)
    torch.testing.assert_close(again, inside, rtol=1e-2, atol=1e-2)


def test_a_seed_that_never_reached_the_quality_is_not_counted_as_fast() -> None:
    ratios = [10.0, None, 30.0]
    summary = summarise([{"ratio_wall": ratio} for ratio in ratios], "wall")
    assert summary == {"median": 20.0, "range": [10.0, 30.0], "seeds_that_reached": 2}
    assert summarise([{"ratio_wall": None}], "wall")["median"] is None
