"""The client: encodes its own photographs, lets the mod protect them, and answers.

Mods, outermost first: `release_once` refuses to share the same photographs again, `protect` is the
CrafterMod, innermost, so that nothing outside it ever sees a clean feature.
"""

from functools import lru_cache, partial
from pathlib import Path

import torch
from flwr.app import ConfigRecord, Context, Error, Message
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import ErrorCode

from fl_crafter.defences.base import Protected
from fl_crafter.errors import InputError
from fl_crafter.flower.crafter_mod import CrafterMod
from fl_crafter.flower.payload import VERSION, Payload, PayloadError, write_payload
from fl_crafter.transcript import Purpose
from simulations import client_data, run_folder
from simulations.config import SimulationConfig
from simulations.randomness import derived_random
from strategies.feature_sharing import REQUEST

RELEASED = "released"


def _config(context: Context) -> SimulationConfig:
    return SimulationConfig.from_mapping(context.run_config, source="the run config")


def _client(context: Context, config: SimulationConfig) -> int:
    client, clients = context.node_config["partition-id"], context.node_config["num-partitions"]
    if clients != config.clients:
        raise InputError(
            f"the federation has {clients} clients but the run config says clients = "
            f"{config.clients}; pass --federation-config 'num-supernodes={config.clients}'."
        )
    return int(client)


def _request(message: Message, config: SimulationConfig) -> tuple[int, Purpose]:
    """Round and purpose that the server asks for, checked like anything from outside."""
    request = message.content.config_records.get(REQUEST, ConfigRecord())
    stated, purpose = request.get("round"), request.get("purpose")
    if request.get("version") != VERSION:
        raise PayloadError(f"The request must be of version {VERSION}.")
    if type(stated) is not int or not 1 <= stated <= config.rounds:
        raise PayloadError(f"The requested round must be from 1 to {config.rounds}.")
    category = message.metadata.message_type.partition(".")[0]
    agreed = Purpose.TRAIN if category == "train" else Purpose.EVALUATION
    if type(purpose) is not int or purpose != agreed:
        raise PayloadError(f"A {category} request has the purpose {int(agreed)}.")
    return stated, agreed


def release_once(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Mod: each share leaves the client once at most.

    A server that asks again might otherwise average several protections of one photograph.
    """
    stated = message.content.config_records.get(REQUEST, ConfigRecord()).get("round")
    category = message.metadata.message_type.partition(".")[0]
    share = f"train-{stated}" if category == "train" else category
    released = context.state.config_records.get(RELEASED, ConfigRecord())
    if share in released:
        sentence = "These photographs were shared before; they are not shared again."
        return Message(Error(ErrorCode.MOD_FAILED_PRECONDITION, sentence), reply_to=message)
    reply = call_next(message, context)
    if not reply.has_error():
        released[share] = True
        context.state[RELEASED] = released
    return reply


@lru_cache(maxsize=2)
def _crafter_mod(config: SimulationConfig) -> CrafterMod:
    return CrafterMod(
        partial(client_data.defence, config),
        random=partial(_random, config),
        observe=partial(_observe, config),
        observe_failure=partial(_observe_failure, config),
        device=config.device,
    )


def _random(config: SimulationConfig, message: Message, context: Context) -> torch.Generator:
    """Repeatable, as a simulation has to be; a deployed client keeps the mod's secret default."""
    stated, purpose = _request(message, config)
    return derived_random(config.seed, "defence", _client(context, config), stated, int(purpose))


def _observe(
    config: SimulationConfig, message: Message, context: Context, protected: Protected
) -> None:
    if not config.output:
        return
    (stated, purpose), client = _request(message, config), _client(context, config)
    path = run_folder.message_file(
        Path(config.output), run_folder.CRAFTING, client=client, round=stated, purpose=purpose
    )
    content = {
        "client": client,
        "round": stated,
        "purpose": int(purpose),
        "defence": config.defence,
        "rows": len(protected.feature),
        "status": str(protected.status),
        "figures": protected.figures,
    }
    run_folder.write_json(path, content)


def _observe_failure(
    config: SimulationConfig, message: Message, context: Context, error: Exception
) -> None:
    if config.output:
        who = f"client-{context.node_config.get('partition-id', 'unknown')}"
        run_folder.write_failure(Path(config.output), who, error)


def protect(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Mod: the CrafterMod of this run's configuration."""
    return _crafter_mod(_config(context))(message, context, call_next)


app = ClientApp(mods=[release_once, protect])


@app.train("craft")
def share_training(message: Message, context: Context) -> Message:
    """Answer with features of training photographs that were not shared before."""
    return _share(message, context)


@app.evaluate("craft")
def share_evaluation(message: Message, context: Context) -> Message:
    """Answer with features of all evaluation photographs."""
    return _share(message, context)


def _share(message: Message, context: Context) -> Message:
    config = _config(context)
    if config.threads and context.node_config.get("own-process", True):
        torch.set_num_threads(config.threads)
    client = _client(context, config)
    stated, purpose = _request(message, config)
    index = client_data.share(config, client=client, round=stated, purpose=purpose)
    faces = client_data.faces(config)
    encoder = client_data.model(config.weights).encoder
    payload = Payload(
        feature=client_data.encode(encoder, faces.image[index], device=config.device),
        labels=faces.attributes[index],
        client=client,
        round=stated,
        purpose=purpose,
    )
    content = write_payload(payload, dtype=config.wire_dtype)  # type: ignore[arg-type]
    if config.output:
        path = run_folder.message_file(
            Path(config.output), run_folder.TRUTH, client=client, round=stated, purpose=purpose
        )
        truth = {"client": client, "round": stated, "purpose": int(purpose)}
        rows = {"index": index.tolist(), "identity": faces.identity[index].tolist()}
        run_folder.write_json(path, truth | rows)
    return Message(content, reply_to=message)
