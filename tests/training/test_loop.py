"""The training loop: resuming changes nothing, and nothing half-written is left."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fl_crafter import tensor_files
from fl_crafter.errors import InputError
from fl_crafter.tensor_files import read_metadata, write_safetensors
from fl_crafter.training.loop import Trainable, cosine_rate, run_training, update_average


class Run:
    """Ten steps of a regression with dropout, batch norm, Adam and a generator of its own."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 1)
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.05)
        self.random = torch.Generator().manual_seed(1)
        self.done: list[int] = []
        self.fail_at: int | None = None

    def step(self, index: int) -> dict[str, float]:
        if index == self.fail_at:
            raise KeyboardInterrupt
        self.done.append(index)
        value = torch.randn(8, 4, generator=self.random)
        loss = (self.model(value).squeeze(1) - value.sum(1)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item()}

    def train(
        self, checkpoint: Path | None, *, settings: object = "usual", data: Sequence[Tensor] = ()
    ) -> dict[str, float]:
        trainable = Trainable({"model": self.model}, {"adam": self.optimizer}, self.random)
        return run_training(
            self.step,
            trainable,
            steps=10,
            title="test",
            settings=settings,
            data=data,
            checkpoint=checkpoint,
            checkpoint_every=4,
        )


def state(run: Run) -> dict[str, Tensor]:
    moments = {
        f"{index}/{slot}": torch.as_tensor(value)
        for index, slots in run.optimizer.state_dict()["state"].items()
        for slot, value in slots.items()
    }
    return run.model.state_dict() | moments | {"random": run.random.get_state()}


def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = Run()
    figures = whole.train(None)
    broken = Run()
    broken.fail_at = 6  # the last store was after 4 steps
    with pytest.raises(KeyboardInterrupt):
        broken.train(tmp_path / "checkpoint")
    torch.manual_seed(99)
    resumed = Run()
    resumed_figures = resumed.train(tmp_path / "checkpoint")
    assert resumed.done == [4, 5, 6, 7, 8, 9]
    expected, found = state(whole), state(resumed)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.equal(value, found[key]), key
    assert resumed_figures["loss"] == figures["loss"]


def test_a_finished_run_is_not_repeated(tmp_path: Path) -> None:
    first = Run()
    figures = first.train(tmp_path / "checkpoint")
    again = Run()
    assert again.train(tmp_path / "checkpoint")["loss"] == figures["loss"]
    assert not again.done
    torch.testing.assert_close(again.model[0].weight, first.model[0].weight, rtol=0, atol=0)


def test_what_other_photographs_made_is_not_taken_for_these(tmp_path: Path) -> None:
    own, checkpoint = torch.arange(12, dtype=torch.uint8), tmp_path / "checkpoint"
    Run().train(checkpoint, data=(own,))
    again = Run()
    again.train(checkpoint, data=(own.clone(),))
    assert not again.done
    changed = own.clone()
    changed[5] += 1
    for other in (changed, own.reshape(3, 4), own.float()):
        with pytest.raises(InputError, match="other settings or photographs"):
            Run().train(checkpoint, data=(other,))


def test_figures_are_averaged() -> None:
    values = iter([1.0, 2.0, 4.0])
    trainable = Trainable({}, {}, torch.Generator())
    figures = run_training(lambda _: {"x": next(values)}, trainable, steps=3, title="test")
    assert figures["x"] == pytest.approx(0.98 * (0.98 * 1 + 0.02 * 2) + 0.02 * 4)
    assert figures["seconds"] >= 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_figure_that_is_not_finite_ends_the_run(bad: float, tmp_path: Path) -> None:
    run = Run()

    def step(index: int) -> dict[str, float]:
        return {"loss": 1.0, "gap": bad if index == 2 else 0.0}

    trainable = Trainable({"model": run.model}, {}, run.random)
    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(FloatingPointError, match="test: gap became .* at step 3; lower"):
        run_training(
            step, trainable, steps=5, title="test", checkpoint=checkpoint, checkpoint_every=2
        )
    assert read_metadata(checkpoint)["step"] == "2", "the last good state stays"


def test_a_store_that_fails_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.safetensors"
    write_safetensors(path, {"x": torch.ones(3)}, metadata={"version": "1"})

    def fail(tensors: object, temporary: Path, metadata: object) -> None:
        temporary.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(tensor_files, "save_file", fail)
    with pytest.raises(OSError, match="no space"):
        write_safetensors(path, {"x": torch.zeros(3)})
    assert torch.equal(load_file(path)["x"], torch.ones(3))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_tensors_that_share_memory_are_stored(tmp_path: Path) -> None:
    value = torch.arange(6.0).view(2, 3)
    path = tmp_path / "new" / "file.safetensors"
    write_safetensors(path, {"a": value, "b": value.T, "c": value[1]}, metadata={"k": "v"})
    stored = load_file(path)
    assert torch.equal(stored["b"], value.T) and torch.equal(stored["c"], value[1])
    assert read_metadata(path) == {"k": "v"}


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    Run().train(path, settings="seed=0")
    with pytest.raises(InputError) as caught:
        Run().train(path, settings="seed=1")
    assert str(path) in str(caught.value) and "seed=0" in str(caught.value)
    assert "remove it" in str(caught.value)


@pytest.mark.parametrize("harm", ["cut", "text", "network", "foreign"])
def test_a_checkpoint_that_cannot_be_used_is_refused(harm: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    run = Run()
    run.train(path)
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif harm == "text":
        path.write_text("not a checkpoint")
    elif harm == "foreign":
        write_safetensors(path, {"x": torch.zeros(1)})
    else:
        run.model[0] = nn.Linear(4, 7)
    with pytest.raises(InputError) as caught:
        run.train(path)
    message = str(caught.value)
    assert str(path) in message and "remove it" in message and "\n" not in message


def test_the_average_follows_weights_and_copies_counts() -> None:
    average, module = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    with torch.no_grad():
        module.weight.fill_(3.0)
    module(torch.randn(4, 2))
    update_average(average, module, decay=0.75)
    torch.testing.assert_close(average.weight.data, torch.full((2,), 0.75 * 1 + 0.25 * 3))
    torch.testing.assert_close(
        average.running_mean, 0.25 * module.running_mean, rtol=1e-6, atol=1e-7
    )
    assert int(average.num_batches_tracked) == 1


@pytest.mark.parametrize(("steps", "top"), [(5, 1), (60, 12), (1000, 200), (2000, 200)])
def test_the_rate_rises_to_its_peak_and_falls_to_nothing(steps: int, top: int) -> None:
    rates = [cosine_rate(index, steps, peak=0.1) for index in range(steps)]
    assert max(rates) == pytest.approx(0.1)
    assert rates[top - 1] == pytest.approx(0.1)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert cosine_rate(steps, steps, peak=0.1) == pytest.approx(0, abs=1e-9)
    assert rates[-1] < 0.1 / 2 and all(rate > 0 for rate in rates)


def test_a_training_of_one_step_has_a_rate() -> None:
    assert cosine_rate(0, 1, peak=0.1) == pytest.approx(0.1)
