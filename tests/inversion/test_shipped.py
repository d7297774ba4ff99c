"""The hypergradient on the shipped networks, as the defence solves it, against a dense inverse."""

import torch

from fl_crafter.assets import load_amortiser, load_encoder, load_generator
from fl_crafter.defences.crafter.simulated import LATENT_WEIGHT, SOLVER, SimulatedWhiteBox
from fl_crafter.inversion.hypergradient import cosine, hypergradient
from fl_crafter.inversion.linear_solvers import ConjugateGradient, Dense
from fl_crafter.inversion.problem import latent_inversion


def test_the_simulated_white_box_has_the_gradient_of_the_dense_inverse() -> None:
    random = torch.Generator().manual_seed(0)
    generator = load_generator().double()
    encoder = load_encoder().encoder.double()
    problem = latent_inversion(generator, encoder, latent_weight=LATENT_WEIGHT)
    like = torch.empty(0, generator.latent_size).double()
    problem = problem.preconditioned(like, random=random)
    latent = torch.randn(1, generator.latent_size, generator=random).double()
    at, feature = problem.linearise(latent), problem.forward(latent)
    # towards another face, as the gradient of a privacy loss leads
    leaf = latent.clone().requires_grad_(True)
    image = generator(leaf)
    other = generator.sample(1, random=random).double()
    (outer,) = torch.autograd.grad(image, leaf, other - image.detach())
    exact = hypergradient(at, feature, outer, solver=Dense()).gradient
    ours = hypergradient(at, feature, outer, solver=SOLVER).gradient
    few = hypergradient(at, feature, outer, solver=ConjugateGradient(1)).gradient
    assert float(cosine(ours, exact)) > 0.99
    assert float(cosine(few, exact)) < 0.9, "the test can tell a bad gradient"


def test_a_few_warm_iterations_follow_a_feature_that_moves() -> None:
    random = torch.Generator().manual_seed(0)
    generator, encoder = load_generator(), load_encoder().encoder
    problem = latent_inversion(generator, encoder, latent_weight=LATENT_WEIGHT)
    problem = problem.preconditioned(torch.empty(0, generator.latent_size), random=random)
    eavesdropper = SimulatedWhiteBox(generator, problem, load_amortiser())
    with torch.no_grad():
        feature = encoder(generator.sample(2, random=random))
    other = generator.sample(2, random=random)
    simulation = eavesdropper.watch(feature)
    for _ in range(3):
        gradient = simulation.pull_back(simulation.reconstruct(feature) - other).gradient
        feature = feature - 0.02 * gradient.sign()
    direction = simulation.reconstruct(feature) - other
    gradient = simulation.pull_back(direction).gradient
    latent = simulation.latent.clone().requires_grad_(True)  # type: ignore[attr-defined]
    (outer,) = torch.autograd.grad(generator(latent), latent, direction)
    at = eavesdropper.problem.linearise(latent)
    exact = hypergradient(at, feature, outer, solver=ConjugateGradient(100)).gradient
    assert float(cosine(gradient, exact).min()) > 0.98
