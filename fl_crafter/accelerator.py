"""Where torch computes, for commands that leave no choice to their user."""

import torch


def default_device() -> str:
    """`cuda` where torch finds a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"
