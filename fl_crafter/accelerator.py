"""Where torch computes, for commands that leave no choice to their user."""

import torch


def default_device() -> str:
    """`cuda` where torch finds a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def convolution_layout(device: torch.device) -> torch.memory_format:
    """The layout in memory in which convolutions train fastest.

    On a CPU it stays as it is: without AVX-512, torch 2.13 ends in a segmentation fault when it
    goes backwards through channels-last convolutions of few channels.
    """
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format
