"""Feature sharing: clients send protected features, the server trains the cloud model on them."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from torch import Tensor, nn

from fl_crafter.flower.payload import Payload, PayloadTerms
from fl_crafter.transcript import Purpose
from strategies.cloud_training import CloudTraining, train_cloud
from strategies.intake import Intake
from strategies.requests import EVALUATION_MESSAGE, TRAIN_MESSAGE, NoValidReplies, requests
from strategies.utility import AttributeUtility, attribute_utility, predict

_log = logging.getLogger("fl_crafter")


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

    A reply with an error is skipped; a reply that `Intake` does not admit is refused as a whole and
    its reason logged, without content.

    Args:
        cloud: features -> one logit per attribute; trained in place.
        terms: what a reply has to look like.
        attribute_names: in the order of the labels.
        training: see `CloudTraining`.
        random: draws the order of training.
        client_quota: rows that one client may send for training, in all rounds together.
        request: what every request states beside its round and purpose.
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
        client_quota: int = 100_000,
        request: Mapping[str, str] | None = None,
        on_round: Callable[[RoundRecord], None] | None = None,
    ) -> None:
        if len(attribute_names) != terms.attributes:
            raise ValueError("the terms and the attribute names differ in number")
        self.cloud = cloud
        self.terms = terms
        self.attribute_names = attribute_names
        self.training = training
        self.random = random
        self.request = dict(request or {})
        self.on_round = on_round
        self.rounds: list[RoundRecord] = []
        self._received: dict[Purpose, list[Payload]] = {purpose: [] for purpose in Purpose}
        self._intake = Intake(terms, client_quota=client_quota)
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
        new = self._receive(replies, Purpose.TRAIN)
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
        done = {node for client in sent if (node := self._intake.node_of(client)) is not None}
        return self._requests(
            EVALUATION_MESSAGE, Purpose.EVALUATION, server_round, config, grid, without=done
        )

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Judge the cloud model on all evaluation features at hand."""
        record = self.rounds[-1]
        new = self._receive(replies, Purpose.EVALUATION)
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
        nodes = set(grid.get_node_ids()) - set(without)
        asked = self._intake.ask(nodes, round=server_round, purpose=purpose)
        return requests(asked, kind, purpose, server_round, {**config, **self.request})

    def _receive(self, replies: Iterable[Message], purpose: Purpose) -> list[Payload]:
        """Check the replies and keep the valid ones."""
        # replies arrive in any order, and the order of rows decides how training goes
        new = sorted(self._intake.admit(replies), key=lambda payload: payload.client)
        self.rounds[-1].refused += self._intake.refused
        self._intake.refused = []
        self._received[purpose] += new
        return new

    def _stacked(self, purpose: Purpose) -> tuple[Tensor, Tensor]:
        parts = self._received[purpose]
        return torch.cat([p.feature for p in parts]), torch.cat([p.labels for p in parts])

    def _complaint(self, phase: str) -> str:
        record = self.rounds[-1]
        why = f": {record.refused[0]}" if record.refused else ": nobody replied in time."
        return f"round {record.round} got no valid {phase} reply{why}"
