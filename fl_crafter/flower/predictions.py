"""The server's answer in a deployment, and the client's check of it."""

from dataclasses import dataclass

import torch
from flwr.app import Array, ArrayRecord, RecordDict
from jaxtyping import Float
from torch import Tensor

from fl_crafter.flower.payload import PayloadError, decode_array

PREDICTIONS, SCORE = "predictions", "score"
VERDICT, AGREES = "verdict", "agrees"


@dataclass(frozen=True)
class Predictions:
    """Predictions for the rows of one message.

    Attributes:
        score: probabilities, `[count, attributes]`, in [0, 1].
        client: partition number of the client that sent the features.
        round: round of the federation, from 1.
    """

    score: Float[Tensor, "count attributes"]
    client: int
    round: int


def write_predictions(score: Float[Tensor, "count attributes"]) -> RecordDict:
    """Content of the message that carries predictions."""
    array = Array(score.detach().cpu().float().contiguous().numpy())
    return RecordDict({PREDICTIONS: ArrayRecord({SCORE: array})})


def read_predictions(content: RecordDict, *, shape: tuple[int, int]) -> Tensor:
    """The probabilities in a message.

    Args:
        content: of the server's message.
        shape: rows that were sent, and attributes.

    Raises:
        PayloadError: there are none, or they are not of this shape and in [0, 1].
    """
    arrays = content.array_records.get(PREDICTIONS)
    if arrays is None or set(arrays) != {SCORE}:
        raise PayloadError(f"The message holds no record {PREDICTIONS} with the array {SCORE}.")
    score = decode_array(arrays[SCORE], shape, name=SCORE)
    # nan is in no interval
    if not ((score >= 0) & (score <= 1)).all():
        raise PayloadError("A prediction is no probability.")
    return score


def agree(
    score: Float[Tensor, "count attributes"],
    expected: Float[Tensor, "count attributes"],
    *,
    tolerance: float = 0.01,
) -> bool:
    """Whether predictions are those of the agreed cloud model on the released features.

    Args:
        score: the server's.
        expected: the client's own.
        tolerance: difference of probabilities that other hardware may cause.
    """
    return bool(torch.isclose(score, expected, rtol=0.0, atol=tolerance).all())
