"""What holds for every test: checked shapes, few threads, no telemetry, the photographs' folder."""

import os
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

# Before anything imports fl_crafter: jaxtyping and beartype then check every annotated argument,
# result and dataclass field, shapes included, while the tests run.
install_import_hook("fl_crafter", "beartype.beartype")

# Two threads are as fast as more on the small tensors here, and leave shared machines alone; where
# several processes share the tests, each has one, and so have those that they start.
if "OMP_NUM_THREADS" not in os.environ:
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"
        torch.set_num_threads(1)
    else:
        torch.set_num_threads(min(2, os.cpu_count() or 1))

# Ray's workers give way to all others on the machine, by 15 degrees of niceness: beside other tests
# they would hardly run.
os.environ.setdefault("RAY_worker_niceness", "0")

# Read when Flower is imported, and by every process that a test starts.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")


def pytest_xdist_auto_num_workers() -> int:
    """One process more than processors: tests of Ray and of SuperNodes wait a lot."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder that holds celeba, lfw and wild112, unpacked; without it the test skips."""
    named = os.environ.get("FL_CRAFTER_DATA")
    if not named:
        pytest.skip("FL_CRAFTER_DATA does not name a folder with celeba, lfw and wild112")
    root = Path(named)
    if not root.is_dir():
        pytest.fail(f"FL_CRAFTER_DATA names {root}, which is no folder")
    return root
