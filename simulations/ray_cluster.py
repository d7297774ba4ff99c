"""Ray: one of our own, which nobody else can use, or the cluster that RAY_ADDRESS names."""

import os
import secrets
import sys
from collections.abc import Generator, MutableMapping
from contextlib import contextmanager
from types import ModuleType


def secure_ray(environment: MutableMapping[str, str]) -> None:
    """Have a Ray that is started with these variables ask everyone for a token of its own.

    Ray listens on every interface, whatever address it is given, and executes what it is sent.
    What the user has said about authentication stays, and so do the rules of a cluster that is
    there.

    Args:
        environment: variables of the process that will start Ray; changed in place.
    """
    if "RAY_ADDRESS" not in environment and "RAY_AUTH_MODE" not in environment:
        environment["RAY_AUTH_MODE"] = "token"
        environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextmanager
def ray_cluster(
    *, workers: int | None = None, worker_output: bool
) -> Generator[ModuleType, None, None]:
    """Connect until the block is left; what was started here is ended then.

    The block is given Ray itself: where it was imported before, a Ray that is started here lets
    everybody in.

    Args:
        workers: processors that a Ray of our own deals out; None takes the machine's. A cluster
            that is there keeps its size.
        worker_output: show what the workers print.
    """
    if "ray" not in sys.modules:  # it reads these variables as it is imported, and never again
        secure_ray(os.environ)
    import ray

    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as later Rays have it
    ray.init(
        num_cpus=None if "RAY_ADDRESS" in os.environ else workers,
        include_dashboard=False,
        log_to_driver=worker_output,
    )
    try:
        yield ray
    finally:
        ray.shutdown()
