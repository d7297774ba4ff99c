"""Progress with the time that is left, and Ctrl-C that waits for a good moment."""

import signal
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from torch import Tensor


def progress_bar() -> Progress:
    """A bar with elapsed and remaining time, on the standard error; tasks have a field `figures`.

    Standard output is for results.
    """
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=Console(stderr=True),
    )


def in_parts(rows: "Tensor", size: int, *, title: str) -> "Iterator[Tensor]":
    """The rows of a tensor, `size` at once, with a bar of those that are done.

    Args:
        rows: of anything that takes long.
        size: most rows of a part.
        title: of the bar.
    """
    with progress_bar() as bar:
        task = bar.add_task(title.replace("_", " "), total=len(rows), figures="")
        for part in rows.split(size):
            yield part
            bar.advance(task, len(part))


class Remaining:
    """Says how long work in equal parts will still take.

    Args:
        total: number of parts.
    """

    def __init__(self, total: int) -> None:
        self._left, self._done, self._began = total, 0, time.monotonic()

    def part_done(self) -> str:
        """Count one part; what is left, such as `about 3 min 5 s left`, or nothing."""
        self._left, self._done = self._left - 1, self._done + 1
        if self._left <= 0:
            return "the last one"
        seconds = (time.monotonic() - self._began) / self._done * self._left
        return f"about {duration(seconds)} left"


def duration(seconds: float | int) -> str:
    """Seconds as a person would say them: `4.2 s`, `3 min 5 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


@dataclass
class Interrupt:
    """Whether Ctrl-C was pressed."""

    pressed: bool = False


@contextmanager
def deferred_interrupt() -> Generator[Interrupt, None, None]:
    """Inside, the first Ctrl-C is only noted, so that work can stop where its state is whole.

    A second one does not wait. Only the main thread of a process can defer it.
    """
    noted = Interrupt()

    def note(number: int, frame: object) -> None:
        if noted.pressed:
            raise KeyboardInterrupt
        noted.pressed = True

    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
