"""Simulated eavesdroppers: what they see, and their gradients against independent ones."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fl_crafter.defences.crafter.simulated import (
    SimulatedDecoder,
    SimulatedEavesdropper,
    SimulatedWhiteBox,
)
from fl_crafter.inversion.inverters import LevenbergMarquardt
from fl_crafter.inversion.linear_solvers import ConjugateGradient, Dense, LinearSolver
from fl_crafter.inversion.problem import latent_inversion
from tests.world import LATENT, SIZE, World, pictures, seeded

WEIGHT = 1e-2


def white_box(world: World, solver: LinearSolver) -> SimulatedWhiteBox:
    """In double precision, so that only the mathematics is tested."""
    generator, encoder = deepcopy(world.generator).double(), deepcopy(world.encoder).double()
    amortiser = deepcopy(world.amortiser).double()
    return SimulatedWhiteBox(
        generator,
        latent_inversion(generator, encoder, latent_weight=WEIGHT),
        amortiser,
        first=LevenbergMarquardt(steps=40, inner_iterations=LATENT),
        warm=LevenbergMarquardt(steps=3, inner_iterations=LATENT),
        first_solver=solver,
        warm_solver=solver,
    )


def test_the_decoders_gradient_is_that_of_the_decoder(world: World) -> None:
    simulation = SimulatedDecoder(world.decoder, world.public_feature).watch(world.feature)
    direction = torch.randn(len(world.feature), 3, SIZE, SIZE, generator=seeded())
    image = simulation.reconstruct(world.feature)
    torch.testing.assert_close(image, world.decoder(world.feature))
    assert not image.requires_grad
    leaf = world.feature.clone().requires_grad_(True)
    (world.decoder(leaf) * direction).sum().backward()
    torch.testing.assert_close(simulation.pull_back(direction).gradient, leaf.grad)


def test_the_gradient_belongs_to_the_last_reconstruction(world: World) -> None:
    simulation = SimulatedDecoder(world.decoder, world.public_feature).watch(world.feature)
    direction = torch.randn(len(world.feature), 3, SIZE, SIZE, generator=seeded())
    simulation.reconstruct(world.feature)
    first = simulation.pull_back(direction).gradient
    simulation.reconstruct(world.feature + 3)
    assert not torch.allclose(simulation.pull_back(direction).gradient, first)


def dense_hypergradient(world: World, latent: Tensor, direction: Tensor) -> Tensor:
    """`J (J^T J / m + w / k I)^-1 (dG/dz)^T v / m` with matrices, one sample after the other."""
    generator, encoder = deepcopy(world.generator).double(), deepcopy(world.encoder).double()
    rows = []
    for z, v in zip(latent, direction, strict=True):

        def image_of(z: Tensor) -> Tensor:
            return generator(z[None])[0]

        def feature_of(z: Tensor) -> Tensor:
            return encoder(generator(z[None]))[0].flatten()

        jacobian = torch.func.jacrev(feature_of)(z)
        outer = torch.einsum("chwz,chw->z", torch.func.jacrev(image_of)(z), v)
        size = len(jacobian)
        matrix = jacobian.T @ jacobian / size + WEIGHT / LATENT * torch.eye(LATENT).double()
        rows.append(jacobian @ torch.linalg.solve(matrix, outer) / size)
    return torch.stack(rows)


@pytest.mark.parametrize("solver", [Dense(), ConjugateGradient(LATENT, tolerance=1e-14)])
def test_the_white_boxs_gradient_is_the_dense_hypergradient(
    solver: LinearSolver, world: World
) -> None:
    owner = white_box(world, solver)
    feature = world.feature.double()
    simulation = owner.watch(feature)
    image = simulation.reconstruct(feature)
    direction = torch.randn(image.shape, generator=seeded()).double()
    pulled = simulation.pull_back(direction)
    found = simulation.latent  # type: ignore[attr-defined]
    torch.testing.assert_close(image, owner.generator(found))
    expected = dense_hypergradient(world, found, direction).view_as(feature)
    torch.testing.assert_close(pulled.gradient, expected, rtol=1e-5, atol=1e-9)
    assert pulled.figures["solve_residual"] < 1e-6


class Guess(nn.Module):
    """An amortiser that has the answer, or nearly."""

    def __init__(self, latent: Tensor) -> None:
        super().__init__()
        self.latent = latent

    def forward(self, feature: Tensor) -> Tensor:
        return self.latent


def near_an_answer(
    world: World, *, first: int, warm: int
) -> tuple[SimulatedWhiteBox, Tensor, Tensor]:
    """An eavesdropper that starts near the latents, the features and their images."""
    owner = white_box(world, Dense())
    latent = torch.randn(4, LATENT, generator=seeded()).double()
    guess = latent + 0.1 * torch.randn(4, LATENT, generator=seeded(1)).double()
    owner = replace(
        owner,
        amortiser=Guess(guess),
        problem=replace(owner.problem, latent_weight=0.0),
        first=LevenbergMarquardt(steps=first, inner_iterations=LATENT),
        warm=LevenbergMarquardt(steps=warm, inner_iterations=LATENT),
    )
    return owner, owner.problem.forward(latent), owner.generator(latent)


def test_the_white_box_inverts_what_its_generator_drew(world: World) -> None:
    owner, feature, image = near_an_answer(world, first=20, warm=0)
    seen = owner.watch(feature).reconstruct(feature)
    assert float((seen - image).abs().max()) < 1e-6
    assert float((seen - seen.mean(0)).abs().mean()) > 0.01


def test_the_white_box_goes_on_where_it_stopped(world: World) -> None:
    owner, feature, image = near_an_answer(world, first=0, warm=1)
    simulation = owner.watch(feature)
    errors = [float((simulation.reconstruct(feature) - image).abs().max()) for _ in range(20)]
    assert errors[0] > 1e-3 and errors[-1] < 1e-6


def test_a_stationarity_residual_tells_of_an_unfinished_inversion(world: World) -> None:
    residuals = []
    for steps in (0, 20):
        owner, feature, image = near_an_answer(world, first=steps, warm=0)
        simulation = owner.watch(feature)
        simulation.reconstruct(feature)
        residuals.append(simulation.pull_back(torch.ones_like(image)).figures)
    assert residuals[0]["stationarity_residual"] > 1e-4
    assert residuals[1]["stationarity_residual"] < 1e-8


@pytest.mark.parametrize("kind", ["latent", "decoder"])
def test_the_prior_is_as_the_eavesdropper_would_see_it(kind: str, world: World) -> None:
    eavesdropper: SimulatedEavesdropper
    if kind == "latent":
        problem = latent_inversion(world.generator, world.encoder)
        eavesdropper = SimulatedWhiteBox(world.generator, problem, world.amortiser)
        latent = torch.randn(70, LATENT, generator=seeded())
        wanted = world.generator(latent)
    else:
        eavesdropper = SimulatedDecoder(world.decoder, world.public_feature)
        chosen = torch.randint(len(world.public_feature), (70,), generator=seeded())
        wanted = world.decoder(world.public_feature[chosen])
    prior = eavesdropper.prior(70, random=seeded())
    torch.testing.assert_close(prior, wanted)
    assert not prior.requires_grad
    assert eavesdropper.name == kind


def test_reconstructions_of_public_faces_are_the_decoders_prior(world: World) -> None:
    owner = SimulatedDecoder(world.decoder, world.public_feature)
    with torch.no_grad():
        feature = world.encoder(pictures(24, seed=1))
    seen = owner.watch(feature).reconstruct(feature)
    prior = owner.prior(10, random=seeded())
    distance = torch.cdist(prior.flatten(1), seen.flatten(1))
    assert float(distance.min(1).values.max()) < 1e-2
