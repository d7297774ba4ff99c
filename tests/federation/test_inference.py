"""A server that only predicts: who gets answers, and what a round without any changes."""

from collections.abc import Callable, Iterator

import pytest
import torch
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

from fl_crafter.flower import Payload, PayloadTerms, write_payload
from fl_crafter.flower.predictions import AGREES, VERDICT, read_predictions
from fl_crafter.transcript import Purpose
from simulations.in_process import InProcessGrid, flower_identity
from strategies import FeatureInference, NoValidReplies

ROWS, SHAPE = 5, (2, 4, 4)
TERMS = PayloadTerms(feature_shape=SHAPE, attributes=2, clients=3, quota=10)


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with flower_identity():
        yield


def client_app(available: Callable[[int], bool]) -> ClientApp:
    """Clients that share features in the rounds in which they are there, and check the answers."""
    app = ClientApp()

    def request(message: Message) -> ConfigRecord:
        return message.content.config_records["request"]

    @app.query("craft")
    def craft(message: Message, context: Context) -> Message:
        client, number = int(context.node_config["partition-id"]), int(request(message)["round"])  # type: ignore[arg-type]
        if not available(number):
            raise RuntimeError("the phone is off")
        random = torch.Generator().manual_seed(10 * number + client)
        feature = torch.randn(ROWS, *SHAPE, generator=random)
        unknown = torch.full((ROWS, 2), float("nan"))
        payload = Payload(feature, unknown, client, number, Purpose.EVALUATION)
        return Message(write_payload(payload, dtype="float32"), reply_to=message)

    @app.query("check")
    def check(message: Message, context: Context) -> Message:
        read_predictions(message.content, shape=(ROWS, 2))
        return Message(RecordDict({VERDICT: MetricRecord({AGREES: 1})}), reply_to=message)

    return app


def infer(app: ClientApp, rounds: int) -> FeatureInference:
    torch.manual_seed(0)
    strategy = FeatureInference(nn.Sequential(nn.Flatten(), nn.Linear(32, 2)), terms=TERMS)
    strategy.start(InProcessGrid(app, clients=3), num_rounds=rounds, timeout=10)
    return strategy


def test_everybody_is_answered_once_a_round() -> None:
    strategy = infer(client_app(lambda number: True), rounds=2)
    asked = [(answer.round, answer.client) for answer in strategy.predictions]
    assert asked == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    assert [(record.rows, record.agreed) for record in strategy.rounds] == [(3 * ROWS, 3)] * 2


def test_a_round_that_brings_nothing_leaves_the_answers_of_earlier_ones() -> None:
    strategy = infer(client_app(lambda number: number != 2), rounds=3)
    assert [answer.round for answer in strategy.predictions] == [1, 1, 1, 3, 3, 3]
    assert [record.rows for record in strategy.rounds] == [3 * ROWS, 0, 3 * ROWS]
    assert "the phone is off" in strategy.rounds[1].refused[0]
    assert (strategy.rounds[1].agreed, strategy.rounds[1].disputed) == (0, 0)


def test_a_first_round_that_brings_nothing_ends_the_run() -> None:
    with pytest.raises(NoValidReplies, match="round 1 got no valid features: .*phone is off"):
        infer(client_app(lambda number: False), rounds=2)
