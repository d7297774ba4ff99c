"""Poisoned clients cannot ruin the model: what each does, and what is left of the utility."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from flwr.app import Array, ArrayRecord, Context, Message
from flwr.clientapp import ClientApp
from torch import Tensor, nn

from fl_crafter.flower import Payload, PayloadTerms, write_payload
from fl_crafter.transcript import Purpose
from simulations.in_process import InProcessGrid, flower_identity
from strategies import CloudTraining, FeatureSharing, FeatureStore, SharingPlan
from strategies.learning import norm_limit
from strategies.robust import (
    _agreement,
    _correlation,
    clip_norms,
    contradicts_the_others,
    copy_weights,
)

SHAPE, NAMES, CLIENTS = (4, 4, 4), ("glasses", "smile"), 5
TERMS = PayloadTerms(feature_shape=SHAPE, attributes=2, clients=CLIENTS, quota=200)
MIXING = torch.randn(2, 64, generator=torch.Generator().manual_seed(99))


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with flower_identity():
        yield


def rows(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Features that show their labels through noise."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count, 2), generator=random).float()
    noise = 5.0 * torch.randn(count, 64, generator=random)
    return ((2 * labels - 1) @ MIXING + noise).view(count, *SHAPE), labels


def flipped(payload: Payload) -> Payload:
    return replace(payload, labels=1 - payload.labels)


def copied(payload: Payload) -> Payload:
    """As many copies of one feature as the quota allows, with the wrong labels."""
    feature = payload.feature[:1].repeat(200, 1, 1, 1)
    return replace(payload, feature=feature, labels=(1 - payload.labels[:1]).repeat(200, 1))


def large(payload: Payload) -> Payload:
    """As large as the terms allow, pointing away from the truth."""
    wrong = ((1 - 2 * payload.labels) @ MIXING).view(payload.feature.shape)
    norm = wrong.square().mean((1, 2, 3), keepdim=True).sqrt()
    return replace(payload, feature=99 * wrong / norm)


def unreadable(value: float) -> Callable[[Message], None]:
    def spoil(reply: Message) -> None:
        arrays = reply.content.array_records["features"]
        values = arrays["feature"].numpy().copy()
        values[0, 0, 0, 0] = value
        kept = {name: arrays[name] for name in arrays}
        reply.content["features"] = ArrayRecord({**kept, "feature": Array(values)})

    return spoil


def utility(
    folder: Path,
    *,
    poison: Callable[[Payload], Payload] | None = None,
    spoil: Callable[[Message], None] | None = None,
    check_labels: bool = True,
    purposes: tuple[Purpose, ...] = (Purpose.TRAIN,),
) -> tuple[float, FeatureSharing]:
    """AUC on clean held-out rows after three rounds in which client 0 is poisoned."""
    app = ClientApp()

    def share(message: Message, context: Context) -> Message:
        client = int(context.node_config["partition-id"])
        request = message.content.config_records["request"]
        stated, purpose = int(request["round"]), Purpose(request["purpose"])  # type: ignore[arg-type]
        feature, labels = rows(40, seed=1000 * client + 10 * stated + purpose)
        payload = Payload(feature, labels, client, stated, purpose)
        if client == 0 and poison and purpose in purposes:
            payload = poison(payload)
        reply = Message(write_payload(payload, dtype="float32"), reply_to=message)
        if client == 0 and spoil:
            spoil(reply)
        return reply

    app.train("craft")(share)
    app.evaluate("craft")(share)
    torch.manual_seed(0)
    strategy = FeatureSharing(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 2)),
        terms=TERMS,
        attribute_names=NAMES,
        training=CloudTraining(epochs=6, learning_rate=0.01, head_learning_rate=0.01),
        random=torch.Generator().manual_seed(0),
        store=FeatureStore(folder, capacity=10_000),
        plan=SharingPlan(check_labels=check_labels),
    )
    strategy.start(InProcessGrid(app, clients=CLIENTS), num_rounds=3, timeout=10)
    return strategy.rounds[-1].utility.mean, strategy


POISONS: dict[str, dict[str, object]] = {
    "flipped labels": {"poison": flipped},
    "copies of one feature": {"poison": copied},
    "largest features allowed": {"poison": large},
    "nan": {"spoil": unreadable(float("nan"))},
    "1e30": {"spoil": unreadable(1e30)},
}


@pytest.mark.parametrize("name", list(POISONS))
def test_one_poisoned_client_in_five_costs_little(name: str, tmp_path: Path) -> None:
    clean, _ = utility(tmp_path / "clean")
    poisoned, strategy = utility(tmp_path / "poisoned", **POISONS[name])  # type: ignore[arg-type]
    assert clean > 0.8
    assert poisoned > clean - 0.03, f"{name}: {clean:.3f} -> {poisoned:.3f}"
    assert all(torch.isfinite(p).all() for p in strategy.cloud.parameters())


def test_flipped_labels_are_traced_to_the_client_that_sent_them(tmp_path: Path) -> None:
    _, strategy = utility(tmp_path, poison=flipped)
    assert [record.distrusted for record in strategy.rounds][-1] == [0]


def test_flipped_labels_of_evaluation_rows_do_not_decide_the_utility(tmp_path: Path) -> None:
    clean, _ = utility(tmp_path / "clean")
    judged, strategy = utility(tmp_path / "judged", poison=flipped, purposes=(Purpose.EVALUATION,))
    assert strategy.rounds[-1].distrusted == [0]
    assert judged > clean - 0.03
    believed, _ = utility(
        tmp_path / "believed", poison=flipped, purposes=(Purpose.EVALUATION,), check_labels=False
    )
    assert believed < clean - 0.1, "the poison works"


def test_honest_clients_are_trusted() -> None:
    found = []
    for seed in range(20):
        own = [rows(40, seed=100 * seed + client) for client in range(8)]
        found.append(
            contradicts_the_others([f.flatten(1) for f, _ in own], [labels for _, labels in own])
        )
    assert torch.stack(found).float().mean() < 0.02


def test_clients_of_two_rows_are_not_thrown_out() -> None:
    for seed in range(20):
        own = [rows(2, seed=100 * seed + client) for client in range(20)]
        found = contradicts_the_others([f.flatten(1) for f, _ in own], [each for _, each in own])
        assert not bool(found.any())


def test_flipped_clients_are_found_and_random_ones_let_be() -> None:
    caught, random_caught = [], []
    for seed in range(20):
        own = [rows(40, seed=100 * seed + client) for client in range(8)]
        labels = [labels for _, labels in own]
        labels[0] = 1 - labels[0]
        labels[1] = torch.randint(0, 2, (40, 2)).float()
        found = contradicts_the_others([f.flatten(1) for f, _ in own], labels)
        caught.append(float(found[0]))
        random_caught.append(float(found[1]))
    assert statistics.mean(caught) > 0.8
    assert statistics.mean(random_caught) < 0.2


def test_leaving_a_client_out_is_the_regression_without_its_rows() -> None:
    """The normal equations less a client's part against regressions that were fitted anew."""
    own = [rows(30, seed=client) for client in range(4)]
    embeddings, labels = [f.flatten(1) for f, _ in own], [labels for _, labels in own]
    everything = torch.cat(embeddings).double()
    mean, scale = everything.mean(0), everything.std(0, correction=0)
    x = [torch.cat([(e - mean) / scale, torch.ones(30, 1)], 1).double() for e in embeddings]
    y = [(2 * each - 1).double() for each in labels]
    penalty = 12 * torch.eye(65, dtype=torch.float64)
    expected = []
    for client in range(4):
        others = [i for i in range(4) if i != client]
        a, b = torch.cat([x[i] for i in others]), torch.cat([y[i] for i in others])
        fitted = x[client] @ torch.linalg.solve(a.T @ a + penalty, a.T @ b)
        expected.append(_correlation(fitted, y[client]))
    assert _agreement(embeddings, labels).tolist() == pytest.approx(expected)


