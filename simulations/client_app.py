"""The client: encodes its own photographs, lets the mod protect them, and answers.

Mods, outermost first: `keep_reasons` keeps the text of exceptions in, `release_once` lets no
photograph leave twice, `expect_answer` notes what the server must answer to the released features,
and `protect` is the CrafterMod, innermost, so that nothing outside it ever sees a clean feature.

Whoever starts a run chooses its configuration, within what the client's own says: a deployed client
takes part only in runs that are in all that concerns it as its node configuration has them (see
`simulations.pins`).
"""

import hashlib
import os
from contextvars import ContextVar
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable
from jaxtyping import Int64
from torch import Tensor

from fl_crafter.defences.base import Protected, Status
from fl_crafter.flower.crafter_mod import (
    CrafterMod,
    error_reply,
    failure_reply,
    fresh_random,
)
from fl_crafter.flower.payload import (
    FEATURE,
    FEATURES,
    VERSION,
    Payload,
    PayloadError,
    decode_array,
    half_if_exact,
    write_payload,
)
from fl_crafter.flower.predictions import AGREES, SCORE, VERDICT, agree, read_predictions
from fl_crafter.randomness import derived_random, secret_generator
from fl_crafter.transcript import Purpose
from simulations import client_data, run_folder, task
from simulations.config import SimulationConfig
from simulations.node import client_number, is_simulated, private_photographs
from simulations.pins import RELEASED, check_pins, pins
from simulations.releases import KINDS, Releases
from strategies.requests import CHECK_MESSAGE, INFERENCE_MESSAGE, REQUEST
from strategies.utility import predict

EXPECTED, SECRET = "expected", "secret"
_INDEX: ContextVar[Tensor] = ContextVar("index")
"""Positions of the photographs of the message being made: what is claimed is what leaves."""


def _config(context: Context) -> SimulationConfig:
    config = SimulationConfig.from_mapping(context.run_config, source="the run config")
    check_pins(config, context, deployed=not is_simulated(context))
    return config


def _request(message: Message, config: SimulationConfig) -> tuple[int, Purpose]:
    """Round and purpose that the server asks for, checked like anything from outside."""
    request = message.content.config_records.get(REQUEST, ConfigRecord())
    stated, purpose = request.get("round"), request.get("purpose")
    if request.get("version") != VERSION:
        raise PayloadError(f"The request must be of version {VERSION}.")
    if type(stated) is not int or not 1 <= stated <= config.rounds:
        raise PayloadError(f"The requested round must be from 1 to {config.rounds}.")
    if request.get("encoder") != client_data.encoder_hash(config.weights):
        raise PayloadError("The request is for another encoder than this client's.")
    category = message.metadata.message_type.partition(".")[0]
    agreed = Purpose.TRAIN if category == "train" else Purpose.EVALUATION
    if type(purpose) is not int or purpose != agreed:
        raise PayloadError(f"A {category} request has the purpose {int(agreed)}.")
    return stated, agreed


