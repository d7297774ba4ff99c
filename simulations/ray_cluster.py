"""Ray, outside Flower: one of our own, or the cluster that RAY_ADDRESS names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ray_cluster(*, workers: int | None = None, worker_output: bool) -> Iterator[None]:
    """Connect until the block is left; what was started here is ended then.

    Args:
        workers: processors that a Ray of our own deals out; None takes the machine's. A cluster
            that is there keeps its size.
        worker_output: show what the workers print.
    """
    import ray

    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as later Rays have it
    ray.init(
        num_cpus=None if "RAY_ADDRESS" in os.environ else workers,
        include_dashboard=False,
        log_to_driver=worker_output,
    )
    try:
        yield
    finally:
        ray.shutdown()
