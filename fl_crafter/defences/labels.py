"""Randomised response: labels that leave the device are flipped with a known probability."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def flip_probability(epsilon: float) -> float:
    """Probability with which a label is to be flipped: 1 / (1 + e^epsilon) (Warner, 1965).

    One flipped label is epsilon-differentially private; a photograph with m labels, and every
    further photograph of the same person, adds up: m epsilon per photograph.

    Args:
        epsilon: per label; 0 sends a coin's throw.

    Raises:
        ValueError: epsilon is negative or nan.
    """
    if not epsilon >= 0:
        raise ValueError(f"epsilon must be 0 or more, not {epsilon}")
    return 1 / (1 + math.exp(min(epsilon, 700.0)))


def label_epsilon(flip: float) -> float:
    """Epsilon of a label that is flipped with this probability, the inverse of the above.

    Args:
        flip: above 0 and at most a half.

    Raises:
        ValueError: it is not; without flips no epsilon is finite.
    """
    if not 0 < flip <= 0.5:
        raise ValueError(f"flip must be above 0 and at most .5, not {flip}")
    return math.log((1 - flip) / flip)


def randomised_response(
    labels: Float[Tensor, "count attributes"], *, flip: float, random: torch.Generator
) -> Float[Tensor, "count attributes"]:
    """Labels 0 or 1, each flipped independently; nan stays nan.

    Args:
        labels: 0, 1 or nan.
        flip: probability of a flip, see `flip_probability`; 0 leaves them as they are.
        random: must be secret in a deployment.
    """
    if not flip:
        return labels
    draw = torch.rand(labels.shape, generator=random)
    return torch.where(draw < flip, 1 - labels, labels)
