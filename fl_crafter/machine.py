"""On what something was made, for its record."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("fl-crafter", "torch", "torchvision", "flwr", "ray", "numpy", "scikit-learn")


def machine() -> str:
    """On what this runs, in a few words."""
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return f"{where}, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """Of Python and the packages that decide figures, and the commit, in a checkout."""
    found = {"python": platform.python_version()}
    if commit():
        found["commit"] = commit()
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str:
    """Of the code, followed by `-changed` where files are others; empty outside a checkout.

    The first call decides: a long run goes on with the code that it began with.
    """
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--exclude=*", "--dirty=-changed"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()
