"""The GPU benchmark's look at memory, on a GPU that is only said to be there."""

import time
from itertools import chain, repeat

import pytest
import torch

from benchmarks import federation_gpu
from benchmarks.federation_gpu import GpuMemory
from fl_crafter.errors import InputError

TOTAL = 1000


def takes(monkeypatch: pytest.MonkeyPatch, *taken: int) -> None:
    """What is taken at each look, in MB; the last value stays."""
    values = chain(taken, repeat(taken[-1]))

    def look() -> tuple[int, int]:
        return (TOTAL - next(values)) * 2**20, TOTAL * 2**20

    monkeypatch.setattr(torch.cuda, "mem_get_info", look)
    monkeypatch.setattr(federation_gpu, "LOOK_EVERY", 0.01)


def test_a_run_starts_when_the_memory_of_the_last_one_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    takes(monkeypatch, 700, 700, 700, 110, 100, 400, 100)
    memory = GpuMemory(before=100)
    with memory:
        until = time.monotonic() + 10
        while memory.peak < 400 and time.monotonic() < until:
            time.sleep(0.01)
    assert memory.used == 300


def test_memory_that_never_comes_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    takes(monkeypatch, 700)
    monkeypatch.setattr(federation_gpu, "SETTLING", 0.05)
    with pytest.raises(InputError, match="600 MB of the GPU are taken"), GpuMemory(before=100):
        pass
