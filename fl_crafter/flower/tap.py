"""The eavesdropper's tap: a Grid that notes down what crosses it and changes nothing."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from flwr.app import Message
from flwr.serverapp import Grid

from fl_crafter.flower.forwarding import ForwardingGrid
from fl_crafter.flower.payload import (
    Payload,
    PayloadError,
    PayloadTerms,
    half_if_exact,
    one_line,
    read_payload,
)
from fl_crafter.transcript import Transcript, concatenate


class TapGrid(ForwardingGrid):
    """Wraps the server's grid; everything that the server receives is recorded on the way.

    The server never asks for the record: the tap stands for whoever can read the traffic, be it a
    curious server or somebody on the line.

    Args:
        grid: the grid to listen on.
        terms: how a feature message looks; a reply that is none is counted in `unread`.
        folder: where each message is written as it is overheard, and whence those of before are
            taken when a run is resumed; None keeps them in memory alone.

    Raises:
        InputError: the folder holds a file that is no transcript.
    """

    def __init__(self, grid: Grid, *, terms: PayloadTerms, folder: Path | None = None) -> None:
        super().__init__(grid)
        self._terms, self._folder = terms, folder
        self._parts: dict[str, Transcript] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.glob("*.safetensors"):
                part = Transcript.load(path)
                self._parts[path.stem] = replace(part, feature=part.feature.float())
        self.unread: Counter[str] = Counter()

    @property
    def transcript(self) -> Transcript | None:
        """All feature messages so far, by round, purpose and client; None before the first.

        The order of arrival differs from run to run, and tells an eavesdropper nothing of use.
        """
        if not self._parts:
            return None
        return concatenate([self._parts[key] for key in sorted(self._parts)])

    def _record(self, replies: Iterable[Message]) -> list[Message]:
        kept = list(replies)
        for reply in kept:
            if reply.has_error():
                continue
            try:
                self._keep(read_payload(reply.content, self._terms))
            except PayloadError as refusal:
                self.unread[one_line(str(refusal))] += 1
        return kept

    def _keep(self, payload: Payload) -> None:
        name = _name(payload)
        if name in self._parts:
            return
        part = self._parts[name] = payload.transcript()
        if self._folder is not None:
            small = replace(part, feature=half_if_exact(part.feature))
            small.save(self._folder / f"{name}.safetensors")

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages, wait for the replies, and note them down."""
        return self._record(super().send_and_receive(messages, timeout=timeout))

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Fetch replies by message id, and note them down."""
        return self._record(super().pull_messages(message_ids))


def _name(payload: Payload) -> str:
    """What a message is known by: the same one, sent again after a resume, tells nothing new.

    Its features are part of that: whoever states another's number does not hide what that one sent.
    In order of these names messages are in order of round, purpose and client.
    """
    digest = hashlib.sha256(payload.feature.float().numpy().tobytes()).hexdigest()
    return f"{payload.round:06d}-{int(payload.purpose)}-{payload.client:06d}-{digest}"
