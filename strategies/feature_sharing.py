"""Feature sharing: clients send protected features, the server trains the cloud model on them."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from torch import nn

from fl_crafter.flower.payload import PayloadTerms
from fl_crafter.training.cloud import CloudTraining
from fl_crafter.transcript import Purpose
from strategies.intake import Admitted, Intake
from strategies.learning import distrusted, judge, train_on_stored
from strategies.requests import EVALUATION_MESSAGE, TRAIN_MESSAGE, NoValidReplies, requests
from strategies.store import FeatureStore
from strategies.utility import AttributeUtility

_log = logging.getLogger("fl_crafter")


@dataclass
class RoundRecord:
    """What one round was like; the server's own notes.

    Attributes:
        round: from 1.
        replies: valid training replies.
        evaluation_replies: valid evaluation replies.
        refused: one sentence for each reply that was not valid.
        distrusted: clients whose labels the others' contradict; not trained on, nor judged by.
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
    distrusted: list[int] = field(default_factory=list)
    rows: int = 0
    rows_in_all: int = 0
    loss: float = float("nan")
    utility: AttributeUtility = field(default_factory=lambda: AttributeUtility({}, ()))
    seconds: float = 0.0


@dataclass(frozen=True)
class SharingPlan:
    """Whom the server asks, and what it keeps.

    Attributes:
        clients_per_round: clients drawn for a round; 0 asks all.
        minimum_replies: valid training replies without which a round fails.
        client_quota: rows that one client may send for training, in all rounds together.
        replay_rows: features of earlier rounds, drawn anew each round, that are gone over again.
        check_labels: leave clients out whose labels the other clients' contradict.
        patience: rounds without a better utility after which training stops; 0 never stops.
    """

    clients_per_round: int = 0
    minimum_replies: int = 1
    client_quota: int = 100_000
    replay_rows: int = 100_000
    check_labels: bool = True
    patience: int = 0


