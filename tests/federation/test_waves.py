"""How late the server notices a reply, and how often it looks; on a clock of its own."""

from collections.abc import Iterable

import pytest
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp

from simulations.in_process import InProcessGrid, flower_identity
from strategies import waves


class Clock:
    """Stands still until somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class OneAfterTheOther(InProcessGrid):
    """Each client takes so many seconds, and they share one processor."""

    def __init__(self, clock: Clock, seconds: list[float]) -> None:
        app = ClientApp()
        app.train()(lambda message, context: Message(RecordDict(), reply_to=message))
        super().__init__(app, clients=len(seconds))
        self.clock, self.seconds, self.looks = clock, seconds, 0
        self.ready: dict[str, float] = {}

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        sent = list(super().push_messages(messages))
        for name in sent:
            busy_until = max([self.clock.now, *self.ready.values()])
            self.ready[name] = busy_until + self.seconds[len(self.ready)]
        return sent

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        self.looks += 1
        return super().pull_messages(
            [name for name in message_ids if self.ready[name] <= self.clock.now]
        )


@pytest.mark.parametrize("wave", [1, 4])
@pytest.mark.parametrize("each", [0.2, 0.8, 5.0, 200.0])
def test_waiting_costs_a_twentieth_of_the_time_that_a_reply_takes(
    monkeypatch: pytest.MonkeyPatch, each: float, wave: int
) -> None:
    clock = Clock()
    monkeypatch.setattr(waves, "time", clock)
    with flower_identity():
        grid = OneAfterTheOther(clock, [each] * 4)
        requests = [
            Message(RecordDict(), node, "train", group_id="1") for node in grid.get_node_ids()
        ]
        replies = list(waves.WaveGrid(grid, wave=wave).send_and_receive(requests))
    assert len(replies) == 4
    late = clock.now - 4 * each
    exchanges = 4 if wave == 1 else 1  # with more under way, only the last reply is waited for
    assert 0 <= late <= exchanges * max(0.02, 0.05 * each) + 1e-9
    assert grid.looks < 4 * (100 + each)


def test_the_time_is_over_for_those_that_did_not_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(waves, "time", clock)
    with flower_identity():
        grid = OneAfterTheOther(clock, [1.0, 10.0])
        requests = [
            Message(RecordDict(), node, "train", group_id="1") for node in grid.get_node_ids()
        ]
        replies = list(waves.WaveGrid(grid, wave=2).send_and_receive(requests, timeout=3.0))
    assert [reply.metadata.src_node_id for reply in replies] == [1000]
    assert 3.0 <= clock.now < 3.2


def test_silent_clients_keep_the_server_from_asking_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(waves, "time", clock)

    class Silent(OneAfterTheOther):
        def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
            kept = list(messages)
            sent = list(super().push_messages(kept))
            for name, message in zip(sent, kept, strict=True):
                silent = message.metadata.dst_node_id < 1004
                self.ready[name] = 1e9 if silent else self.clock.now + 0.1
            return sent

    with flower_identity():
        grid = Silent(clock, [0.0] * 20)
        requests = [
            Message(RecordDict(), node, "train", group_id="1") for node in grid.get_node_ids()
        ]
        replies = list(waves.WaveGrid(grid, wave=2).send_and_receive(requests, timeout=60.0))
    assert {reply.metadata.src_node_id for reply in replies} == set(range(1004, 1020))
    assert clock.now < 62


def test_nothing_is_asked_after_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though a reply is there at every look, as whoever takes them is slow."""
    clock = Clock()
    monkeypatch.setattr(waves, "time", clock)
    with flower_identity():
        grid = OneAfterTheOther(clock, [0.5] * 20)
        requests = [
            Message(RecordDict(), node, "train", group_id="1") for node in grid.get_node_ids()
        ]
        replies = []
        for reply in waves.WaveGrid(grid, wave=2).send_and_receive(requests, timeout=3.0):
            replies.append(reply)
            clock.sleep(0.5)
    assert 4 <= len(replies) <= 8
    assert clock.now < 5.0
