"""Verification: is a reconstruction of this person accepted as this person, and at what price?"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

FALSE_ACCEPTANCE_RATES = (1e-3, 1e-2, 1e-1)


def acceptances(
    score: Float[Tensor, "count people"], column: Int64[Tensor, " count"], *, far: float
) -> Bool[Tensor, "count people"]:
    """Whether each row is accepted as each person, where `far` of all wrong claims are.

    The threshold is the lowest that accepts at most that share of the impostor scores, those of a
    row with everybody else. Ties with it are refused, so that a score that says nothing accepts
    nobody.

    Args:
        score: higher for a person who is more likely on the row.
        column: the true person's place.
        far: false acceptance rate in [0, 1).

    Raises:
        ValueError: the rate is out of range, or there is no impostor.
    """
    if not 0 <= far < 1:
        raise ValueError(f"a false acceptance rate lies in [0, 1), not {far}")
    own = torch.zeros_like(score, dtype=torch.bool).scatter_(1, column[:, None], True)
    impostor = score[~own]
    if not len(impostor):
        raise ValueError("verification needs at least one row and two people")
    threshold = impostor.sort(descending=True).values[int(far * len(impostor))]
    return score > threshold
