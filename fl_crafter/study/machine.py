"""On what a study was made, for its record."""

import platform
from importlib.metadata import PackageNotFoundError, version

import torch


def machine() -> str:
    """On what this runs, in a few words."""
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return f"{where}, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """Of Python and the packages that decide figures."""
    found = {"python": platform.python_version()}
    for name in ("fl-crafter", "torch", "torchvision", "flwr", "ray", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
