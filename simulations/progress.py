"""Lines of progress that survive Flower's logs: the launcher shows these and files the rest."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

MARK = "[fl-crafter] "
Show = Callable[[str], None]
_listener: ContextVar[Show | None] = ContextVar("listener", default=None)


def report(line: str) -> None:
    """Pass one line of progress on: to who listens in this process, or else to the output."""
    show = _listener.get()
    if show is None:
        print(f"{MARK}{line}", flush=True)
    else:
        show(line)


@contextmanager
def listening(show: Show) -> Generator[None, None, None]:
    """Give `show` the lines that are reported inside the block."""
    token = _listener.set(show)
    try:
        yield
    finally:
        _listener.reset(token)


def progress_in(line: str) -> str | None:
    """The progress in a line of Flower's log, or None; a client's words stand further on in one."""
    text = line.rstrip()
    return text.removeprefix(MARK) if text.startswith(MARK) else None
