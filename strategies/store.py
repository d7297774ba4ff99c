"""The server's features on disk: one file per message, written whole, read by the row."""

import json
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fl_crafter.errors import InputError
from fl_crafter.flower.payload import Payload, half_if_exact
from fl_crafter.tensor_files import read_metadata, write_safetensors
from fl_crafter.transcript import Purpose
from strategies.robust import copy_weights

FORMAT = "fl-crafter features"
_log = logging.getLogger("fl_crafter")


@dataclass(frozen=True)
class StoredMessage:
    """One message on disk; its labels stay in memory, its features do not.

    Attributes:
        path: of the safetensors file.
        client: partition number of the sender.
        round: round of the federation, from 1.
        purpose: what the features may be used for.
        labels: `[count, attributes]`, 0, 1 or nan.
        norm: root mean square of each feature.
        weight: of each row in training, see `copy_weights`.
    """

    path: Path
    client: int
    round: int
    purpose: Purpose
    labels: Float[Tensor, "count attributes"]
    norm: Float[Tensor, " count"]
    weight: Float[Tensor, " count"]

    def features(self, rows: Int64[Tensor, " chosen"] | None = None) -> Tensor:
        """Features of these rows, or of all; the file is mapped, and only they are read."""
        with safe_open(self.path, framework="pt") as file:
            mapped = file.get_tensor("feature")
            return (mapped.clone() if rows is None else mapped[rows]).float()

    def payload(self) -> Payload:
        """The message as it was admitted."""
        return Payload(self.features(), self.labels, self.client, self.round, self.purpose)


class FeatureStore:
    """Keeps admitted messages in a folder; what was added is there after a crash.

    A message is kept when `add` returns: its file has been written beside, and renamed. A store
    that is full forgets whole messages, the oldest of the client that holds the most, so that
    nobody drives the others out. Evaluation features are never forgotten.

    Args:
        folder: made if missing; messages that are there already are taken over.
        capacity: training rows that are kept, at most.

    Raises:
        InputError: the folder holds a file that is no stored message.
    """

    def __init__(self, folder: Path, *, capacity: int) -> None:
        self.folder = folder
        self.capacity = capacity
        folder.mkdir(parents=True, exist_ok=True)
        self._messages: dict[tuple[Purpose, int, int], StoredMessage] = {}
        self._rows: Counter[int] = Counter()  # of training, by client
        for path in sorted(folder.glob("*.safetensors")):
            self._note(_read(path))

    def add(self, payload: Payload) -> None:
        """Keep one message; a client's message of the same round and purpose is kept once.

        Raises:
            OSError: it could not be written; the store is as it was.
        """
        key = (payload.purpose, payload.round, payload.client)
        if key in self._messages:
            return
        name = f"{payload.purpose.name.lower()}-{payload.round:06d}-{payload.client:06d}"
        path = self.folder / f"{name}.safetensors"
        stated = {"client": payload.client, "round": payload.round, "purpose": int(payload.purpose)}
        side = {
            "labels": payload.labels.clone(),
            "norm": payload.feature.square().mean(dim=(1, 2, 3)).sqrt(),
            "weight": copy_weights(payload.feature),
        }
        tensors = {"feature": half_if_exact(payload.feature), **side}
        write_safetensors(path, tensors, metadata={"format": FORMAT, "message": json.dumps(stated)})
        self._note(StoredMessage(path, payload.client, payload.round, payload.purpose, **side))
        if self._rows.total() > self.capacity:
            self._forget(payload.round)

    def _note(self, message: StoredMessage) -> None:
        self._messages[message.purpose, message.round, message.client] = message
        if message.purpose == Purpose.TRAIN:
            self._rows[message.client] += len(message.labels)

    def messages(self, purpose: Purpose) -> list[StoredMessage]:
        """All messages of one purpose, by round and client."""
        found = [key for key in self._messages if key[0] == purpose]
        return [self._messages[key] for key in sorted(found)]

    def _forget(self, current: int) -> None:
        training = self.messages(Purpose.TRAIN)
        while self._rows.total() > self.capacity and len(training) > 1:
            largest = max(sorted(self._rows), key=lambda client: self._rows[client])
            oldest = next(message for message in training if message.client == largest)
            training.remove(oldest)
            self._rows[largest] -= len(oldest.labels)
            if oldest.round == current:
                _log.warning(
                    "the store of %d rows forgets features of round %d before they are learnt "
                    "from; raise store-rows",
                    self.capacity,
                    current,
                )
            del self._messages[oldest.purpose, oldest.round, oldest.client]
            oldest.path.unlink(missing_ok=True)


class StoredRows:
    """The rows of several messages as if they were one tensor; none is in memory before `take`.

    Args:
        messages: in the order of the rows.
    """

    def __init__(self, messages: list[StoredMessage]) -> None:
        self.messages = messages
        self.counts = torch.tensor([len(message.labels) for message in messages])
        self._ends = self.counts.cumsum(0)

    def __len__(self) -> int:
        return int(self.counts.sum())

    @property
    def labels(self) -> Float[Tensor, "count attributes"]:
        """Labels of all rows."""
        return torch.cat([message.labels for message in self.messages])

    @property
    def weight(self) -> Float[Tensor, " count"]:
        """Weights of all rows."""
        return torch.cat([message.weight for message in self.messages])

    def take(
        self, index: Int64[Tensor, " chosen"]
    ) -> Float[Tensor, "chosen channels rows columns"]:
        """Features of some rows, in the order of `index`."""
        owner = torch.searchsorted(self._ends, index, right=True)
        place = index - (self._ends - self.counts)[owner]
        parts, positions = [], []
        for message in owner.unique().tolist():
            chosen = (owner == message).nonzero().flatten()
            parts.append(self.messages[message].features(place[chosen]))
            positions.append(chosen)
        return torch.cat(parts)[torch.cat(positions).argsort()]


def _read(path: Path) -> StoredMessage:
    try:
        metadata = read_metadata(path)
        if metadata.get("format") != FORMAT:
            raise ValueError("another format")
        stated = json.loads(metadata["message"])
        with safe_open(path, framework="pt") as file:
            side = {name: file.get_tensor(name).clone() for name in ("labels", "norm", "weight")}
        return StoredMessage(
            path, stated["client"], stated["round"], Purpose(stated["purpose"]), **side
        )
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} is no stored message; remove it, or name another state folder."
        ) from error
