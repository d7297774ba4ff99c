import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from torch import Tensor, nn

from fl_crafter import Protector, cut
from fl_crafter.defences.base import Defence, Protected, Status
from fl_crafter.defences.crafter.crafter import Crafter
from fl_crafter.flower import CrafterMod
from simulations.in_process import InProcessGrid, flower_identity

CLEAN = torch.arange(24.0).view(2, 1, 3, 4)


class Noisy(Defence):
    """Adds noise and remembers what it was given."""

    name = "noisy"

    def __init__(self, status: Status = Status.OK) -> None:
        self.status = status
        self.seen: list[Tensor] = []

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        self.seen.append(feature.clone())
        noise = torch.randn(feature.shape, generator=random)
        return Protected(feature + noise, self.status, {"utility_loss": 1.0})


class Broken(Defence):
    """Releases what a test says."""

    name = "broken"

    def __init__(self, released: Tensor) -> None:
        self.released = released

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        return Protected(self.released)


sharing = partial(CrafterMod, passing=("labels",))


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with flower_identity():
        yield


def reply_of(app: ClientApp, kind: str = "train") -> Message:
    """What crosses the wire when the app is asked something."""
    grid = InProcessGrid(app, clients=1)
    (node,) = grid.get_node_ids()
    (reply,) = grid.send_and_receive([Message(RecordDict(), node, kind, group_id="1")])
    return reply


def app_returning(content: RecordDict, *mods: Any) -> ClientApp:
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return Message(content, reply_to=message)

    return app


def content_of(feature: Tensor = CLEAN, **more: Tensor) -> RecordDict:
    arrays = {"feature": feature, "labels": torch.ones(2, 3)} | more
    return RecordDict(
        {
            "features": ArrayRecord({name: Array(value.numpy()) for name, value in arrays.items()}),
            "metrics": MetricRecord({"num-examples": 2}),
        }
    )


def only(record: str, key: str) -> RecordDict:
    return RecordDict({record: ArrayRecord({key: Array(CLEAN.numpy())})})


def feature_in(message: Message, record: str = "features", key: str = "feature") -> Tensor:
    return torch.from_numpy(message.content.array_records[record][key].numpy())


def test_a_plain_third_party_client_app_is_protected_by_one_line() -> None:
    defence = Noisy()
    app = ClientApp(mods=[CrafterMod(defence, record="hidden", key="embedding")])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return Message(only("hidden", "embedding"), reply_to=message)

    reply = reply_of(app)
    sent = feature_in(reply, "hidden", "embedding")
    assert list(reply.content) == ["hidden"]
    assert sent.shape == CLEAN.shape
    assert not torch.isclose(sent, CLEAN).all()
    assert torch.equal(defence.seen[0], CLEAN)


def test_the_innermost_mod_sees_the_clean_feature_and_all_others_the_protected_one() -> None:
    outside: list[Tensor] = []

    def curious(
        message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        reply = call_next(message, context)
        outside.append(feature_in(reply))
        return reply

    defence = Noisy()
    reply = reply_of(app_returning(content_of(), curious, sharing(defence)))
    assert torch.equal(defence.seen[0], CLEAN)
    assert torch.equal(outside[0], feature_in(reply))
    assert not torch.isclose(outside[0], CLEAN).all()


def test_embeddings_are_protected_by_a_protectors_defence() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 6), nn.ReLU(), nn.Linear(6, 2))
    protector = Protector(cut(network, "2"), public=torch.rand(64, 3, 8, 8), steps=2)
    clean = protector.encode(torch.rand(4, 3, 8, 8))
    sent = feature_in(reply_of(app_returning(content_of(clean), sharing(protector.defence))))
    assert sent.shape == clean.shape == (4, 6)
    assert not torch.isclose(sent, clean).all(1).any()

    of_maps = Crafter(start=Noisy())
    refused = reply_of(app_returning(content_of(clean), sharing(of_maps)))
    # the tests' own check of types comes first
    assert re.fullmatch(r"The client failed with (Value|TypeCheck)Error\.", refused.error.reason)


