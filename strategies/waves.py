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

        Where a wave has been silent for its share of the time, the next one is asked beside it, so
        that nobody keeps the server from asking others.

        Args:
            messages: the requests.
            timeout: seconds for all waves together; None waits for ever.
        """
        until = None if timeout is None else time.monotonic() + timeout
        waiting = list(reversed(list(messages)))
        share = float("inf") if timeout is None else timeout * self.wave / max(1, len(waiting))
        under_way: dict[str, float] = {}  # message -> when it was sent
        since = time.monotonic()
        while waiting or under_way:
            now = time.monotonic()
            over = until is not None and now >= until
            held = sum(now - sent < share for sent in under_way.values())
            free = min(self.wave - held, len(waiting))
            if free > 0 and not over:
                sent = self.push_messages([waiting.pop() for _ in range(free)])
                under_way |= dict.fromkeys(filter(None, sent), now)
            some = False
            for part in _parts(list(under_way), self.wave):
                arrived = list(self.pull_messages(part))
                some = some or bool(arrived)
                while arrived:  # each leaves the memory once it is dealt with
                    under_way.pop(arrived[0].metadata.reply_to_message_id, None)
                    yield arrived.pop(0)
            now = time.monotonic()
            if some:
                since = now
            elif not over:
                time.sleep(min(max(SHORTEST_PAUSE, LATENESS * (now - since)), LONGEST_PAUSE))
            if over:
                return


def _parts(names: list[str], size: int) -> list[list[str]]:
    return [names[begin : begin + size] for begin in range(0, len(names), size)]
