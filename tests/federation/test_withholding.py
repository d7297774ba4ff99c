"""A row that the client's own eavesdropper still sees stays with the client; the others leave."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from safetensors.torch import load_file
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected, Status
from fl_crafter.flower import CrafterMod
from fl_crafter.transcript import Purpose, Transcript
from simulations import client_data
from simulations.config import SimulationConfig
from simulations.in_process import InProcessGrid, flower_identity
from simulations.launch import RunFailed, run_simulation

CLEAN = torch.arange(36.0).view(3, 1, 3, 4)
SEEN = torch.tensor([False, True, False])


class Gated(Defence):
    """A fake gate: moves every feature by one, and says whom it still sees."""

    name = "gated"

    def __init__(self, seen: Callable[[Tensor], Tensor] | Tensor | None) -> None:
        self.seen = seen

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        seen = self.seen(feature) if callable(self.seen) else self.seen
        nobody = seen is not None and not seen.any()
        result = Protected(feature + 1, Status.OK if nobody else Status.IDENTIFIED)
        if not nobody:  # past the checks of shapes, which only tests make
            object.__setattr__(result, "identified", seen)
        return result


def content_of(*, count: int = 3, labels: Tensor | None = None, **metrics: object) -> RecordDict:
    labels = torch.arange(3.0).view(3, 1) if labels is None else labels
    arrays = {"feature": Array(CLEAN.numpy()), "labels": Array(labels.numpy())}
    return RecordDict(
        {
            "features": ArrayRecord(arrays),
            "metrics": MetricRecord({"num-examples": count, **metrics}),  # type: ignore[dict-item]
            "envelope": ConfigRecord({"round": 1}),
        }
    )


def reply_to(content: RecordDict, defence: Defence, *, withhold: bool = True) -> Message:
    app = ClientApp(mods=[CrafterMod(defence, passing=("labels", "losses"), withhold=withhold)])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return Message(content, reply_to=message)

    with flower_identity():
        grid = InProcessGrid(app, clients=1)
        (node,) = grid.get_node_ids()
        (reply,) = grid.send_and_receive([Message(RecordDict(), node, "train", group_id="1")])
    return reply


def test_the_row_its_label_and_its_count_stay_with_the_client() -> None:
    reply = reply_to(content_of(loss=0.5), Gated(SEEN))
    arrays = reply.content.array_records["features"]
    assert list(arrays) == ["feature", "labels"]
    assert torch.equal(torch.from_numpy(arrays["feature"].numpy()), CLEAN[[0, 2]] + 1)
    assert arrays["labels"].numpy().tolist() == [[0.0], [2.0]]
    assert dict(reply.content.metric_records["metrics"]) == {"num-examples": 2, "loss": 0.5}


@pytest.mark.parametrize(
    ("content", "seen", "reason"),
    [
        (content_of(), ~torch.zeros(3, dtype=torch.bool), "release gate still saw a person"),
        # a gate that does not say which rows, or not clearly
        (content_of(), None, "release gate still saw a person"),
        (content_of(), SEEN[:2], "release gate still saw a person"),
        (content_of(), SEEN.long(), "release gate still saw a person"),
        # something that cannot be matched to rows
        (content_of(labels=torch.zeros(2, 1)), SEEN, "not one row for each feature"),
        (content_of(labels=torch.tensor(1.0)), SEEN, "not one row for each feature"),
        (content_of(count=4), SEEN, "num-examples is not the number"),
        (content_of(losses=[0.1, 0.9, 0.1]), SEEN, "a list in the reply"),
    ],
)
def test_where_rows_cannot_be_told_apart_nothing_leaves(
    content: RecordDict, seen: Tensor | None, reason: str
) -> None:
    reply = reply_to(content, Gated(seen))
    assert not reply.has_content()
    assert reason in (reply.error.reason or "")


def test_an_app_that_did_not_ask_for_it_has_the_whole_reply_refused() -> None:
    reply = reply_to(content_of(), Gated(SEEN), withhold=False)
    assert "release gate still saw a person" in (reply.error.reason or "")


def gate_on(monkeypatch: pytest.MonkeyPatch, seen: Callable[[Tensor], Tensor]) -> None:
    monkeypatch.setattr(client_data, "build_defence", lambda *args, **settings: Gated(seen))
    client_data.defence.cache_clear()


def brightest_half(feature: Tensor) -> Tensor:
    brightness = feature.mean(dim=(1, 2, 3))
    return brightness > brightness.median()


@pytest.mark.parametrize("scenario", ["development", "deployment"])
def test_a_run_goes_on_with_the_rows_that_may_leave(
    make_config: Callable[..., SimulationConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scenario: str,
) -> None:
    """What was sent, the predictions for it and the truth about it are of the same rows."""
    gate_on(monkeypatch, brightest_half)
    config = make_config(scenario=scenario, wire_dtype="float32")
    folder = run_simulation(config, tmp_path, mode="in-process", show=lambda line: None)
    client_data.defence.cache_clear()
    transcript = Transcript.load(folder / "transcript.safetensors")
    faces, encoder = client_data.faces(config), client_data.model(config.weights).encoder
    withheld: set[int] = set()
    notes = sorted((folder / "crafting").iterdir())
    assert [path.name for path in notes] == sorted(p.name for p in (folder / "truth").iterdir())
    for path in notes:
        account = json.loads(path.read_text())
        truth = json.loads((folder / "truth" / path.name).read_text())
        client, stated, purpose = (truth[key] for key in ("client", "round", "purpose"))
        own = (transcript.client == client) & (transcript.round == stated)
        sent = transcript.select(own & (transcript.purpose == purpose))
        kept = account["withheld"]["identified"]
        assert len(sent) == account["rows"] == len(truth["index"])
        assert 0 < len(kept) <= account["rows"]
        assert torch.allclose(
            sent.feature, client_data.encode(encoder, faces.image[truth["index"]]) + 1, atol=1e-5
        )
        if scenario == "development":
            assert torch.equal(sent.labels, faces.attributes[truth["index"]])
        withheld.update(kept)
        asked = client_data.share(config, client=client, round=stated, purpose=Purpose(purpose))
        assert sorted(kept + truth["index"]) == sorted(asked.tolist())
    assert not withheld & {i for p in (folder / "truth").iterdir() for i in index_in(p)}
    score = load_file(folder / "predictions.safetensors")["score"]
    assert len(score) == int((transcript.purpose == Purpose.EVALUATION).sum())
    if scenario == "deployment":
        outcome = json.loads((folder / "outcome.json").read_text())
        assert (outcome["answers_agreed"], outcome["answers_disputed"]) == (8, 0)


def index_in(path: Path) -> list[int]:
    return json.loads(path.read_text())["index"]


def test_a_message_with_nothing_left_is_refused(
    make_config: Callable[..., SimulationConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate_on(monkeypatch, lambda feature: torch.ones(len(feature), dtype=torch.bool))
    with pytest.raises(RunFailed, match="release gate still saw a person"):
        run_simulation(make_config(), tmp_path, mode="in-process", show=lambda line: None)
    client_data.defence.cache_clear()
