"""Randomness that nobody else can repeat, and randomness that anybody can."""

import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch

_WORDS = slice(24, 24 + 624 * 8)
"""Where the Mersenne twister's words lie in the state of a generator, eight bytes for each."""


def secret_generator() -> torch.Generator:
    """A generator on the processor whose whole state the operating system's source has drawn.

    `manual_seed` would not do: it takes 32 bits, which whoever sees a release can try one after the
    other. The Mersenne twister is no cryptographic generator all the same: who saw its raw output
    could continue it, so that each release takes a generator of its own.
    """
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    words = np.frombuffer(os.urandom(624 * 4), dtype=np.uint32).astype("<u8")
    state[_WORDS] = torch.from_numpy(words.view(np.uint8).copy())
    generator.set_state(state)
    return generator


def derived_random(seed: int, *names: str | int) -> torch.Generator:
    """A generator that depends on a seed and on what it is for, and on nothing else.

    Which process handles a client, and in which order, must not change a result.
    """
    text = "/".join(map(str, (seed, *names)))
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def generator_for(seed: int | None, *names: str | int) -> torch.Generator:
    """A secret generator without a seed, a derived one with it: for one release, of which no other.

    Args:
        seed: to repeat a study; None for what really leaves a device.
        names: of what it is for.
    """
    return secret_generator() if seed is None else derived_random(seed, *names)


@contextmanager
def seeded(
    seed: int | torch.Generator, device: torch.device | str = "cpu"
) -> Generator[None, None, None]:
    """Torch's own generators, from which weights and dropout are drawn, seeded for a while.

    Those of the application around are as they were afterwards; `torch.manual_seed` would reseed
    every GPU's for good.

    Args:
        seed: or a generator, from which one is drawn.
        device: on which random numbers are drawn, beside the processor.
    """
    number = seed if isinstance(seed, int) else int(torch.randint(2**31, (), generator=seed))
    gpu = torch.device(device)
    with torch.random.fork_rng([gpu] if gpu.type == "cuda" else []):
        torch.default_generator.manual_seed(number)
        if gpu.type == "cuda":
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(number)
        yield