def test_labels_metrics_and_the_wire_type_stay_as_they_were() -> None:
    reply = reply_of(app_returning(content_of(CLEAN.half()), sharing(Noisy())))
    assert reply.content.array_records["features"]["feature"].dtype == "float16"
    assert torch.equal(feature_in(reply, key="labels"), torch.ones(2, 3))
    assert reply.content.metric_records["metrics"]["num-examples"] == 2


@pytest.mark.parametrize(
    ("defence", "reason"),
    [
        (Noisy(Status.DIVERGED), "The defence noisy diverged; nothing was sent."),
        (Noisy(Status.IDENTIFIED), "The release gate still saw a person after noisy"),
        (Broken(CLEAN.clone().fill_(float("nan"))), "not finite"),
        (Broken(CLEAN + 1e6), "not finite in float16"),
        (Broken(CLEAN[:1]), "changed the shape"),
    ],
)
def test_without_protection_nothing_leaves(defence: Defence, reason: str) -> None:
    reply = reply_of(app_returning(content_of(CLEAN.half()), sharing(defence)))
    assert reply.has_error()
    assert not reply.has_content()
    assert reason in (reply.error.reason or "")


def test_what_an_error_says_stays_on_the_device() -> None:
    failing = ClientApp(mods=[sharing(Noisy(), observe_failure=broken)])
    returning = ClientApp(mods=[sharing(Noisy())])

    @failing.train()
    def fail(message: Message, context: Context) -> Message:
        raise OSError("cannot open /data/anna/holiday.jpg")

    @returning.train()
    def answer(message: Message, context: Context) -> Message:
        return Message(Error(3, "cannot open /data/anna/holiday.jpg"), reply_to=message)

    told = [reply_of(app).error for app in (failing, returning)]
    assert told[0].reason == "The client failed with OSError."
    assert told[1].code == 3 and told[1].reason == "The client reported an error."


def broken(message: Message, context: Context, error: Exception) -> None:
    raise OSError("/data/anna is not there")


def test_a_result_that_did_not_converge_may_leave_and_says_so() -> None:
    accounts: list[Protected] = []
    mod = sharing(
        Noisy(Status.NOT_CONVERGED), observe=lambda message, context, p: accounts.append(p)
    )
    assert reply_of(app_returning(content_of(), mod)).has_content()
    assert accounts[0].status == Status.NOT_CONVERGED
    assert accounts[0].figures["utility_loss"] == 1.0
    assert accounts[0].figures["seconds"] >= 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (content_of(copy=CLEAN), "neither feature nor allowed to pass"),
        (
            RecordDict({"features": ArrayRecord({"other": Array(CLEAN.numpy())})}),
            "no array feature",
        ),
        (RecordDict({"weights": ArrayRecord({"feature": Array(CLEAN.numpy())})}), "features only"),
        (content_of(CLEAN.flatten()), "a row for each image"),
        (content_of(CLEAN[:0]), "no features in the reply"),
        (content_of(CLEAN.long()), "float16 or float32"),
        (content_of(CLEAN / 0), "clean features are not finite"),
        (
            RecordDict({**content_of(), "more": ConfigRecord({"clean": CLEAN.numpy().tobytes()})}),
            "Bytes, texts and lists may not leave",
        ),
        (
            RecordDict(
                {**content_of(), "more": ConfigRecord({"clean": [CLEAN.numpy().tobytes()]})}
            ),
            "Bytes, texts and lists may not leave",
        ),
        (
            RecordDict({**content_of(), "more": ConfigRecord({"file": "anna/holiday.jpg"})}),
            "Bytes, texts and lists may not leave",
        ),
        (
            RecordDict({"more": ConfigRecord({"clean": CLEAN.numpy().tobytes()})}),
            "Bytes, texts and lists",
        ),
        (
            RecordDict({**content_of(), "more": MetricRecord({"embedding": [0.5] * 128})}),
            "Bytes, texts and lists may not leave",
        ),
        (
            RecordDict({**content_of(), "more": MetricRecord({f"m{i}": 0.5 for i in range(16)})}),
            "More than 16 numbers",  # with num-examples
        ),
        (
            RecordDict({**content_of(), "more": MetricRecord({"anna/holiday.jpg": 1})}),
            "Metrics and settings must have plain names",
        ),
        (
            RecordDict({**content_of(), "more": MetricRecord({CLEAN.numpy().tobytes().hex(): 1})}),
            "plain names",
        ),
        (RecordDict({**content_of(), "anna.jpg": MetricRecord({})}), "Records must have plain"),
    ],
)
def test_a_reply_that_cannot_be_protected_is_refused(content: RecordDict, reason: str) -> None:
    defence = Noisy()
    reply = reply_of(app_returning(content, sharing(defence)))
    assert reply.has_error()
    assert reason in (reply.error.reason or "")
    assert not defence.seen


