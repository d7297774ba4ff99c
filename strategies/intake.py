"""What the server lets in: each reply is checked to the end before anything is made of it."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from flwr.app import Message

from fl_crafter.flower.payload import Payload, PayloadError, PayloadTerms, one_line, read_payload
from fl_crafter.transcript import Purpose

_log = logging.getLogger("fl_crafter")


@dataclass
class Admitted:
    """What clients have sent, for as long as the run lasts.

    Attributes:
        rows: that each client has sent for training.
        digests: of each message's client and features.
    """

    rows: Counter[int] = field(default_factory=Counter)
    digests: set[bytes] = field(default_factory=set)


class Intake:
    """Admits one valid reply from each node that was asked, and nothing else.

    Beyond what `read_payload` checks of one message, it remembers: a client number belongs to the
    node that used it first, a message that a client sent before is refused, and no client may send
    more rows than its quota over the whole run.

    Args:
        terms: what a message has to look like.
        client_quota: rows that one client may send for training, in all rounds together; None
            where nothing is trained.
        admitted: what was admitted in earlier rounds, when a run is resumed.

    Attributes:
        admitted: all that was, those earlier rounds included.
    """

    def __init__(
        self,
        terms: PayloadTerms,
        *,
        client_quota: int | None = None,
        admitted: Admitted | None = None,
    ) -> None:
        self.terms = terms
        self.client_quota = client_quota
        self.refused: list[str] = []
        self._client_of: dict[int, int] = {}
        self._node_of: dict[int, int] = {}
        self.admitted = admitted or Admitted()
        self._asked: set[int] = set()
        self._round = 0
        self._purpose = Purpose.TRAIN

    def ask(self, nodes: Iterable[int], *, round: int, purpose: Purpose) -> list[int]:
        """Open a request: from now on these nodes may answer it, once each; returns them sorted."""
        self._asked = set(nodes)
        self._round, self._purpose = round, purpose
        return sorted(self._asked)

    def admit(self, replies: Iterable[Message]) -> Iterator[Payload]:
        """The valid payloads among the replies; the others' reasons are added to `refused`."""
        for reply in replies:
            try:
                yield self._check(reply)
            except PayloadError as refusal:
                reason = one_line(str(refusal))
                self.refused.append(reason)
                _log.warning("round %d: a reply was refused: %s", self._round, reason)

    def node_of(self, client: int) -> int | None:
        """The node that speaks for a client, if one has."""
        return self._node_of.get(client)

    def _check(self, reply: Message) -> Payload:
        node = reply.metadata.src_node_id
        if node not in self._asked:
            raise PayloadError("The node was not asked, or has replied already.")
        self._asked.remove(node)
        if reply.has_error():
            raise PayloadError(reply.error.reason or "The client failed.")
        payload = read_payload(reply.content, self.terms, round=self._round, purpose=self._purpose)
        self._bind(node, payload.client)
        rows = self.admitted.rows[payload.client] + len(payload.feature)
        training = self._purpose == Purpose.TRAIN
        if training and self.client_quota is not None and rows > self.client_quota:
            raise PayloadError(f"The client's quota of {self.client_quota} rows is used up.")
        self._refuse_replay(payload)
        if training:
            self.admitted.rows[payload.client] = rows
        return payload

    def _bind(self, node: int, client: int) -> None:
        """Tie a client number to the node that uses it first, so that nobody speaks for another."""
        if self._client_of.get(node, client) != client or self._node_of.get(client, node) != node:
            raise PayloadError("The client number belongs to another node.")
        self._client_of[node], self._node_of[client] = client, node

    def _refuse_replay(self, payload: Payload) -> None:
        digest = hashlib.sha256(f"{payload.client}/".encode())
        digest.update(payload.feature.numpy().tobytes())
        if digest.digest() in self.admitted.digests:
            raise PayloadError("The client has sent these features before.")
        self.admitted.digests.add(digest.digest())
