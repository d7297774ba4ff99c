"""What one client sends, to whom it says no, and why."""

import tempfile
from collections.abc import Callable, Iterator

import pytest
import torch
from flwr.app import Array, ConfigRecord, Message, RecordDict
from torch import Tensor

from fl_crafter.defences.labels import flip_probability, label_epsilon
from fl_crafter.errors import InputError
from fl_crafter.flower import PayloadTerms, read_payload, read_predictions, write_predictions
from fl_crafter.flower.payload import Payload
from fl_crafter.transcript import Purpose
from simulations import client_app, client_data, task
from simulations.config import SimulationConfig
from simulations.in_process import InProcessGrid, flower_identity
from simulations.pins import SERVERS_OWN, TRAINING
from simulations.pins import pins as all_pins
from strategies.utility import predict

MakeConfig = Callable[..., SimulationConfig]
TERMS = PayloadTerms(feature_shape=(8, 8, 8), attributes=4, clients=4)


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with flower_identity():
        yield


class Server:
    """Asks one client after the other, and shows the replies."""

    def __init__(self, config: SimulationConfig, *, clients: int = 4, **pins: object) -> None:
        self.grid = InProcessGrid(client_app.app, clients=clients, run_config=config.run_config())
        for context in self.grid.contexts.values():
            if pins.get("own-process"):
                pins = {**all_pins(config), "released": tempfile.mkdtemp(), **pins}
            context.node_config.update(pins)  # type: ignore[arg-type]
        self.encoder = client_data.encoder_hash(config.weights)

    def ask(
        self,
        kind: str = "train.craft",
        *,
        client: int = 0,
        predictions: RecordDict | None = None,
        **changes: object,
    ) -> Message:
        purpose = 0 if kind.startswith("train") else 1
        request = {"version": 1, "round": 1, "purpose": purpose, "encoder": self.encoder}
        content = RecordDict({"request": ConfigRecord({**request, **changes})})  # type: ignore[dict-item]
        content.update(predictions or {})
        node = list(self.grid.get_node_ids())[client]
        (reply,) = self.grid.send_and_receive([Message(content, node, kind, group_id="1")])
        return reply


@pytest.fixture
def server(make_config: MakeConfig) -> Server:
    return Server(make_config())


def payload_in(reply: Message, terms: PayloadTerms = TERMS) -> Payload:
    return read_payload(reply.content, terms)


def test_a_client_answers_with_a_valid_message_and_nothing_else(server: Server) -> None:
    reply = server.ask("evaluate.craft", client=2)
    payload = read_payload(reply.content, TERMS, round=1, purpose=Purpose.EVALUATION)
    assert payload.client == 2
    assert len(payload.feature) == 25
    assert reply.content.array_records["features"]["feature"].dtype == "float16"


def test_what_goes_wrong_outside_the_mod_names_no_path_either(make_config: MakeConfig) -> None:
    server = Server(make_config())
    for context in server.grid.contexts.values():
        context.run_config["weights"] = "/data/anna/secret"
    assert server.ask().error.reason == "The client failed with InputError."


@pytest.mark.parametrize("left_out", ["pin-defence", "pin-deviation", "pin-output", "released"])
def test_a_deployed_client_takes_part_in_no_run_that_it_has_not_pinned(
    left_out: str, make_config: MakeConfig
) -> None:
    server = Server(make_config(), **{"own-process": True})
    for context in server.grid.contexts.values():
        del context.node_config[left_out]
    assert f"lacks {left_out}" in (server.ask().error.reason or "")


def test_every_setting_is_pinned_that_is_not_known_to_be_the_servers_own(
    make_config: MakeConfig,
) -> None:
    known = make_config().run_config().keys()
    free = SERVERS_OWN | TRAINING
    assert known >= free
    assert {f"pin-{key}" for key in known - free} | {"pin-encoder"} == all_pins(
        make_config()
    ).keys()
    agreed = all_pins(make_config(scenario="deployment")).keys() - all_pins(make_config()).keys()
    assert agreed == {f"pin-{key}" for key in TRAINING}, "the client makes that cloud model too"
    for key in ("scenario", "label-flip", "attributes", "seed", "output", "cache", "weights"):
        assert f"pin-{key}" in all_pins(make_config())


def test_who_knows_the_configuration_cannot_repeat_what_a_device_draws(
    make_config: MakeConfig,
) -> None:
    """The server sets the seed: neither noise nor labels nor the order of rows follow from it."""
    plain, noisy = (
        make_config(),
        make_config(defence="noise", label_flip=0.38, generated_images=0),
    )

    def sent(config: SimulationConfig, *, device: bool) -> Payload:
        return payload_in(Server(config, **{"own-process": device}).ask("evaluate.craft"))

    one, other = (sent(noisy, device=False) for _ in range(2))
    assert torch.equal(one.feature, other.feature) and torch.equal(one.labels, other.labels)
    one, other = (sent(noisy, device=True) for _ in range(2))
    assert not torch.equal(one.labels, other.labels)
    known, first, second = (sent(plain, device=device).feature for device in (False, True, True))
    assert not torch.equal(first, second), "an order that another run does not have"
    rows = [sorted(map(tuple, each.flatten(1).tolist())) for each in (known, first, second)]
    assert rows[0] == rows[1] == rows[2], "of the same photographs"
    together = torch.cdist(one.feature.flatten(1), other.feature.flatten(1))
    alike = torch.cdist(first.flatten(1), second.flatten(1))
    assert float(alike.min(1).values.max()) < 1e-3 < float(together.min()), "and the noise is new"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "version 1"),
        ({"round": 0}, "from 1 to 2"),
        ({"round": 3}, "from 1 to 2"),
        ({"purpose": 1}, "has the purpose 0"),
        ({"encoder": "0" * 64}, "another encoder than this client's"),
    ],
)
def test_a_request_is_checked_like_anything_from_outside(
    server: Server, changes: dict[str, object], reason: str
) -> None:
    reply = server.ask(**changes)
    assert reason in (reply.error.reason or "")


