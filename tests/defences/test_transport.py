"""Distances by optimal transport: against brute force, POT's own, and finite differences."""

from dataclasses import replace
from itertools import permutations

import ot
import pytest
import torch
from torch import Tensor

from fl_crafter.defences.crafter.transport import Transport, TransportDistance, TransportSettings
from tests.world import pictures, seeded

KINDS = list(Transport)
SETTINGS = TransportSettings(strangers=1, projections=64)


def distance(
    kind: Transport, *, count: int = 4, seed: int = 0, settings: TransportSettings = SETTINGS
) -> TransportDistance:
    settings = replace(settings, kind=kind)
    return TransportDistance(
        pictures(count, seed=1), pictures(16, seed=2), settings=settings, random=seeded(seed)
    )


def pairs(of: TransportDistance, image: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cat([of._reference, of._vector(image)], 1), of._product


def test_the_exact_plan_is_the_best_of_all_assignments() -> None:
    exact, image = distance(Transport.EXACT), pictures(4, seed=3)
    joint, product = pairs(exact, image)
    cost = torch.cdist(joint, product).square()
    best = min(
        float(cost[range(4), list(order)].mean()) for order in permutations(range(len(joint)))
    )
    assert float(exact.gap(image).mean()) == pytest.approx(best, rel=1e-5)


def test_a_small_regularisation_comes_near_the_exact_plan() -> None:
    image = pictures(4, seed=3)
    exact = distance(Transport.EXACT).gap(image)
    settings = replace(SETTINGS, regularisation=1e-3)
    near = distance(Transport.SINKHORN, settings=settings).gap(image)
    torch.testing.assert_close(near, exact, rtol=1e-3, atol=1e-5)


def test_sliced_is_the_mean_over_directions_that_pot_computes() -> None:
    settings = replace(SETTINGS, projections=4096)
    sliced, image = distance(Transport.SLICED, settings=settings), pictures(4, seed=3)
    joint, product = pairs(sliced, image)
    theirs = ot.sliced_wasserstein_distance(joint, product, n_projections=4096, seed=0)
    assert isinstance(theirs, Tensor)
    ours = float(sliced.gap(image).mean()) / joint.shape[1]
    assert ours == pytest.approx(float(theirs) ** 2, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_privacy_loss_has_its_gradient(kind: Transport) -> None:
    image = pictures(4, seed=3).double()
    direction = torch.randn(image.shape, generator=seeded(5)).double()

    def at(step: float) -> tuple[Tensor, Tensor]:
        # built anew, so that all see the same strangers and directions
        made = distance(kind, settings=replace(SETTINGS, regularisation=0.01))
        made._reference, made._prior = made._reference.double(), made._prior.double()
        made._product = made._product.double()
        return made.privacy_loss(image + step * direction)

    _, gradient = at(0.0)
    step = 1e-6
    numeric = (at(step)[0].sum() - at(-step)[0].sum()) / (2 * step)
    # Sinkhorn's plan is the optimum of another objective, the cost with its entropy
    tolerance = 0.05 if kind == Transport.SINKHORN else 1e-4
    assert float((gradient * direction).sum()) == pytest.approx(float(numeric), rel=tolerance)


@pytest.mark.parametrize("kind", [Transport.EXACT, Transport.SLICED])
def test_the_strangers_themselves_are_at_no_distance(kind: Transport) -> None:
    made = distance(kind)
    image = pictures(16, seed=2)
    size = made._vector(image).shape[1]
    found = (made._product[:, -size:, None] == made._vector(image).T).all(1).nonzero()[:, 1]
    strangers = image[found]
    assert float(made.gap(strangers).abs().max()) < 1e-9 < float(made.gap(image[:4]).max())


def test_following_means_other_strangers() -> None:
    made, image = distance(Transport.EXACT), pictures(4, seed=3)
    before = made.gap(image)
    made.adapt(image)
    assert not torch.equal(made.gap(image), before)
