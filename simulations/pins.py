"""What a deployed client's own configuration must say before it takes part in a run."""

import json

from flwr.app import Context

from fl_crafter.flower.payload import PayloadError
from simulations import client_data
from simulations.config import SimulationConfig, Value

PIN = "pin-"
RELEASED, PHOTOGRAPHS = "released", "photographs"
SERVERS_OWN = frozenset(
    {
        "clients-per-round",
        "minimum-replies",
        "wave",
        "store-rows",
        "replay-rows",
        "check-labels",
        "patience",
        "client-quota",
        "value-limit",
        "norm-limit",
        "timeout",
        "client-cpus",
        "client-gpus",
        "state",
    }
)
"""Settings that a client does nothing with; all others are pinned, new ones too."""
TRAINING = frozenset(
    {
        "cloud-epochs",
        "cloud-batch-size",
        "cloud-learning-rate",
        "cloud-head-rate",
        "cloud-weight-decay",
        "cloud-rate-decay",
        "class-balance",
    }
)
"""Settings of the cloud model's training: the server's own too, where the server trains."""


def pins(config: SimulationConfig) -> dict[str, Value]:
    """All that a client pins of a run: its defence and scenario, data, encoder and every path."""
    # in a deployment the client makes the agreed cloud model itself, to compare the answers with
    free = SERVERS_OWN if config.scenario == "deployment" else SERVERS_OWN | TRAINING
    agreed = {key: value for key, value in config.run_config().items() if key not in free}
    agreed["encoder"] = client_data.encoder_hash(config.weights)
    return {f"{PIN}{key}": value for key, value in agreed.items()}


def check_pins(config: SimulationConfig, context: Context, *, deployed: bool) -> None:
    """Refuse a run that is not what the client's node configuration says.

    Args:
        config: of the run, which the server chose.
        context: of the client.
        deployed: everything must be pinned, and a folder named for what was released.

    Raises:
        PayloadError: a pin differs from the run, is of nothing in it, or is missing.
    """
    required = pins(config)
    run = config.run_config() | {"encoder": required[f"{PIN}encoder"]}
    for key, value in context.node_config.items():
        pinned = key.removeprefix(PIN)
        if pinned != key and (pinned not in run or run[pinned] != value):
            raise PayloadError(
                f"This client does not take part: its {key} is not what the run has."
            )
    if not deployed:
        return
    for key in (*required, RELEASED):
        if key not in context.node_config:
            raise PayloadError(
                f"This client does not take part: its node configuration lacks {key}; "
                "'python -m simulations pins' prints all that it needs."
            )


def node_settings(
    config: SimulationConfig, *, client: int, released: str, photographs: str = ""
) -> str:
    """The argument of `flower-supernode --node-config` of one client.

    Args:
        config: of the runs that it takes part in.
        client: its number, from 0.
        released: folder in which it notes what it released.
        photographs: folder of its own, in the layout of the run's dataset; by default it has a part
            of that dataset.
    """
    settings: dict[str, Value] = {
        "partition-id": client,
        "num-partitions": config.clients,
        RELEASED: released,
    }
    if photographs:
        settings[PHOTOGRAPHS] = photographs
    return " ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in (settings | pins(config)).items()
    )
