"""Inference on shared features: clients send them, and check what the server answers."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from torch import nn

from fl_crafter.flower.payload import PayloadTerms
from fl_crafter.flower.predictions import AGREES, VERDICT, Predictions, write_predictions
from fl_crafter.transcript import Purpose
from strategies.intake import Intake
from strategies.requests import CHECK_MESSAGE, INFERENCE_MESSAGE, NoValidReplies, requests
from strategies.utility import predict

_log = logging.getLogger("fl_crafter")


@dataclass
class InferenceRound:
    """What one round was like; the server's own notes.

    Attributes:
        round: from 1.
        rows: features that predictions were made for.
        agreed: clients that found the predictions to be those of the agreed cloud model.
        disputed: clients that did not, or whose verdict never came.
        refused: one sentence for each reply that was not valid.
        seconds: from sending the requests to the last verdict.
    """

    round: int
    rows: int = 0
    agreed: int = 0
    disputed: int = 0
    refused: list[str] = field(default_factory=list)
    seconds: float = 0.0


class FeatureInference(Strategy):
    """Answers every client's features with the cloud model's predictions; trains nothing.

    A round is two exchanges: features come and predictions go back, and each client says whether
    they are what the agreed cloud model gives. Labels are not asked for.

    Args:
        cloud: features -> one logit per attribute, trained beforehand.
        terms: what a reply has to look like.
        request: what every request states beside its round and purpose.
        on_round: is called with each finished round's record.
    """

    def __init__(
        self,
        cloud: nn.Module,
        *,
        terms: PayloadTerms,
        request: dict[str, str] | None = None,
        on_round: Callable[[InferenceRound], None] | None = None,
    ) -> None:
        self.cloud = cloud
        self.request = request or {}
        self.on_round = on_round
        self.rounds: list[InferenceRound] = []
        self.predictions: list[Predictions] = []
        self._intake = Intake(terms)
        self._answers: dict[int, Predictions] = {}
        self._began = 0.0

    def summary(self) -> None:
        """Log what is about to be done."""
        _log.info("inference on the features of %d clients", self._intake.terms.clients)

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

        Raises:
            NoValidReplies: the first round brought no features. A later one that brings none is
                noted, and what was answered before stays.
        """
        arrays = initial_arrays or ArrayRecord(self.cloud.state_dict())
        return super().start(
            grid, arrays, num_rounds, float(timeout), train_config, evaluate_config, evaluate_fn
        )

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask every node for features; `arrays` stay with the server."""
        self._began = time.monotonic()
        self.rounds.append(InferenceRound(server_round))
        nodes = self._intake.ask(
            grid.get_node_ids(), round=server_round, purpose=Purpose.EVALUATION
        )
        return requests(
            nodes, INFERENCE_MESSAGE, Purpose.EVALUATION, server_round, {**config, **self.request}
        )

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Predict for every valid reply."""
        record = self.rounds[-1]
        self._answers = {}
        for payload in self._intake.admit(replies):
            node = self._intake.node_of(payload.client)
            assert node is not None
            score = predict(self.cloud, payload.feature)
            self._answers[node] = Predictions(score, payload.client, server_round)
        record.refused, self._intake.refused = self._intake.refused, []
        answers = sorted(self._answers.values(), key=lambda answer: answer.client)
        self.predictions += answers
        record.rows = sum(len(answer.score) for answer in answers)
        if not answers:
            why = record.refused[0] if record.refused else "nobody replied in time."
            if not self.predictions:
                raise NoValidReplies(f"round {server_round} got no valid features: {why}")
            _log.warning("round %d got no valid features: %s", server_round, why)
        return None, MetricRecord({"replies": len(answers), "rows": record.rows})

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send each client its predictions."""
        stated = {**config, **self.request}
        messages = requests(
            sorted(self._answers), CHECK_MESSAGE, Purpose.EVALUATION, server_round, stated
        )
        for message in messages:
            answer = self._answers[message.metadata.dst_node_id]
            message.content.update(write_predictions(answer.score))
        return messages

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Count the verdicts; a client whose verdict is missing or malformed disputes."""
        record = self.rounds[-1]
        agreed = {reply.metadata.src_node_id for reply in replies if _agrees(reply)}
        record.agreed = len(agreed & set(self._answers))
        record.disputed = len(self._answers) - record.agreed
        record.seconds = time.monotonic() - self._began
        if self.on_round is not None:
            self.on_round(record)
        return MetricRecord({"agreed": record.agreed, "disputed": record.disputed})


def _agrees(reply: Message) -> bool:
    if reply.has_error() or set(reply.content) != {VERDICT}:
        return False
    return reply.content.metric_records.get(VERDICT, MetricRecord()) == MetricRecord({AGREES: 1})
