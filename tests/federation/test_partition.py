"""Among how many clients the photographs are divided does not decide on the utility."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from torch import Tensor, nn

from benchmarks import federation_clients
from fl_crafter.flower import Payload, PayloadTerms, write_payload
from fl_crafter.transcript import Purpose
from simulations.config import SimulationConfig
from simulations.in_process import InProcessGrid, flower_identity
from strategies import (
    CloudTraining,
    FeatureSharing,
    FeatureStore,
    WaveGrid,
    attribute_utility,
    predict,
    train_cloud,
)

SHAPE, NAMES, ROUNDS = (4, 4, 4), ("glasses", "smile"), 2
TRAINING = CloudTraining(epochs=6, learning_rate=0.01, head_learning_rate=0.01)


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with flower_identity():
        yield


def rows(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(2, 64, generator=torch.Generator().manual_seed(99))
    labels = torch.randint(0, 2, (count, 2), generator=random).float()
    noise = 5.0 * torch.randn(count, 64, generator=random)
    return ((2 * labels - 1) @ mixing + noise).view(count, *SHAPE), labels


POOLS = {Purpose.TRAIN: rows(400, seed=1), Purpose.EVALUATION: rows(200, seed=2)}


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))


def federated(clients: int, folder: Path) -> float:
    app = ClientApp()

    def share(message: Message, context: Context) -> Message:
        client = int(context.node_config["partition-id"])
        request = message.content.config_records["request"]
        stated, purpose = int(request["round"]), Purpose(request["purpose"])  # type: ignore[arg-type]
        own = torch.arange(len(POOLS[purpose][0])).tensor_split(clients)[client]
        if purpose == Purpose.TRAIN:
            own = own.tensor_split(ROUNDS)[stated - 1]
        feature, labels = (whole[own] for whole in POOLS[purpose])
        payload = Payload(feature, labels, client, stated, purpose)
        return Message(write_payload(payload, dtype="float32"), reply_to=message)

    app.train("craft")(share)
    app.evaluate("craft")(share)
    strategy = FeatureSharing(
        model(),
        terms=PayloadTerms(SHAPE, 2, clients),
        attribute_names=NAMES,
        training=TRAINING,
        random=torch.Generator().manual_seed(0),
        store=FeatureStore(folder, capacity=1000),
    )
    grid = WaveGrid(InProcessGrid(app, clients=clients), wave=8)
    strategy.start(grid, num_rounds=ROUNDS, timeout=60)
    assert strategy.rounds[-1].rows_in_all == 400
    return strategy.rounds[-1].utility.mean


def alone() -> float:
    """The same rows, rounds and seed, without clients."""
    cloud, random = model(), torch.Generator().manual_seed(0)
    feature, labels = POOLS[Purpose.TRAIN]
    for stop in (200, 400):
        train_cloud(
            cloud, feature[:stop].__getitem__, labels[:stop], settings=TRAINING, random=random
        )
    score = predict(cloud, POOLS[Purpose.EVALUATION][0])
    return attribute_utility(score, POOLS[Purpose.EVALUATION][1], names=NAMES).mean


def half_interval(auc: float, count: int) -> float:
    """Half of the 95% interval of an AUC (Hanley and McNeil, 1982), classes equally frequent."""
    pairs, triples = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    each = count / 2
    variance = auc * (1 - auc) + (each - 1) * (pairs + triples - 2 * auc**2)
    return 1.96 * (variance / each**2) ** 0.5


@pytest.mark.parametrize("clients", [4, 20, 100])
def test_utility_is_the_single_process_one_within_its_interval(
    clients: int, tmp_path: Path
) -> None:
    single = alone()
    assert 0.8 < single < 0.99
    # two attributes are averaged; one attribute's interval is the wider one
    assert abs(federated(clients, tmp_path) - single) < half_interval(single, 200) / 2


def test_the_benchmark_compares_the_same_photographs(
    make_config: Callable[..., SimulationConfig],
) -> None:
    config = make_config()
    single = federation_clients.alone(config)
    divided = federation_clients.federated(config, 20)
    assert single["rows"] == divided["rows"] == 100
    assert single["evaluation_rows"] == divided["evaluation_rows"] == 100
    assert divided["refused"] == 0
    low, high = single["interval"]
    assert low < single["utility_auc"] < high
    assert low <= divided["utility_auc"] <= high
