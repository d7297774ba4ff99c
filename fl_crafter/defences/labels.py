"""Randomised response: labels that leave the device are flipped with a known probability."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def flip_probability(epsilon: float) -> float:
    """Probability that a label is flipped: 1 / (1 + e^epsilon) (Warner, 1965).

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


def randomised_response(
    labels: Float[Tensor, "count attributes"], *, epsilon: float, random: torch.Generator
) -> Float[Tensor, "count attributes"]:
    """Labels 0 or 1, each flipped independently; nan stays nan.

    Args:
        labels: 0, 1 or nan.
        epsilon: per label, see `flip_probability`.
        random: must be secret in a deployment.
    """
    draw = torch.rand(labels.shape, generator=random)
    return torch.where(draw < flip_probability(epsilon), 1 - labels, labels)
