"""The gradient through the eavesdropper: closed form, finite differences, dense inverse."""

import pytest
import torch
from torch import Tensor, nn

from fl_crafter.inversion.hypergradient import cosine, hypergradient
from fl_crafter.inversion.inverters import Adam, LevenbergMarquardt, Momentum
from fl_crafter.inversion.linear_solvers import (
    ConjugateGradient,
    Dense,
    LinearSolver,
    Neumann,
)
from fl_crafter.inversion.problem import InversionProblem

BATCH, LATENT, FEATURE = 3, 5, 12


@pytest.fixture(autouse=True)
def double_precision():
    """float64 by default, so that only the mathematics is tested."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def linear_problem(weight: float) -> tuple[InversionProblem, Tensor]:
    matrix = torch.randn(FEATURE, LATENT, generator=torch.Generator().manual_seed(1))
    return InversionProblem(lambda latent: latent @ matrix.T, weight), matrix


def smooth_network() -> nn.Module:
    torch.manual_seed(2)
    network = nn.Sequential(nn.Linear(LATENT, 16), nn.Tanh(), nn.Linear(16, FEATURE))
    return network.requires_grad_(False)


def smooth_problem(weight: float) -> InversionProblem:
    return InversionProblem(smooth_network(), weight)


def converged(problem: InversionProblem, feature: Tensor) -> Tensor:
    start = torch.zeros(len(feature), LATENT)
    inverter = LevenbergMarquardt(steps=200, inner_iterations=LATENT)
    result = inverter.invert(problem, feature, start=start)
    # a step that lowers the objective by less than its rounding error cannot be told from none
    assert float(result.stationarity_residual.max()) < 1e-8
    return result.latent


def outer_loss(latent: Tensor) -> Tensor:
    return (latent.sin() + 0.3 * latent.square()).sum(1)


def outer_gradient(latent: Tensor) -> Tensor:
    return latent.cos() + 0.6 * latent


@pytest.mark.parametrize("solver", [Dense(), ConjugateGradient(LATENT, tolerance=1e-14)])
@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_linear_encoder_has_the_closed_form(solver: LinearSolver, weight: float) -> None:
    problem, matrix = linear_problem(weight)
    feature = torch.randn(BATCH, FEATURE)
    # ridge regression: z* = (A^T A / m + w / k I)^-1 A^T F / m
    normal = matrix.T @ matrix / FEATURE + weight / LATENT * torch.eye(LATENT)
    ridge = torch.linalg.solve(normal, matrix.T / FEATURE)
    latent = feature @ ridge.T
    expected = outer_gradient(latent) @ ridge
    at = problem.linearise(latent)
    result = hypergradient(at, feature, outer_gradient(latent), solver=solver)
    torch.testing.assert_close(result.gradient, expected, rtol=1e-8, atol=1e-10)
    assert float(result.stationarity_residual.max()) < 1e-12
    assert float(result.solve_residual.max()) < 1e-10


def test_matches_finite_differences_through_the_argmin_at_zero_residual() -> None:
    problem = smooth_problem(0.0)
    latent = 0.5 * torch.randn(BATCH, LATENT, generator=torch.Generator().manual_seed(3))
    feature = problem.forward(latent)
    at = problem.linearise(latent)
    gradient = hypergradient(at, feature, outer_gradient(latent), solver=Dense()).gradient
    step = 1e-5
    for index in range(FEATURE):
        shift = torch.zeros(FEATURE)
        shift[index] = step
        # warm start from the known argmin, so that both sides stay in its basin
        inverter = LevenbergMarquardt(steps=60, inner_iterations=LATENT)
        above = inverter.invert(problem, feature + shift, start=latent).latent
        below = inverter.invert(problem, feature - shift, start=latent).latent
        slope = (outer_loss(above) - outer_loss(below)) / (2 * step)
        torch.testing.assert_close(gradient[:, index], slope, rtol=1e-4, atol=1e-5)


def exact_hypergradient(problem: InversionProblem, latent: Tensor, feature: Tensor) -> Tensor:
    """The implicit gradient with the true Hessian, sample by sample, by differentiation."""
    rows = []
    for z, f, g in zip(latent, feature, outer_gradient(latent), strict=True):

        def objective(z: Tensor, f: Tensor) -> Tensor:
            return problem.objective(z[None], f[None])[0]

        hessian = torch.func.hessian(objective)(z, f)
        mixed = torch.func.jacrev(torch.func.grad(objective), argnums=1)(z, f)
        rows.append(-torch.linalg.solve(hessian, g) @ mixed)
    return torch.stack(rows)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_close_to_the_exact_gradient_near_the_generator(noise: float) -> None:
    problem = smooth_problem(1e-3)
    random = torch.Generator().manual_seed(4)
    start = 0.5 * torch.randn(BATCH, LATENT, generator=random)
    feature = problem.forward(start) + noise * torch.randn(BATCH, FEATURE, generator=random)
    latent = converged(problem, feature)
    at = problem.linearise(latent)
    ours = hypergradient(at, feature, outer_gradient(latent), solver=Dense()).gradient
    assert float(cosine(ours, exact_hypergradient(problem, latent, feature)).min()) > 0.999


def test_conjugate_gradients_agree_with_the_dense_inverse() -> None:
    problem = smooth_problem(1e-2)
    latent = torch.randn(BATCH, LATENT)
    feature = torch.randn(BATCH, FEATURE)
    at = problem.linearise(latent)
    exact = hypergradient(at, feature, outer_gradient(latent), solver=Dense()).gradient
    solver = ConjugateGradient(LATENT, tolerance=1e-14)
    ours = hypergradient(at, feature, outer_gradient(latent), solver=solver).gradient
    torch.testing.assert_close(ours, exact, rtol=1e-6, atol=1e-9)


def test_a_long_neumann_series_reaches_the_dense_inverse_and_a_short_one_says_how_far_it_is() -> (
    None
):
    problem = smooth_problem(1e-1)
    latent, feature = torch.randn(BATCH, LATENT), torch.randn(BATCH, FEATURE)
    at = problem.linearise(latent)
    exact = hypergradient(at, feature, outer_gradient(latent), solver=Dense()).gradient
    long = hypergradient(at, feature, outer_gradient(latent), solver=Neumann(terms=4000, step=0.5))
    torch.testing.assert_close(long.gradient, exact, rtol=1e-6, atol=1e-9)
    assert float(long.solve_residual.max()) < 1e-6
    short = hypergradient(at, feature, outer_gradient(latent), solver=Neumann(terms=5, step=0.5))
    assert float(short.solve_residual.min()) > 1e-3


@pytest.mark.parametrize("solver", [ConjugateGradient(4), Neumann(terms=20, step=0.3), Dense()])
def test_a_start_near_the_solution_saves_iterations(solver: LinearSolver) -> None:
    random = torch.Generator().manual_seed(7)
    root = torch.randn(BATCH, 20, 20, generator=random)
    matrix = root @ root.mT / 20 + 0.1 * torch.eye(20)
    right = torch.randn(BATCH, 20, generator=random)

    def operator(vector: Tensor) -> Tensor:
        return (matrix @ vector[..., None])[..., 0]

    exact = torch.linalg.solve(matrix, right)
    near = exact + 0.01 * torch.randn(BATCH, 20, generator=random)
    cold, warm = solver.solve(operator, right), solver.solve(operator, right, start=near)
    true = (operator(warm.value) - right).norm(dim=1) / right.norm(dim=1)
    torch.testing.assert_close(warm.residual, true, rtol=1e-6, atol=1e-12)
    if not isinstance(solver, Dense):
        assert bool((warm.residual < cold.residual / 10).all())
    done = solver.solve(operator, right, start=exact)
    torch.testing.assert_close(done.value, exact, rtol=1e-6, atol=1e-9)


def test_the_inverter_hands_over_the_linearisation_at_its_result() -> None:
    problem = smooth_problem(1e-2)
    feature = problem.forward(torch.randn(BATCH, LATENT)) + 0.1 * torch.randn(BATCH, FEATURE)
    # so few steps, with so little damping, that some are turned down
    for steps in range(5):
        inverter = LevenbergMarquardt(steps=steps, inner_iterations=LATENT, damping=1e-6)
        result = inverter.invert(problem, feature, start=3 * torch.ones(BATCH, LATENT))
        assert result.linearisation is not None
        torch.testing.assert_close(result.linearisation.latent, result.latent)
        torch.testing.assert_close(result.linearisation.output, problem.forward(result.latent))


def test_does_not_depend_on_the_batch() -> None:
    problem = smooth_problem(1e-2)
    latent, feature = torch.randn(BATCH, LATENT), torch.randn(BATCH, FEATURE)
    solver = ConjugateGradient(3)
    at = problem.linearise(latent)
    together = hypergradient(at, feature, outer_gradient(latent), solver=solver).gradient
    for index in range(BATCH):
        one = slice(index, index + 1)
        at = problem.linearise(latent[one])
        alone = hypergradient(at, feature[one], outer_gradient(latent[one]), solver=solver).gradient
        torch.testing.assert_close(together[one], alone, rtol=1e-9, atol=1e-12)


def test_stationarity_residual_tells_an_unfinished_inversion() -> None:
    problem, _ = linear_problem(0.1)
    feature = torch.randn(BATCH, FEATURE)
    latent = converged(problem, feature)
    near = hypergradient(problem.linearise(latent), feature, latent, solver=Dense())
    far = hypergradient(problem.linearise(latent + 1), feature, latent, solver=Dense())
    assert float(near.stationarity_residual.max()) < 1e-8
    assert float(far.stationarity_residual.min()) > 1e-2


def test_inverters_agree_and_never_return_worse_than_the_start() -> None:
    problem = smooth_problem(1e-2)
    feature = problem.forward(torch.randn(BATCH, LATENT)) + 0.1 * torch.randn(BATCH, FEATURE)
    start = torch.zeros(BATCH, LATENT)
    begun = problem.objective(start, feature)
    by_newton = LevenbergMarquardt(steps=60, inner_iterations=LATENT)
    first = by_newton.invert(problem, feature, start=start)
    for by_descent in (Momentum(steps=4000, rate=2e-2), Adam(steps=3000, rate=2e-2)):
        second = by_descent.invert(problem, feature, start=start)
        torch.testing.assert_close(first.objective, second.objective, rtol=1e-4, atol=1e-8)
    assert bool((first.objective < begun).all())
    assert first.curve == sorted(first.curve, reverse=True)


def test_conjugate_gradients_leave_zero_and_finished_samples_alone() -> None:
    matrix = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
    right = torch.stack([torch.zeros(3), torch.tensor([1.0, 2.0, 3.0])])
    solution = ConjugateGradient(10).solve(lambda vector: vector @ matrix, right)
    torch.testing.assert_close(solution.value, torch.stack([torch.zeros(3), torch.ones(3)]))
    assert solution.residual.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_the_mean_curvature_saves_iterations_and_changes_no_solution() -> None:
    # one direction of the latent moves features ten times as far as another, for every face
    random = torch.Generator().manual_seed(9)
    scale = torch.logspace(0, -1, LATENT)
    network = smooth_network()
    problem = InversionProblem(lambda latent: network(scale * latent), 1e-5)
    latent = 0.3 * torch.randn(BATCH, LATENT, generator=random)
    better = problem.preconditioned(latent, random=random)
    gradient = outer_gradient(latent)
    feature = problem.forward(latent)

    def solved(problem: InversionProblem, iterations: int) -> Tensor:
        at = problem.linearise(latent)
        solver = ConjugateGradient(iterations, tolerance=1e-12)
        return hypergradient(at, feature, gradient, solver=solver).gradient

    exact = hypergradient(problem.linearise(latent), feature, gradient, solver=Dense()).gradient
    torch.testing.assert_close(solved(better, 4 * LATENT), exact, rtol=1e-5, atol=1e-7)
    plain, preconditioned = cosine(solved(problem, 2), exact), cosine(solved(better, 2), exact)
    assert bool((1 - preconditioned < (1 - plain) / 5).all())


def test_preconditioned_inversions_find_the_same_latents() -> None:
    problem = smooth_problem(1e-2)
    feature = problem.forward(torch.randn(BATCH, LATENT)) + 0.1 * torch.randn(BATCH, FEATURE)
    start = torch.zeros(BATCH, LATENT)
    better = problem.preconditioned(start, random=torch.Generator().manual_seed(1))
    inverter = LevenbergMarquardt(steps=60, inner_iterations=LATENT)
    plain, preconditioned = (
        inverter.invert(each, feature, start=start) for each in (problem, better)
    )
    torch.testing.assert_close(preconditioned.latent, plain.latent, rtol=1e-4, atol=1e-6)
    # what many probes say is what the average of many Jacobians is
    assert better.curvature is not None
    average = torch.zeros(LATENT, LATENT)
    latents = torch.randn(4000, LATENT, generator=torch.Generator().manual_seed(2))
    for basis in torch.eye(LATENT):
        at = problem.linearise(latents)
        product = at.vjp(at.jvp(basis.expand(4000, LATENT).contiguous()) / at.size)
        average += product.mean(0)[:, None] * basis
    vector = torch.randn(BATCH, LATENT)
    expected = ((vector @ average) * vector).sum(1) / vector.square().sum(1)
    torch.testing.assert_close(better.curvature.quotient(vector), expected, rtol=0.2, atol=0.0)
