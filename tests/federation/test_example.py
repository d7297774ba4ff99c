"""The example in examples/vertical_fl: Crafter in an app that is not ours."""

import re

import pytest
import torch
from flwr.app import Message, RecordDict

from examples.vertical_fl import app, protected_app
from examples.vertical_fl.__main__ import run
from simulations.in_process import InProcessGrid, flower_identity


def sent(client_app: object) -> torch.Tensor:
    """What client 0 sends."""
    with flower_identity():
        grid = InProcessGrid(client_app, clients=2)  # type: ignore[arg-type]
        node = min(grid.get_node_ids())
        message = Message(RecordDict(), node, "query.embed", group_id="1")
        (reply,) = grid.send_and_receive([message])
    return torch.from_numpy(reply.content.array_records["embeddings"]["embedding"].numpy())


def test_the_app_runs_without_and_with_crafter(capsys: pytest.CaptureFixture[str]) -> None:
    run(app.client_app)
    run(protected_app.client_app)
    without, protected = map(float, re.findall(r"AUC (\d\.\d+)", capsys.readouterr().out))
    assert without > 0.6
    assert protected > 0.7
    clean, released = sent(app.client_app), sent(protected_app.client_app)
    assert clean.shape == released.shape
    assert not any(torch.equal(one, other) for one, other in zip(clean, released, strict=True))
