"""What a client's own node says: its number, its photographs, and whether it is a simulated one."""

import sys
from dataclasses import replace

from flwr.app import Context

from fl_crafter.errors import InputError
from simulations import task
from simulations.config import SimulationConfig
from simulations.pins import PHOTOGRAPHS


def client_number(context: Context, config: SimulationConfig) -> int:
    """The client's number, from 0.

    Raises:
        InputError: the run is for another number of clients.
    """
    client, clients = context.node_config["partition-id"], context.node_config["num-partitions"]
    if clients != config.clients:
        raise InputError(
            f"the federation has {clients} clients but the run config says clients = "
            f"{config.clients}; give the SuperNodes num-partitions={config.clients}, in a "
            f"simulation by --federation-config 'num-supernodes={config.clients}'."
        )
    return int(client)


def private_photographs(context: Context, config: SimulationConfig) -> tuple[SimulationConfig, int]:
    """Where the client's private photographs are, and its number among those who share these.

    They are its part of the run's dataset or, where the node configuration names a folder of its
    own, all that are private there.

    Raises:
        InputError: the labels of the folder are not those of the run's dataset.
    """
    client, folder = client_number(context, config), str(context.node_config.get(PHOTOGRAPHS, ""))
    if not folder:
        return config, client
    own = replace(config, data_root=folder, people=0, photos_per_person=0, clients=1)
    if task.task(own).names != task.task(config).names:
        raise InputError(
            f"the photographs in {folder} have other labels than {config.dataset}; give both the "
            "same."
        )
    return own, 0


def is_simulated(context: Context) -> bool:
    """Whether this process belongs to a simulation, which the server's configuration cannot say.

    The server knows the seed, and all that follows from it: labels could be un-flipped, noise taken
    off and rows put in order.
    """
    ray = sys.modules.get("ray")
    within_ray = ray is not None and ray.is_initialized()
    return within_ray or not context.node_config.get("own-process", True)