def test_features_of_another_shape_than_the_defences_are_named() -> None:
    """As those of another encoder than the Protector's."""
    mod = CrafterMod(Protector(defence="substitution").defence, passing=("labels",))
    reply = reply_of(app_returning(content_of(torch.rand(2, 64, 8, 8)), mod))
    assert "shape [64, 8, 8], and substitution was built for [64, 16, 16]" in reply.error.reason
    with pytest.raises(TypeError, match="passing"):
        CrafterMod(Protector, passing="labels")  # type: ignore[arg-type]


def test_a_change_that_the_wire_does_not_carry_is_none() -> None:
    large = CLEAN + 1000  # whose neighbours in half precision are .5 away
    mod = sharing(Broken(large + 1e-3))
    reply = reply_of(app_returning(content_of(large.half()), mod))
    assert reply.has_error() and "changed nothing" in (reply.error.reason or "")
    wider = reply_of(app_returning(content_of(large), sharing(Broken(large + 1e-3))))
    assert wider.has_content()


def test_labels_leave_only_where_they_are_named() -> None:
    reply = reply_of(app_returning(content_of(), CrafterMod(Noisy())))
    assert "neither feature nor allowed to pass" in (reply.error.reason or "")
    assert reply_of(app_returning(content_of(), sharing(Noisy()))).has_content()


def test_what_is_named_may_leave() -> None:
    more = ConfigRecord({"note": "day 3", "losses": [0.5] * 300, "epoch": 3})
    content = RecordDict({**content_of(), "more": more})
    mod = sharing(Noisy(), passing=("labels", "note", "losses"))
    assert reply_of(app_returning(content, mod)).content["more"]["note"] == "day 3"


def test_a_reply_without_arrays_passes() -> None:
    content = RecordDict({"metrics": MetricRecord({"loss": 0.5})})
    reply = reply_of(app_returning(content, sharing(Noisy())))
    assert reply.content.metric_records["metrics"]["loss"] == 0.5


def test_the_text_of_an_exception_stays_on_the_device() -> None:
    heard: list[Exception] = []
    mod = sharing(Noisy(), observe_failure=lambda message, context, error: heard.append(error))
    app = ClientApp(mods=[mod])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        raise ValueError("anna/holiday.jpg is truncated")

    reply = reply_of(app)
    assert reply.error.reason == "The client failed with ValueError."
    assert "anna" in str(heard[0])


def test_a_factory_is_called_once_and_only_when_needed() -> None:
    made: list[Noisy] = []

    def factory() -> Defence:
        made.append(Noisy())
        return made[-1]

    mod = sharing(factory)
    assert not made
    for _ in range(3):
        reply_of(app_returning(content_of(), mod))
    assert len(made) == 1
    assert len(made[0].seen) == 3


def test_the_randomness_is_fresh_unless_it_is_given() -> None:
    def sent(mod: CrafterMod) -> Tensor:
        return feature_in(reply_of(app_returning(content_of(), mod)))

    assert not torch.equal(sent(sharing(Noisy())), sent(sharing(Noisy())))

    def given(message: Message, context: Context) -> torch.Generator:
        return torch.Generator().manual_seed(7)

    assert torch.equal(sent(sharing(Noisy(), random=given)), sent(sharing(Noisy(), random=given)))
