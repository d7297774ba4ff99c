"""Along the gradient, at a length of its own for each sample."""

import torch

from fl_crafter.defences.crafter.descent import SampleAdam
from tests.world import seeded


def test_the_first_step_is_along_the_gradient_and_as_long_as_the_rate() -> None:
    gradient = torch.randn(3, 4, 2, 2, generator=seeded()) * torch.tensor([1e-6, 1.0, 1e6]).view(
        3, 1, 1, 1
    )
    move = SampleAdam(rate=0.1).move(gradient)
    along = torch.cosine_similarity(move.flatten(1), gradient.flatten(1))
    torch.testing.assert_close(along, -torch.ones(3))
    torch.testing.assert_close(move.square().mean((1, 2, 3)).sqrt(), torch.full((3,), 0.1))


def test_a_sample_moves_as_it_would_alone() -> None:
    gradients = torch.randn(5, 3, 4, 2, 2, generator=seeded())
    together, alone = SampleAdam(rate=0.1), SampleAdam(rate=0.1)
    for gradient in gradients:
        moved, own = together.move(gradient), alone.move(gradient[1:2])
    torch.testing.assert_close(moved[1:2], own)


def test_it_finds_a_minimum_and_leaves_a_sample_without_gradient_alone() -> None:
    target = torch.randn(2, 3, 2, 2, generator=seeded())
    place, descent = torch.zeros_like(target), SampleAdam(rate=0.05)
    stiffness = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    for _ in range(400):
        place = place + descent.move(stiffness * (place - target))
    torch.testing.assert_close(place[0], target[0], rtol=0, atol=2e-2)
    assert not bool(place[1].any())
