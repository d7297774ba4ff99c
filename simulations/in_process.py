"""Run the same apps in this process, without Ray and without Flower's 20 seconds of starting."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from logging import WARNING, getLogger

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from simulations.config import SimulationConfig, Value

RUN_ID = 1
_log = getLogger("fl_crafter")


@contextmanager
def flower_identity() -> Generator[None, None, None]:
    """Give this process the identity that Flower wants before it makes a message.

    Outside `flwr run` nobody sets it. The fields are not public, hence this one place that knows
    them.
    """
    names = ("_task_id", "_run_id", "_node_id")
    before = [getattr(TaskIdentity, name) for name in names]
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, RUN_ID, SUPERLINK_NODE_ID
    try:
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(TaskIdentity, name, value)


@contextmanager
def _quiet_flower() -> Generator[None, None, None]:
    """Keep Flower's account of every round out of this process's output; warnings still come."""
    logger = getLogger("flwr")
    before = logger.level
    logger.setLevel(WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


class InProcessGrid(Grid):
    """Hands each message to the ClientApp at once, one client after another.

    Like Flower, it turns a client's exception into an error reply and keeps a state per client.

    Args:
        client_app: called for every message.
        clients: number of clients.
        run_config: what the clients find in their context.

    Attributes:
        contexts: each node's context, which lasts as long as the grid.
    """

    def __init__(
        self, client_app: ClientApp, *, clients: int, run_config: dict[str, Value] | None = None
    ) -> None:
        self._client_app = client_app
        self.contexts = {
            1000 + client: Context(
                run_id=RUN_ID,
                node_id=1000 + client,
                node_config={
                    "partition-id": client,
                    "num-partitions": clients,
                    "own-process": False,
                },
                state=RecordDict(),
                run_config=dict(run_config or {}),
            )
            for client in range(clients)
        }
        self._sent = 0
        self._replies: dict[str, Message] = {}

    def get_node_ids(self) -> Iterable[int]:
        """One node per client."""
        return list(self.contexts)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """All replies; a client in this process cannot be late, so the timeout never passes."""
        return list(self.pull_messages(self.push_messages(messages)))

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Let the clients answer; the replies wait to be pulled."""
        sent: list[str] = []
        for message in messages:
            self._sent += 1
            sent.append(f"message-{self._sent}")
            message.metadata.__dict__["_message_id"] = sent[-1]
            self._replies[sent[-1]] = self._answer(message)
        return sent

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies to these messages that nobody pulled yet."""
        return [self._replies.pop(sent) for sent in message_ids if sent in self._replies]

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Create a message for a node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def set_run(self, run: Run) -> None:
        """There is one run only; nothing to set."""

    @property
    def run(self) -> Run:
        """The one run, without anything known of it."""
        return Run.create_empty(RUN_ID)

    def _answer(self, message: Message) -> Message:
        try:
            return self._client_app(message, self.contexts[message.metadata.dst_node_id])
        except Exception as error:
            _log.exception("a ClientApp raised an exception")
            reason = f"{type(error)}:<'{error}'>"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)


def run_in_process(
    config: SimulationConfig, *, server_app: ServerApp, client_app: ClientApp
) -> None:
    """Run a ServerApp against as many clients as the configuration says, here and now."""
    settings = config.run_config()
    with flower_identity(), _quiet_flower():
        grid = InProcessGrid(client_app, clients=config.clients, run_config=settings)
        context = Context(
            run_id=RUN_ID,
            node_id=SUPERLINK_NODE_ID,
            node_config={},
            state=RecordDict(),
            run_config=dict(settings),
        )
        server_app(grid, context)