class FeatureSharing(Strategy):
    """Asks clients, every round, for protected features of photographs not shared before.

    Unlike federated averaging nothing is averaged and no model travels: requests carry a round and
    a purpose, replies carry features and labels, and the cloud model stays with the server.
    Evaluation features are asked for once and never trained on.

    A reply with an error is skipped; a reply that `Intake` does not admit is refused as a whole and
    its reason logged, without content. What is admitted goes to the store as it arrives.

    Args:
        cloud: features -> one logit per attribute; trained in place.
        terms: what a reply has to look like.
        attribute_names: in the order of the labels.
        training: see `CloudTraining`.
        random: draws clients, earlier features and the order of training.
        store: keeps the admitted messages.
        plan: see `SharingPlan`.
        request: what every request states beside its round and purpose.
        on_round: is called with each finished round's record.
        done: records of the rounds that were finished before, when a run is resumed.
        admitted: what was admitted in those rounds; must be there where any are done.

    Raises:
        ValueError: terms and names differ in number, or what was admitted is missing.
    """

    def __init__(
        self,
        cloud: nn.Module,
        *,
        terms: PayloadTerms,
        attribute_names: tuple[str, ...],
        training: CloudTraining,
        random: torch.Generator,
        store: FeatureStore,
        plan: SharingPlan | None = None,
        request: Mapping[str, str] | None = None,
        on_round: Callable[[RoundRecord], None] | None = None,
        done: Iterable[RoundRecord] = (),
        admitted: Admitted | None = None,
    ) -> None:
        if len(attribute_names) != terms.attributes:
            raise ValueError("the terms and the attribute names differ in number")
        self.cloud = cloud
        self.terms = terms
        self.attribute_names = attribute_names
        self.training = training
        self.random = random
        self.store = store
        self.plan = plan or SharingPlan()
        self.request = dict(request or {})
        self.on_round = on_round
        self.rounds: list[RoundRecord] = list(done)
        if self.rounds and admitted is None:
            raise ValueError("rounds are done, and what was admitted in them is missing")
        self._intake = Intake(terms, client_quota=self.plan.client_quota, admitted=admitted)
        self._chosen: list[int] = []
        self._began = 0.0

    @property
    def admitted(self) -> Admitted:
        """What clients have sent, for a checkpoint."""
        return self._intake.admitted

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
        """Run the rounds that are not done yet, until the last or until patience ends.

        See `flwr.serverapp.strategy.Strategy.start`, whose loop knows neither. A client whose
        process died never replies, so a timeout is required.

        Raises:
            NoValidReplies: a round brought too little to train on, or no evaluation feature.
        """
        if not 0 < timeout < float("inf"):
            raise ValueError("a round needs a timeout of a positive number of seconds")
        self.summary()
        timeout = float(timeout)
        asked = train_config or ConfigRecord(), evaluate_config or ConfigRecord()
        arrays = initial_arrays or ArrayRecord(self.cloud.state_dict())
        result = Result()
        for current in range(len(self.rounds) + 1, num_rounds + 1):
            if self.out_of_patience():
                break
            messages = self.configure_train(current, arrays, asked[0], grid)
            replies = grid.send_and_receive(messages=messages, timeout=timeout)
            trained, metrics = self.aggregate_train(current, replies)
            assert trained is not None and metrics is not None
            arrays = result.arrays = trained
            result.train_metrics_clientapp[current] = metrics
            messages = self.configure_evaluate(current, arrays, asked[1], grid)
            replies = grid.send_and_receive(messages=messages, timeout=timeout)
            judged = self.aggregate_evaluate(current, replies)
            assert judged is not None
            result.evaluate_metrics_clientapp[current] = judged
            central = evaluate_fn(current, arrays) if evaluate_fn else None
            if central is not None:
                result.evaluate_metrics_serverapp[current] = central
        return result

    def out_of_patience(self) -> bool:
        """Whether the best utility lies `patience` rounds back."""
        if not self.plan.patience or not self.rounds:
            return False
        utilities = [record.utility.mean for record in self.rounds]
        # a round without a judgement is not the best; max would take nan for it
        judged = [-1.0 if math.isnan(utility) else utility for utility in utilities]
        best = max(range(len(judged)), key=judged.__getitem__)
        return len(utilities) - 1 - best >= self.plan.patience

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask this round's clients for training features; `arrays` stay with the server."""
        self._began = time.monotonic()
        self.rounds.append(RoundRecord(server_round))
        nodes = sorted(grid.get_node_ids())
        count = self.plan.clients_per_round or len(nodes)
        drawn = torch.randperm(len(nodes), generator=self.random)[:count]
        self._chosen = [nodes[place] for place in sorted(drawn.tolist())]
        return self._requests(TRAIN_MESSAGE, Purpose.TRAIN, server_round, config, self._chosen)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Train the cloud model on this round's features and on a draw of the earlier ones."""
        record = self.rounds[-1]
        _, refused = self._receive(replies)
        messages = self.store.messages(Purpose.TRAIN)
        new = [message for message in messages if message.round == server_round]
        record.replies, record.rows = len(new), sum(len(message.labels) for message in new)
        if len(new) < self.plan.minimum_replies:
            raise NoValidReplies(self._complaint("training", self.plan.minimum_replies, refused))
        if self.plan.check_labels:
            record.distrusted = distrusted(self.cloud, messages)
        record.rows_in_all, record.loss = train_on_stored(
            self.cloud,
            [m for m in messages if m.client not in record.distrusted],
            round=server_round,
            replay_rows=self.plan.replay_rows,
            settings=self.training,
            random=self.random,
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
        """Ask those of this round's clients that have not sent evaluation features yet."""
        sent = {message.client for message in self.store.messages(Purpose.EVALUATION)}
        done = {self._intake.node_of(client) for client in sent}
        nodes = [node for node in self._chosen if node not in done]
        return self._requests(EVALUATION_MESSAGE, Purpose.EVALUATION, server_round, config, nodes)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Judge the cloud model on all evaluation features at hand."""
        record = self.rounds[-1]
        record.evaluation_replies, refused = self._receive(replies)
        messages = self.store.messages(Purpose.EVALUATION)
        if not messages:
            raise NoValidReplies(self._complaint("evaluation", 1, refused))
        if self.plan.check_labels:
            found = distrusted(self.cloud, messages)
            record.distrusted = sorted({*record.distrusted, *found})
        trusted = [m for m in messages if m.client not in record.distrusted] or messages
        record.utility = judge(
            self.cloud, trusted, names=self.attribute_names, flip=self.training.flip
        )
        record.seconds = time.monotonic() - self._began
        if self.on_round is not None:
            self.on_round(record)
        metrics: dict[str, Any] = {"utility-auc": record.utility.mean}
        metrics |= {f"auc-{name}": value for name, value in record.utility.auc.items()}
        return MetricRecord(metrics)

    def _requests(
        self, kind: str, purpose: Purpose, server_round: int, config: ConfigRecord, nodes: list[int]
    ) -> list[Message]:
        asked = self._intake.ask(nodes, round=server_round, purpose=purpose)
        return requests(asked, kind, purpose, server_round, {**config, **self.request})

    def _receive(self, replies: Iterable[Message]) -> tuple[int, list[str]]:
        """Check the replies and store the valid ones, each as it arrives.

        Returns:
            Number of those that were stored, and why others were refused.
        """
        count = 0
        for payload in self._intake.admit(replies):
            self.store.add(payload)
            count += 1
        refused, self._intake.refused = self._intake.refused, []
        self.rounds[-1].refused += refused
        return count, refused

    def _complaint(self, phase: str, needed: int, refused: list[str]) -> str:
        why = f": {refused[0]}" if refused else ": nobody replied in time."
        few = "no valid" if needed == 1 else f"fewer than {needed} valid"
        replies = "reply" if needed == 1 else "replies"
        return f"round {self.rounds[-1].round} got {few} {phase} {replies}{why}"