def test_half_the_clients_flipped_is_more_than_can_be_told() -> None:
    own = [rows(40, seed=client) for client in range(6)]
    labels = [1 - labels if client < 3 else labels for client, (_, labels) in enumerate(own)]
    assert not contradicts_the_others([f.flatten(1) for f, _ in own], labels).any()


def test_of_two_clients_nobody_can_say_who_lies() -> None:
    own = [rows(30, seed=client) for client in range(2)]
    found = contradicts_the_others([f.flatten(1) for f, _ in own], [own[0][1], 1 - own[1][1]])
    assert not found.any()


def test_rows_are_clipped_to_the_limit_and_no_further() -> None:
    feature = torch.stack([torch.full(SHAPE, 1.0), torch.full(SHAPE, 10.0)])
    norm = clip_norms(feature, limit=2.0).square().mean((1, 2, 3)).sqrt()
    assert norm.tolist() == pytest.approx([1.0, 2.0])


def test_weights_of_copies_add_up_to_one() -> None:
    feature = torch.randn(3, *SHAPE)[[0, 1, 1, 1, 2]]
    assert copy_weights(feature).tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 1])


def test_many_small_messages_of_one_client_do_not_set_the_norm_limit(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, capacity=10_000)
    for client in range(1, CLIENTS):
        feature, labels = rows(20, seed=client)
        store.add(Payload(feature, labels, client, 1, Purpose.TRAIN))
    honest = norm_limit(store.messages(Purpose.TRAIN))
    for number in range(1, 21):
        feature, labels = rows(1, seed=100 + number)
        store.add(Payload(feature * 1e-4, labels, 0, number, Purpose.TRAIN))
    assert norm_limit(store.messages(Purpose.TRAIN)) > 0.9 * honest
