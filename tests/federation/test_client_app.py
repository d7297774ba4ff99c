from collections.abc import Callable, Iterator

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from fl_crafter.flower import PayloadTerms, read_payload
from fl_crafter.transcript import Purpose
from simulations import client_app
from simulations.config import SimulationConfig
from simulations.in_process import InProcessGrid, flower_identity

MakeConfig = Callable[..., SimulationConfig]
TERMS = PayloadTerms(feature_shape=(8, 8, 8), attributes=4, clients=4)


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with flower_identity():
        yield


@pytest.fixture
def grid(make_config: MakeConfig) -> InProcessGrid:
    config = make_config()
    return InProcessGrid(client_app.app, clients=4, run_config=config.run_config())


def ask(
    grid: InProcessGrid, kind: str = "train.craft", *, client: int = 0, **changes: int
) -> Message:
    purpose = 0 if kind.startswith("train") else 1
    request = {"version": 1, "round": 1, "purpose": purpose} | changes
    content = RecordDict({"request": ConfigRecord(request)})
    node = list(grid.get_node_ids())[client]
    (reply,) = grid.send_and_receive([Message(content, node, kind, group_id="1")])
    return reply


def test_a_client_answers_with_a_valid_message_and_nothing_else(grid: InProcessGrid) -> None:
    reply = ask(grid, "evaluate.craft", client=2)
    payload = read_payload(reply.content, TERMS, round=1, purpose=Purpose.EVALUATION)
    assert payload.client == 2
    assert len(payload.feature) == 25
    assert reply.content.array_records["features"]["feature"].dtype == "float16"


def test_the_same_photographs_are_never_shared_twice(grid: InProcessGrid) -> None:
    assert ask(grid).has_content()
    again = ask(grid)
    assert "shared before" in (again.error.reason or "")
    assert ask(grid, round=2).has_content()
    assert ask(grid, "evaluate.craft").has_content()
    assert ask(grid, "evaluate.craft", round=2).has_error()
    assert ask(grid, client=1).has_content()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "version 1"),
        ({"round": 0}, "from 1 to 2"),
        ({"round": 3}, "from 1 to 2"),
        ({"purpose": 1}, "has the purpose 0"),
    ],
)
def test_a_request_is_checked_like_anything_from_outside(
    grid: InProcessGrid, changes: dict[str, int], reason: str
) -> None:
    reply = ask(grid, **changes)
    assert reason in (reply.error.reason or "")


def test_a_federation_of_another_size_is_refused(make_config: MakeConfig) -> None:
    grid = InProcessGrid(client_app.app, clients=2, run_config=make_config().run_config())
    reply = ask(grid)
    assert reply.error.reason == "The client failed with InputError."
