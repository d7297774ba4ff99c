"""Feature sharing: clients send protected features, the server trains the cloud model on them."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from torch import Tensor, nn

from fl_crafter.flower.payload import VERSION, Payload, PayloadError, PayloadTerms, read_payload
from fl_crafter.transcript import Purpose
from strategies.cloud_training import CloudTraining, train_cloud
from strategies.utility import AttributeUtility, attribute_utility, predict

TRAIN_MESSAGE = "train.craft"
EVALUATION_MESSAGE = "evaluate.craft"
REQUEST = "request"

_log = logging.getLogger("fl_crafter")


class NoValidReplies(RuntimeError):
    """A round brought nothing that the server may use."""


@dataclass
class RoundRecord:
    """What one round was like; the server's own notes.

    Attributes:
        round: from 1.
        replies: valid training replies.
        evaluation_replies: valid evaluation replies.
        refused: one sentence for each reply that was not valid.
        rows: new features.
        rows_in_all: features that the cloud model trained on.
        loss: of the last epoch of this round's training.
        utility: after this round's training.
        seconds: from sending the requests to the utility.
    """

    round: int
    replies: int = 0
    evaluation_replies: int = 0
    refused: list[str] = field(default_factory=list)
    rows: int = 0
    rows_in_all: int = 0
    loss: float = float("nan")
    utility: AttributeUtility = field(default_factory=lambda: AttributeUtility({}, ()))
    seconds: float = 0.0


class FeatureSharing(Strategy):
    """Asks every client, every round, for protected features of photographs not shared before.

    Unlike federated averaging nothing is averaged and no model travels: requests carry a round and
    a purpose, replies carry features and labels, and the cloud model stays with the server.
    Evaluation features are asked for once and never trained on.

    A reply with an error is skipped; a reply that breaks the terms is refused as a whole and its
    reason logged, without content. A client number belongs to the node that used it first.

    Args:
        cloud: features -> one logit per attribute; trained in place.
        terms: what a reply has to look like.
        attribute_names: in the order of the labels.
        training: see `CloudTraining`.
        random: draws the order of training.
        on_round: is called with each finished round's record.
    """

    def __init__(
        self,
        cloud: nn.Module,
        *,
        terms: PayloadTerms,
        attribute_names: tuple[str, ...],
        training: CloudTraining,
        random: torch.Generator,
        on_round: Callable[[RoundRecord], None] | None = None,
    ) -> None:
        if len(attribute_names) != terms.attributes:
            raise ValueError("the terms and the attribute names differ in number")
        self.cloud = cloud
        self.terms = terms
        self.attribute_names = attribute_names
        self.training = training
        self.random = random
        self.on_round = on_round
        self.rounds: list[RoundRecord] = []
        self._received: dict[Purpose, list[Payload]] = {purpose: [] for purpose in Purpose}
        self._client_of: dict[int, int] = {}
        self._node_of: dict[int, int] = {}
        self._began = 0.0

    def summary(self) -> None:
        """Log what is about to be done."""
        _log.info(
            "feature sharing: %d clients, %d attributes, features of shape %s",
            self.terms.clients,
            self.terms.attributes,
            "x".join(map(str, self.terms.feature_shape)),
        )

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord | None = None,
        num_rounds: int = 3,
        timeout: float = 600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Run all rounds; see `flwr.serverapp.strategy.Strategy.start`.

        A client whose process died never replies, so a timeout is required.

        Raises:
            NoValidReplies: a round brought nothing to train on, or no evaluation feature ever came.
        """
        if not 0 < timeout < float("inf"):
            raise ValueError("a round needs a timeout of a positive number of seconds")
        arrays = initial_arrays or ArrayRecord(self.cloud.state_dict())
        return super().start(
            grid, arrays, num_rounds, float(timeout), train_config, evaluate_config, evaluate_fn
        )

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask every node for training features; `arrays` stay with the server."""
        self._began = time.monotonic()
        self.rounds.append(RoundRecord(server_round))
        return self._requests(TRAIN_MESSAGE, Purpose.TRAIN, server_round, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Train the cloud model on all features received so far, this round's included."""
        record = self.rounds[-1]
        new = self._receive(replies, Purpose.TRAIN, server_round)
        record.replies, record.rows = len(new), sum(len(part.feature) for part in new)
        if not new:
            raise NoValidReplies(self._complaint("training"))
        feature, labels = self._stacked(Purpose.TRAIN)
        record.rows_in_all = len(feature)
        record.loss = train_cloud(
            self.cloud, feature, labels, settings=self.training, random=self.random
        )
        metrics: dict[str, Any] = {
            "replies": record.replies,
            "rows": record.rows,
            "rows-in-all": record.rows_in_all,
            "loss": record.loss,
        }
        return ArrayRecord(self.cloud.state_dict()), MetricRecord(metrics)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask for evaluation features whoever has not sent any yet."""
        sent = {part.client for part in self._received[Purpose.EVALUATION]}
        done = {self._node_of[client] for client in sent}
        return self._requests(
            EVALUATION_MESSAGE, Purpose.EVALUATION, server_round, config, grid, without=done
        )

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Judge the cloud model on all evaluation features at hand."""
        record = self.rounds[-1]
        new = self._receive(replies, Purpose.EVALUATION, server_round)
        record.evaluation_replies = len(new)
        if not self._received[Purpose.EVALUATION]:
            raise NoValidReplies(self._complaint("evaluation"))
        feature, labels = self._stacked(Purpose.EVALUATION)
        score = predict(self.cloud, feature)
        record.utility = attribute_utility(score, labels, names=self.attribute_names)
        record.seconds = time.monotonic() - self._began
        if self.on_round is not None:
            self.on_round(record)
        metrics: dict[str, Any] = {"utility-auc": record.utility.mean}
        metrics |= {f"auc-{name}": value for name, value in record.utility.auc.items()}
        return MetricRecord(metrics)

    def received(self, purpose: Purpose) -> list[Payload]:
        """All valid messages of one purpose, in order of arrival."""
        return list(self._received[purpose])

    def _requests(
        self,
        kind: str,
        purpose: Purpose,
        server_round: int,
        config: ConfigRecord,
        grid: Grid,
        *,
        without: Iterable[int] = (),
    ) -> list[Message]:
        request = {"version": VERSION, "round": server_round, "purpose": int(purpose)}
        nodes = sorted(set(grid.get_node_ids()) - set(without))
        return [
            Message(
                RecordDict({REQUEST: ConfigRecord({**config, **request})}),
                node,
                kind,
                group_id=str(server_round),
            )
            for node in nodes
        ]

    def _receive(
        self, replies: Iterable[Message], purpose: Purpose, server_round: int
    ) -> list[Payload]:
        """Check the replies and keep the valid ones."""
        new: list[Payload] = []
        for reply in replies:
            node = reply.metadata.src_node_id
            try:
                if reply.has_error():
                    raise PayloadError(reply.error.reason or "The client failed.")
                payload = read_payload(
                    reply.content, self.terms, round=server_round, purpose=purpose
                )
                self._bind(node, payload.client)
                if any(part.client == payload.client for part in new):
                    raise PayloadError("The client has replied already.")
            except PayloadError as refusal:
                # a Ray worker's error carries its whole traceback: the last line says what happened
                reason = str(refusal).strip().splitlines()[-1][:300]
                self.rounds[-1].refused.append(reason)
                _log.warning("round %d: a reply was refused: %s", server_round, reason)
                continue
            new.append(payload)
        # replies arrive in any order, and the order of rows decides how training goes
        new.sort(key=lambda payload: payload.client)
        self._received[purpose] += new
        return new

    def _bind(self, node: int, client: int) -> None:
        """Tie a client number to the node that uses it first, so that nobody speaks for another."""
        if self._client_of.get(node, client) != client or self._node_of.get(client, node) != node:
            raise PayloadError("The client number belongs to another node.")
        self._client_of[node], self._node_of[client] = client, node

    def _stacked(self, purpose: Purpose) -> tuple[Tensor, Tensor]:
        parts = self._received[purpose]
        return torch.cat([p.feature for p in parts]), torch.cat([p.labels for p in parts])

    def _complaint(self, phase: str) -> str:
        record = self.rounds[-1]
        why = f": {record.refused[0]}" if record.refused else ": nobody replied in time."
        return f"round {record.round} got no valid {phase} reply{why}"
