"""What a server asks clients for: message types, and the record that every request carries."""

from collections.abc import Iterable, Mapping

from flwr.app import ConfigRecord, ConfigRecordValues, Message, RecordDict

from fl_crafter.flower.payload import VERSION
from fl_crafter.transcript import Purpose

TRAIN_MESSAGE = "train.craft"
EVALUATION_MESSAGE = "evaluate.craft"
INFERENCE_MESSAGE = "query.craft"
CHECK_MESSAGE = "query.check"
REQUEST = "request"


class NoValidReplies(RuntimeError):
    """A round brought too little that the server may use."""


def requests(
    nodes: Iterable[int],
    kind: str,
    purpose: Purpose,
    server_round: int,
    stated: Mapping[str, ConfigRecordValues],
) -> list[Message]:
    """One request for each node, of this message type; `stated` goes with round and purpose."""
    request = {**stated, "version": VERSION, "round": server_round, "purpose": int(purpose)}
    return [
        Message(
            RecordDict({REQUEST: ConfigRecord(request)}), node, kind, group_id=str(server_round)
        )
        for node in nodes
    ]
