"""A Grid that asks clients in waves and hands replies on one by one, so that few are in memory."""

import time
from collections.abc import Iterable, Iterator

from flwr.app import Message
from flwr.serverapp import Grid

from fl_crafter.flower.forwarding import ForwardingGrid

SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 1.0  # seconds
LATENESS = 0.05  # a reply is noticed late by this share of the time that it took, at most


class WaveGrid(ForwardingGrid):
    """Wraps the server's grid; `send_and_receive` gives the replies while it waits for more.

    Flower's own grids send all requests at once and return when every reply is in memory.

    Args:
        grid: the grid to send through.
        wave: requests that are under way at once.
    """

    def __init__(self, grid: Grid, *, wave: int) -> None:
        if wave < 1:
            raise ValueError(f"a wave must be at least 1, not {wave}")
        super().__init__(grid)
        self.wave = wave

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Replies as they arrive; once the time is over, those still under way are given up.

        Args:
            messages: the requests.
            timeout: seconds for all waves together; None waits for ever.
        """
        until = None if timeout is None else time.monotonic() + timeout
        waiting = list(reversed(list(messages)))
        under_way: set[str] = set()
        since = time.monotonic()
        while waiting or under_way:
            over = until is not None and time.monotonic() >= until
            free = min(self.wave - len(under_way), len(waiting))
            if free and not over:
                sent = self.push_messages([waiting.pop() for _ in range(free)])
                under_way.update(filter(None, sent))
            arrived = list(self.pull_messages(under_way))
            under_way -= {reply.metadata.reply_to_message_id for reply in arrived}
            now = time.monotonic()
            if arrived:
                since = now
            elif not over:
                time.sleep(min(max(SHORTEST_PAUSE, LATENESS * (now - since)), LONGEST_PAUSE))
            while arrived:
                yield arrived.pop(0)
            if over:
                return
