import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import Array, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from torch import Tensor, nn

from fl_crafter.errors import InputError
from fl_crafter.flower import Payload, PayloadTerms, TapGrid, write_payload
from fl_crafter.models.resnet import resnet18_split
from fl_crafter.transcript import Purpose
from simulations.in_process import InProcessGrid, flower_identity
from strategies import (
    AttributeUtility,
    CloudTraining,
    FeatureSharing,
    FeatureStore,
    Intake,
    NoValidReplies,
    RoundRecord,
    SharingPlan,
    attribute_utility,
    load_checkpoint,
    save_checkpoint,
    train_cloud,
    with_head,
)
from strategies.intake import Admitted
from strategies.requests import TRAIN_MESSAGE

SHAPE = (2, 4, 4)
NAMES = ("glasses", "smile")
TERMS = PayloadTerms(feature_shape=SHAPE, attributes=2, clients=4, quota=50)
Spoil = Callable[[Payload], Payload]


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with flower_identity():
        yield


def learnable(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Features whose first channel carries the labels."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count, 2), generator=random).float()
    feature = 0.3 * torch.randn(count, *SHAPE, generator=random)
    feature[:, 0, 0, :2] += 2 * labels - 1
    return feature, labels


def client_app(spoil: dict[int, Spoil] | None = None, mods: Sequence[Any] = ()) -> ClientApp:
    """Clients that share learnable features; `spoil` changes what one of them sends."""
    app = ClientApp(mods=list(mods))

    def share(message: Message, context: Context) -> Message:
        client = int(context.node_config["partition-id"])
        request = message.content.config_records["request"]
        stated, purpose = int(request["round"]), Purpose(request["purpose"])  # type: ignore[arg-type]
        feature, labels = learnable(20, seed=1000 * client + 10 * stated + purpose)
        payload = Payload(feature, labels, client, stated, purpose)
        if spoil and client in spoil:
            payload = spoil[client](payload)
        return Message(write_payload(payload, dtype="float32"), reply_to=message)

    app.train("craft")(share)
    app.evaluate("craft")(share)
    return app


def make_strategy(
    folder: Path,
    done: Sequence[RoundRecord] = (),
    admitted: Admitted | None = None,
    **plan: Any,
) -> FeatureSharing:
    torch.manual_seed(0)
    return FeatureSharing(
        nn.Sequential(nn.Flatten(), nn.Linear(32, 2)),
        terms=TERMS,
        attribute_names=NAMES,
        training=CloudTraining(epochs=10, learning_rate=0.01, head_learning_rate=0.01),
        random=torch.Generator().manual_seed(0),
        store=FeatureStore(folder, capacity=plan.pop("capacity", 100_000)),
        plan=SharingPlan(**plan),
        done=done,
        admitted=admitted,
    )


def run(
    app: ClientApp, rounds: int = 2, clients: int = 4, **plan: Any
) -> tuple[FeatureSharing, TapGrid]:
    strategy = make_strategy(Path(tempfile.mkdtemp()), **plan)
    tap = TapGrid(InProcessGrid(app, clients=clients), terms=TERMS)
    strategy.start(tap, num_rounds=rounds, timeout=10)
    return strategy, tap


def test_the_cloud_model_learns_from_all_rounds_and_never_from_evaluation() -> None:
    strategy, tap = run(client_app(), rounds=3)
    assert [record.rows for record in strategy.rounds] == [80, 80, 80]
    assert [record.rows_in_all for record in strategy.rounds] == [80, 160, 240]
    assert [record.evaluation_replies for record in strategy.rounds] == [4, 0, 0]
    assert strategy.rounds[-1].loss < strategy.rounds[0].loss
    assert strategy.rounds[-1].utility.mean > 0.95
    transcript = tap.transcript
    assert transcript is not None
    assert len(transcript) == 240 + 80
    assert len(transcript.of_purpose(Purpose.EVALUATION)) == 80
    assert transcript.client.unique().tolist() == [0, 1, 2, 3]
    sent, _ = learnable(20, seed=1020)
    chosen = (transcript.client == 1) & (transcript.round == 2)
    assert torch.equal(transcript.select(chosen).feature, sent)


def raising(payload: Payload) -> Payload:
    raise RuntimeError("out of memory")


def test_a_client_that_raises_is_skipped() -> None:
    strategy, tap = run(client_app({2: raising}))
    assert [record.replies for record in strategy.rounds] == [3, 3]
    assert "out of memory" in strategy.rounds[0].refused[0]
    assert 2 not in tap.transcript.client  # type: ignore[union-attr]


def test_a_feature_with_nan_is_refused_and_not_trained_on() -> None:
    def careless(
        message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        """A client that does not check what it sends."""
        reply = call_next(message, context)
        if context.node_config["partition-id"] == 1:
            arrays = reply.content.array_records["features"]
            values = arrays["feature"].numpy().copy()
            values[0, 0, 0, 0] = float("nan")
            arrays["feature"] = Array(values)
        return reply

    strategy, tap = run(client_app(mods=[careless]))
    assert [record.replies for record in strategy.rounds] == [3, 3]
    assert strategy.rounds[0].refused == ["The feature holds values that are not finite."] * 2
    assert strategy.rounds[1].rows_in_all == 2 * 60
    assert all(torch.isfinite(p).all() for p in strategy.cloud.parameters())
    assert sum(tap.unread.values()) == 4


def speaking_for_another(payload: Payload) -> Payload:
    return Payload(payload.feature, payload.labels, 0, payload.round, payload.purpose)


def test_nobody_speaks_for_another_client() -> None:
    strategy, tap = run(client_app({3: speaking_for_another}))
    assert [record.replies for record in strategy.rounds] == [3, 3]
    assert strategy.rounds[0].refused[0] == "The client number belongs to another node."
    assert strategy.rounds[0].rows == 60
    # nor is what the other sent hidden from the record of the line
    assert tap.transcript is not None
    for client in (0, 3):
        sent, _ = learnable(20, seed=1000 * client + 10)
        assert (tap.transcript.feature[:, None] == sent).flatten(2).all(2).any(0).all(), client


def test_a_late_evaluation_upload_is_asked_for_again() -> None:
    calls: list[int] = []

    def first_time_fails(payload: Payload) -> Payload:
        if payload.purpose == Purpose.EVALUATION:
            calls.append(payload.round)
            if len(calls) == 1:
                raise RuntimeError("not now")
        return payload

    strategy, _ = run(client_app({1: first_time_fails}), rounds=3)
    assert calls == [1, 2]
    assert [record.evaluation_replies for record in strategy.rounds] == [3, 1, 0]


def test_a_round_without_valid_replies_ends_the_run() -> None:
    with pytest.raises(NoValidReplies, match="round 1 got no valid training reply: .*memory"):
        run(client_app(dict.fromkeys(range(4), raising)))


def test_a_round_needs_a_timeout(tmp_path: Path) -> None:
    grid = InProcessGrid(client_app(), clients=4)
    with pytest.raises(ValueError, match="timeout"):
        make_strategy(tmp_path).start(grid, timeout=float("inf"))


def test_the_same_seed_gives_the_same_cloud_model() -> None:
    first, second = run(client_app())[0].cloud, run(client_app())[0].cloud
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("utilities", "ends"),
    [
        ([0.6, 0.5, 0.5], True),
        ([0.5, 0.6, 0.5], False),
        ([math.nan, 0.5, 0.4], False),
        ([0.6, math.nan, math.nan], True),
        ([math.nan, math.nan, 0.5], False),
    ],
)
def test_patience_counts_from_the_best_round_that_was_judged(
    utilities: list[float], ends: bool, tmp_path: Path
) -> None:
    strategy = make_strategy(tmp_path, patience=2)
    for number, auc in enumerate(utilities, start=1):
        judged = {} if math.isnan(auc) else {"smile": auc}
        strategy.rounds.append(RoundRecord(number, utility=AttributeUtility(judged, ())))
    assert strategy.out_of_patience() is ends


def test_a_resumed_run_knows_what_was_sent_before(tmp_path: Path) -> None:
    """Even of messages that the store has forgotten; what is overheard stays overheard, too."""
    path, random = tmp_path / "checkpoint.safetensors", torch.Generator().manual_seed(0)
    settings = {"defence": "crafter", "clients": 4}
    strategy = make_strategy(tmp_path / "features", capacity=80)
    tap = TapGrid(InProcessGrid(client_app(), clients=4), terms=TERMS, folder=tmp_path / "heard")
    strategy.start(tap, num_rounds=2, timeout=10)
    first, _ = learnable(20, seed=10)

    def replay(payload: Payload) -> Payload:
        return replace(payload, feature=first) if payload.round == 3 else payload

    save_checkpoint(
        path,
        strategy.cloud,
        strategy.rounds,
        random=random,
        admitted=strategy.admitted,
        settings=settings,
    )
    again = make_strategy(tmp_path / "features", capacity=80)
    rounds, admitted = load_checkpoint(path, again.cloud, random=random, settings=settings)
    assert admitted == strategy.admitted and admitted.rows[0] == 40
    resumed = make_strategy(
        tmp_path / "features", capacity=80, client_quota=60, done=rounds, admitted=admitted
    )
    app = client_app(spoil={0: replay})
    later = TapGrid(InProcessGrid(app, clients=4), terms=TERMS, folder=tmp_path / "heard")
    resumed.start(later, num_rounds=4, timeout=10)
    assert "The client has sent these features before." in resumed.rounds[2].refused
    quota = "The client's quota of 60 rows is used up."
    assert resumed.rounds[3].refused.count(quota) == 3, "of those whose third message came"
    assert tap.transcript is not None and later.transcript is not None
    heard = {
        (int(r), int(p))
        for r, p in zip(later.transcript.round, later.transcript.purpose, strict=True)
    }
    assert heard == {(1, 0), (1, 1), (2, 0), (3, 0), (4, 0)}
    assert len(later.transcript) == 4 * 20 * 5
    with pytest.raises(InputError, match="defence = crafter;"):
        load_checkpoint(path, again.cloud, random=random, settings={**settings, "defence": "none"})


def test_what_was_refused_is_told_of_the_phase_that_failed() -> None:
    def refuse(payload: Payload) -> Payload:
        if payload.purpose == Purpose.EVALUATION:
            return replace(payload, feature=payload.feature * 1e6)
        return replace(payload, client=9) if payload.client == 0 else payload

    with pytest.raises(NoValidReplies, match="no valid evaluation reply: .*value"):
        run(client_app(spoil=dict.fromkeys(range(4), refuse)))


@pytest.mark.parametrize("reason", ["", " ", "\n"])
def test_a_client_that_says_nothing_of_its_failure_is_skipped(reason: str) -> None:
    intake = Intake(TERMS)
    (node,) = intake.ask([7], round=1, purpose=Purpose.TRAIN)
    request = Message(RecordDict(), node, TRAIN_MESSAGE)
    reply = Message(Error(0, reason), reply_to=request)
    assert list(intake.admit([reply])) == []
    assert intake.refused == ["The client failed."]


def test_attributes_with_one_class_are_skipped_and_named() -> None:
    score = torch.tensor([[0.1, 0.5, 0.3], [0.9, 0.5, 0.2]])
    labels = torch.tensor([[0.0, 1.0, float("nan")], [1.0, 1.0, 0.0]])
    utility = attribute_utility(score, labels, names=("smile", "male", "glasses"))
    assert utility.auc == {"smile": 1.0}
    assert utility.skipped == ("male", "glasses")
    assert utility.mean == 1.0


def test_the_head_is_new_only_where_the_attributes_differ() -> None:
    torch.manual_seed(0)
    cloud = resnet18_split(attributes=40, widths=(2, 2, 4, 4)).cloud.requires_grad_(False)
    random = torch.Generator().manual_seed(0)
    same = with_head(cloud, attributes=40, random=random)
    other = with_head(cloud, attributes=4, random=random)
    feature = torch.randn(3, 2, 8, 8)
    assert torch.equal(same.eval()(feature), cloud.eval()(feature))
    assert other.eval()(feature).shape == (3, 4)
    assert all(parameter.requires_grad for parameter in other.parameters())
    assert torch.equal(next(other.parameters()), next(cloud.parameters()))
    assert not any(parameter.requires_grad for parameter in cloud.parameters())


def test_training_leaves_batch_statistics_alone_and_ignores_unknown_labels() -> None:
    torch.manual_seed(0)
    cloud = resnet18_split(attributes=2, widths=(2, 2, 4, 4)).cloud
    before = {key: value.clone() for key, value in cloud.state_dict().items()}
    labels = torch.full((6, 2), float("nan"))
    labels[:, 0] = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    loss = train_cloud(
        cloud,
        torch.randn(6, 2, 8, 8).__getitem__,
        labels,
        settings=CloudTraining(epochs=2, weight_decay=0.0),
        random=torch.Generator().manual_seed(0),
    )
    after = cloud.state_dict()
    assert loss == loss
    for key in before:
        if "running" in key or "num_batches" in key:
            assert torch.equal(before[key], after[key]), key
    name = next(key for key in before if key.endswith("weight") and before[key].shape == (2, 4))
    # the second attribute has no label, so nothing pulls on its logit
    assert torch.equal(before[name][1], after[name][1])
    assert not torch.equal(before[name][0], after[name][0])


def test_training_depends_on_its_own_generator_alone() -> None:
    """Client and server train the same deployed model in different processes, with dropout."""
    feature, labels = learnable(40, seed=3)
    trained = []
    for seed in (1, 2):
        torch.manual_seed(0)
        cloud = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(32, 2))
        torch.manual_seed(seed)
        train_cloud(
            cloud,
            feature.__getitem__,
            labels,
            settings=CloudTraining(epochs=2),
            random=torch.Generator().manual_seed(0),
        )
        trained.append(cloud[2].weight)
    assert torch.equal(trained[0], trained[1])
