"""Repeatable randomness: one independent generator per thing that draws."""

import hashlib

import torch


def derived_random(seed: int, *names: str | int) -> torch.Generator:
    """A generator that depends on the run's seed and on what it is for, and on nothing else.

    Which process handles a client, and in which order, must not change a result.
    """
    text = "/".join(map(str, (seed, *names)))
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