def test_a_federation_of_another_size_is_refused(make_config: MakeConfig) -> None:
    reply = Server(make_config(), clients=2).ask()
    assert reply.error.reason == "The client failed with InputError."


def test_what_a_client_pins_a_run_cannot_change(make_config: MakeConfig) -> None:
    config = make_config()
    encoder = client_data.encoder_hash(config.weights)
    assert Server(config, **{"pin-encoder": encoder, "pin-defence": "none"}).ask().has_content()
    for pin in (
        {"pin-encoder": "0" * 64},  # a server that swaps the encoder to steal faces
        {"pin-defence": "crafter"},  # or that wants clean features
        {"pin-utility-weight": 2.0},
        {"pin-defense": "none"},  # a misspelt pin protects nobody, so it is no pin
    ):
        reply = Server(config, **pin).ask()
        assert "does not take part" in (reply.error.reason or ""), pin


def test_only_the_labels_that_are_asked_for_leave(make_config: MakeConfig) -> None:
    config = make_config(attributes="male, eyeglasses")
    sent = payload_in(
        Server(config).ask("evaluate.craft"),
        PayloadTerms(feature_shape=(8, 8, 8), attributes=2, clients=4),
    )
    every = payload_in(Server(make_config()).ask("evaluate.craft"))
    assert torch.equal(sent.labels, every.labels[:, [3, 0]])


def test_labels_are_randomised_as_often_as_is_asked_for(make_config: MakeConfig) -> None:
    def labels(flip: float) -> Tensor:
        server = Server(make_config(label_flip=flip))
        return torch.cat(
            [payload_in(server.ask("evaluate.craft", client=c)).labels for c in range(4)]
        )

    flipped = (labels(flip_probability(1.0)) != labels(0.0)).float().mean()
    assert 0.2 < flipped < 0.34  # 1 / (1 + e) = 0.27 of 400 labels
    assert label_epsilon(flip_probability(1.0)) == pytest.approx(1.0)
    with pytest.raises(InputError, match=r"label-flip must be at most 0.49"):
        make_config(label_flip=0.5)


def test_a_deployed_client_sends_no_label_and_checks_the_answer(make_config: MakeConfig) -> None:
    config = make_config(scenario="deployment")
    server = Server(config)
    sent = payload_in(server.ask("query.craft"))
    assert sent.labels.isnan().all()
    right = predict(task.deployed_cloud(config), sent.feature)
    verdict = server.ask("query.check", predictions=write_predictions(right))
    assert verdict.content.metric_records["verdict"]["agrees"] == 1
    for stated in (1, 2):  # answered already, and not asked for yet
        again = server.ask("query.check", round=stated, predictions=write_predictions(right))
        assert "never sent" in (again.error.reason or "")


@pytest.mark.parametrize(
    ("spoil", "outcome"),
    [
        (lambda score: 1 - score, 0),
        (lambda score: score.roll(1, 0), 0),
        (lambda score: score[1:], "another shape than (13, 4)"),
        (lambda score: score + 1, "no probability"),
        (lambda score: score * float("nan"), "no probability"),
    ],
)
def test_a_wrong_answer_is_disputed(
    make_config: MakeConfig, spoil: Callable[[Tensor], Tensor], outcome: int | str
) -> None:
    config = make_config(scenario="deployment")
    server = Server(config)
    sent = payload_in(server.ask("query.craft"))
    wrong = spoil(predict(task.deployed_cloud(config), sent.feature))
    verdict = server.ask("query.check", predictions=write_predictions(wrong))
    if isinstance(outcome, int):
        assert verdict.content.metric_records["verdict"]["agrees"] == outcome
    else:
        assert outcome in (verdict.error.reason or "")


def test_predictions_survive_the_wire() -> None:
    score = torch.rand(3, 2)
    assert torch.equal(read_predictions(write_predictions(score), shape=(3, 2)), score)
    content = write_predictions(score)
    content["predictions"]["more"] = Array(score.numpy())
    with pytest.raises(ValueError, match="no record predictions"):
        read_predictions(content, shape=(3, 2))


def test_a_client_refuses_what_its_own_eavesdropper_still_tells(make_config: MakeConfig) -> None:
    """The shipped networks and invented pictures: noise this small hides nothing."""
    config = make_config(
        weights="",
        image_size=64,
        defence="noise",
        deviation=0.01,
        public_images=60,
        generated_images=60,
        release_false_match=0.01,
    )
    reply = Server(config).ask()
    assert "release gate still saw a person after noise" in (reply.error.reason or "")
    open_gate = make_config(**{**vars(config), "release_false_match": 0.0})
    assert Server(open_gate).ask().has_content()
