"""The eavesdropper's tap: a Grid that notes down what crosses it and changes nothing."""

import hashlib
from collections import Counter
from collections.abc import Iterable

from flwr.app import Message
from flwr.serverapp import Grid

from fl_crafter.flower.forwarding import ForwardingGrid
from fl_crafter.flower.payload import Payload, PayloadError, PayloadTerms, read_payload
from fl_crafter.transcript import Transcript, concatenate


class TapGrid(ForwardingGrid):
    """Wraps the server's grid; everything that the server receives is recorded on the way.

    The server never asks for the record: the tap stands for whoever can read the traffic, be it a
    curious server or somebody on the line.

    Args:
        grid: the grid to listen on.
        terms: how a feature message looks; a reply that is none is counted in `unread`.
        earlier: what was overheard before, when a run is resumed.
    """

    def __init__(self, grid: Grid, *, terms: PayloadTerms, earlier: Iterable[Payload] = ()) -> None:
        super().__init__(grid)
        self._terms = terms
        self._parts = {_key(payload): payload for payload in earlier}
        self.unread: Counter[str] = Counter()

    @property
    def transcript(self) -> Transcript | None:
        """All feature messages so far, by round, purpose and client; None before the first.

        The order of arrival differs from run to run, and tells an eavesdropper nothing of use.
        """
        if not self._parts:
            return None
        ordered = [self._parts[key] for key in sorted(self._parts)]
        return concatenate([part.transcript() for part in ordered])

    def _record(self, replies: Iterable[Message]) -> list[Message]:
        kept = list(replies)
        for reply in kept:
            if reply.has_error():
                continue
            try:
                payload = read_payload(reply.content, self._terms)
                self._parts.setdefault(_key(payload), payload)
            except PayloadError as refusal:
                self.unread[str(refusal)] += 1
        return kept

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages, wait for the replies, and note them down."""
        return self._record(super().send_and_receive(messages, timeout=timeout))

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Fetch replies by message id, and note them down."""
        return self._record(super().pull_messages(message_ids))


def _key(payload: Payload) -> tuple[int, int, int, str]:
    """What a message is known by: the same one, sent again after a resume, tells nothing new.

    Its features are part of that: whoever states another's number does not hide what that one sent.
    """
    digest = hashlib.sha256(payload.feature.float().numpy().tobytes()).hexdigest()
    return payload.round, int(payload.purpose), payload.client, digest
