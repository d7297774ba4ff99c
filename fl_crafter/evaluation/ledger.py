"""The private truth: which photograph each row of a message shows.

Rows are shuffled before they are sent, so nothing on the wire says whose feature is whose. Each
client of a simulation notes it for itself, one JSON file per message; here, after the attacks, the
notes are joined to what the eavesdropper recorded.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fl_crafter.errors import InputError
from fl_crafter.transcript import Purpose

MessageKey = tuple[int, int, int]
FIELDS = ("client", "round", "purpose", "index")


@dataclass(frozen=True)
class Ledger:
    """Positions in the dataset, by message and row.

    Attributes:
        index: (client, round, purpose) -> the position of each row's photograph.
    """

    index: Mapping[MessageKey, Int64[Tensor, " rows"]]

    def locate(
        self,
        *,
        client: Int64[Tensor, " count"],
        round: Int64[Tensor, " count"],
        purpose: Int64[Tensor, " count"],
        row: Int64[Tensor, " count"],
    ) -> Int64[Tensor, " count"]:
        """The position in the dataset of each of these rows' photographs.

        Raises:
            InputError: a row is in no message of the ledger, or is named twice.
        """
        keys = list(
            zip(client.tolist(), round.tolist(), purpose.tolist(), row.tolist(), strict=True)
        )
        if len(set(keys)) != len(keys):
            raise InputError("the transcript holds a row twice; record the run again.")
        return torch.tensor([self._position(*key) for key in keys], dtype=torch.int64)

    def _position(self, client: int, round: int, purpose: int, row: int) -> int:
        message = self.index.get((client, round, purpose))
        if message is None or not 0 <= row < len(message):
            raise InputError(
                f"the ledger has no row {row} of client {client}, round {round}, "
                f"purpose {purpose}; take ledger and transcript from the same run."
            )
        return int(message[row])


def read_ledger(folder: Path) -> Ledger:
    """Read the notes of all clients, the `*.json` files of a run's `truth` folder.

    Raises:
        InputError: there are none, one is broken, or two are about the same message.
    """
    messages: dict[MessageKey, Tensor] = {}
    for path in sorted(folder.glob("*.json")):
        client, round, purpose, index = _read_note(path)
        if (client, round, purpose) in messages:
            raise InputError(
                f"{path} is a second note about client {client}, round {round}, purpose {purpose}; "
                "start the run in an empty folder."
            )
        messages[client, round, purpose] = index
    if not messages:
        raise InputError(f"{folder} holds no ledger; name the truth folder of a run.")
    return Ledger(messages)


def _read_note(path: Path) -> tuple[int, int, int, Tensor]:
    try:
        client, round, purpose, index = (
            json.loads(path.read_text(encoding="utf-8"))[field] for field in FIELDS
        )
        if not all(type(number) is int for number in (client, round, purpose, *index)):
            raise TypeError
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(
            f"{path} is no note of a client with {', '.join(FIELDS)}; run the simulation again."
        ) from error
    return client, round, purpose, torch.tensor(index, dtype=torch.int64)


@dataclass(frozen=True)
class Predictions:
    """What the cloud model says about the evaluation features, one row per feature.

    Attributes:
        score: `[count, attributes]`, higher where the attribute is more likely; logits or
            probabilities.
        client: partition number of the sender.
        round: round in which the feature was sent.
        row: position within its message.
    """

    score: Float[Tensor, "count attributes"]
    client: Int64[Tensor, " count"]
    round: Int64[Tensor, " count"]
    row: Int64[Tensor, " count"]

    @staticmethod
    def load(path: Path) -> "Predictions":
        """Read the safetensors file that a simulation wrote; what else it holds is ignored.

        Raises:
            InputError: there is no such file, or it holds no predictions.
        """
        try:
            tensors = load_file(path)
            return Predictions(
                **{name: tensors[name] for name in ("score", "client", "round", "row")}
            )
        except (SafetensorError, KeyError, OSError) as error:
            raise InputError(
                f"{path} holds no predictions of a cloud model; run the simulation again."
            ) from error

    def locate(self, ledger: Ledger) -> Int64[Tensor, " count"]:
        """The position in the dataset of each row's photograph."""
        purpose = torch.full_like(self.client, int(Purpose.EVALUATION))
        return ledger.locate(client=self.client, round=self.round, purpose=purpose, row=self.row)