def keep_reasons(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Mod: of an exception outside the CrafterMod, too, only the type's name leaves."""
    try:
        return call_next(message, context)
    except PayloadError as refusal:
        return error_reply(message, str(refusal))
    except Exception as error:
        if is_simulated(context):  # elsewhere the folder may be one that is not pinned
            _note_failure(str(context.run_config.get("output", "")), context, error)
        return failure_reply(message, error)


def release_once(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Mod: each photograph leaves the client once at most, whatever the request is called.

    A server that asks again might otherwise average several protections of one photograph. Only the
    very same request, as of a server that went down before it had stored the answer, is answered
    again by a deployed client, with the same bytes.
    """
    kind = message.metadata.message_type
    if kind == CHECK_MESSAGE:
        return call_next(message, context)
    config = _config(context)
    if kind not in KINDS[config.scenario]:
        return error_reply(message, f"A {config.scenario} run has no {kind} requests.")
    stated, purpose = _request(message, config)
    own, number = private_photographs(context, config)
    releases, client = _releases(context), client_number(context, config)
    dealt = client_data.share(own, client=number, round=stated, purpose=purpose)
    digests = client_data.digests(own, dealt)
    asked = _digest(config, client, stated, int(purpose), digests)
    kept = releases.kept(asked)
    if kept is not None:
        payload = Payload(kept["feature"], kept["labels"], client, stated, purpose)
        content = write_payload(payload, dtype=config.wire_dtype)  # type: ignore[arg-type]
        return _expecting(Message(content, reply_to=message), config, message, context)
    fresh = releases.fresh(digests)
    photographs = [digests[place] for place in fresh]
    refusal = "These photographs were shared before; they are not shared again."
    if not photographs:
        return error_reply(message, refusal)
    token = _INDEX.set(_ordered(dealt[fresh], context, round=stated, purpose=purpose))
    try:
        reply = call_next(message, context)
    finally:
        _INDEX.reset(token)
    if reply.has_error():
        return reply
    if not releases.claim(photographs):  # by another request, meanwhile
        return error_reply(message, refusal)
    try:
        releases.keep(asked, _arrays(reply))
    except BaseException:  # nothing has left
        releases.give_back(photographs)
        raise
    return reply


def _releases(context: Context) -> Releases:
    folder = None if is_simulated(context) else Path(str(context.node_config[RELEASED]))
    return Releases(context, folder)


def _digest(config: SimulationConfig, *which: object) -> str:
    """What a request is known by: all that decides what the answer is made of."""
    agreed = sorted(pins(config.lasting()).items())
    return hashlib.sha256(repr((agreed, which)).encode()).hexdigest()


def _arrays(reply: Message) -> dict[str, Tensor]:
    arrays = reply.content.array_records[FEATURES]
    read = {name: decode_array(each, tuple(each.shape), name=name) for name, each in arrays.items()}
    return {name: half_if_exact(tensor) for name, tensor in read.items()}


def _ordered(
    index: Int64[Tensor, " count"], context: Context, *, round: int, purpose: Purpose
) -> Int64[Tensor, " count"]:
    """The photographs of one message in the order in which they leave, row by row.

    The seed has dealt them; of a deployed client a secret that lasts as long as the run decides the
    order.
    """
    if is_simulated(context):
        return index
    if SECRET not in context.state:
        context.state[SECRET] = ConfigRecord({SECRET: os.urandom(16)})
    secret = context.state.config_records[SECRET][SECRET]
    assert isinstance(secret, bytes)
    seed = [int.from_bytes(secret, "little"), round, int(purpose)]
    return index[torch.from_numpy(np.random.default_rng(seed).permutation(len(index)))]


@lru_cache(maxsize=2)
def _crafter_mod(config: SimulationConfig) -> CrafterMod:
    return CrafterMod(
        partial(client_data.defence, config),
        passing=("labels",),
        random=partial(_random, config),
        observe=partial(_observe, config),
        observe_failure=partial(_observe_failure, config),
        device=config.device,
        withhold=True,
    )


def _random(config: SimulationConfig, message: Message, context: Context) -> torch.Generator:
    """Repeatable, as a simulation has to be; a deployed client keeps the mod's secret default."""
    if not is_simulated(context):
        return fresh_random(message, context)
    stated, purpose = _request(message, config)
    return derived_random(
        config.seed, "defence", client_number(context, config), stated, int(purpose)
    )


def _observe(
    config: SimulationConfig, message: Message, context: Context, protected: Protected
) -> None:
    """Note, for the client itself, what left and what was withheld."""
    if not config.output:
        return
    (stated, purpose), client = _request(message, config), client_number(context, config)
    index = _INDEX.get()
    seen = torch.zeros(len(index), dtype=torch.bool)
    if protected.identified is not None:
        seen = protected.identified.cpu()
    sent = index[~seen]
    identity = client_data.faces(private_photographs(context, config)[0]).identity[sent]
    which = {"client": client, "round": stated, "purpose": int(purpose)}
    account = {
        "defence": config.defence,
        "rows": len(sent),
        "status": str(protected.status),
        "withheld": {str(Status.IDENTIFIED): index[seen].tolist()},
        "figures": protected.figures,
    }
    truth = {"index": sent.tolist(), "identity": identity.tolist()}
    for kind, content in ((run_folder.CRAFTING, account), (run_folder.TRUTH, truth)):
        path = run_folder.message_file(
            Path(config.output), kind, client=client, round=stated, purpose=purpose
        )
        run_folder.write_json(path, which | content)


def _observe_failure(
    config: SimulationConfig, message: Message, context: Context, error: Exception
) -> None:
    _note_failure(config.output, context, error)


def _note_failure(output: str, context: Context, error: Exception) -> None:
    if output:
        who = f"client-{context.node_config.get('partition-id', 'unknown')}"
        run_folder.write_failure(Path(output), who, error)


def protect(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Mod: the CrafterMod of this run's configuration."""
    return _crafter_mod(_config(context))(message, context, call_next)


def expect_answer(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Mod: in a deployment, note what the agreed cloud model gives for the released features."""
    return _expecting(call_next(message, context), _config(context), message, context)


def _expecting(
    reply: Message, config: SimulationConfig, message: Message, context: Context
) -> Message:
    if message.metadata.message_type == INFERENCE_MESSAGE and not reply.has_error():
        stated, _ = _request(message, config)
        array = reply.content.array_records[FEATURES][FEATURE]
        feature = decode_array(array, tuple(array.shape), name="feature")
        score = predict(task.deployed_cloud(config), feature)
        context.state[f"{EXPECTED}-{stated}"] = ArrayRecord({SCORE: Array(score.numpy())})
    return reply


app = ClientApp(mods=[keep_reasons, release_once, expect_answer, protect])


@app.train("craft")
def share_training(message: Message, context: Context) -> Message:
    """Answer with features of training photographs that were not shared before."""
    return _share(message, context)


@app.evaluate("craft")
def share_evaluation(message: Message, context: Context) -> Message:
    """Answer with features of all evaluation photographs."""
    return _share(message, context)


@app.query("craft")
def share_for_inference(message: Message, context: Context) -> Message:
    """Answer with features of photographs that were not sent before, and no label."""
    return _share(message, context)


@app.query("check")
def check_predictions(message: Message, context: Context) -> Message:
    """Say whether the server's predictions are those of the agreed cloud model."""
    config = _config(context)
    client = client_number(context, config)
    stated, purpose = _request(message, config)
    if f"{EXPECTED}-{stated}" not in context.state:
        raise PayloadError(f"There are predictions for features of round {stated}, never sent.")
    record = context.state.array_records.pop(f"{EXPECTED}-{stated}")
    expected = torch.from_numpy(record[SCORE].numpy())
    score = read_predictions(message.content, shape=(len(expected), expected.shape[1]))
    agrees = agree(score, expected)
    if config.output:
        path = run_folder.message_file(
            Path(config.output), run_folder.CHECKS, client=client, round=stated, purpose=purpose
        )
        content = {"client": client, "round": stated, "rows": len(score), "agrees": agrees}
        run_folder.write_json(path, content)
    return Message(RecordDict({VERDICT: MetricRecord({AGREES: int(agrees)})}), reply_to=message)


def _share(message: Message, context: Context) -> Message:
    config = _config(context)
    if config.threads and context.node_config.get("own-process", True):
        torch.set_num_threads(config.threads)
    client = client_number(context, config)
    stated, purpose = _request(message, config)
    index = _INDEX.get()
    own, _ = private_photographs(context, config)
    image = client_data.faces(own).image[index]
    encoder = client_data.model(config.weights).encoder
    random = secret_generator()
    if is_simulated(context):
        random = derived_random(config.seed, "labels", client, stated, int(purpose))
    payload = Payload(
        feature=client_data.encode(encoder, image, device=config.device),
        labels=task.labels(own, index, random=random),
        client=client,
        round=stated,
        purpose=purpose,
    )
    content = write_payload(payload, dtype=config.wire_dtype)  # type: ignore[arg-type]
    return Message(content, reply_to=message)
