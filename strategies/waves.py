"""A Grid that asks clients in waves and hands replies on one by one, so that few are in memory."""

import time
from collections.abc import Iterable, Iterator

from flwr.app import Message, RecordDict
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0  # seconds


class WaveGrid(Grid):
    """Wraps the server's grid; `send_and_receive` gives the replies while it waits for more.

    Flower's own grids send all requests at once and return when every reply is in memory.

    Args:
        grid: the grid to send through.
        wave: requests that are under way at once.
    """

    def __init__(self, grid: Grid, *, wave: int) -> None:
        if wave < 1:
            raise ValueError(f"a wave must be at least 1, not {wave}")
        self._grid = grid
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
        pause = FIRST_PAUSE
        while waiting or under_way:
            free = min(self.wave - len(under_way), len(waiting))
            if free:
                sent = self._grid.push_messages([waiting.pop() for _ in range(free)])
                under_way.update(filter(None, sent))
            arrived = list(self._grid.pull_messages(under_way))
            under_way -= {reply.metadata.reply_to_message_id for reply in arrived}
            if arrived:
                pause = FIRST_PAUSE
            elif until is not None and time.monotonic() >= until:
                return
            else:
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            while arrived:
                yield arrived.pop(0)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages without waiting."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Fetch replies by message id."""
        return self._grid.pull_messages(message_ids)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Create a message for a node."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """The nodes that are connected."""
        return self._grid.get_node_ids()

    def get_nodes(self) -> Iterable[NodeInfo]:
        """What is known of the nodes that are connected."""
        return self._grid.get_nodes()

    def set_run(self, run: Run) -> None:
        """Set the run that the grid works in."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """The run that the grid works in."""
        return self._grid.run
