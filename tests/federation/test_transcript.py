from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fl_crafter.errors import InputError
from fl_crafter.tensor_files import read_metadata, write_safetensors
from fl_crafter.transcript import Purpose, Transcript, concatenate


def some(count: int = 3, *, round: int = 1, purpose: Purpose = Purpose.TRAIN) -> Transcript:
    random = torch.Generator().manual_seed(count)
    return Transcript(
        feature=torch.randn(count, 2, 4, 4, generator=random),
        labels=torch.tensor([[0.0, float("nan")]]).repeat(count, 1),
        client=torch.full((count,), 1),
        round=torch.full((count,), round),
        purpose=torch.full((count,), int(purpose)),
        row=torch.arange(count),
    )


def test_a_stored_transcript_comes_back_bit_for_bit(tmp_path: Path) -> None:
    transcript = some()
    transcript.save(tmp_path / "t.safetensors")
    back = Transcript.load(tmp_path / "t.safetensors")
    assert torch.equal(back.feature, transcript.feature)
    assert torch.equal(back.labels.isnan(), transcript.labels.isnan())
    for name in ("client", "round", "purpose", "row"):
        assert torch.equal(getattr(back, name), getattr(transcript, name))
    assert [path.name for path in tmp_path.iterdir()] == ["t.safetensors"]


def test_concatenation_keeps_the_order_and_a_purpose_can_be_taken_out() -> None:
    parts = [some(3), some(2, round=2), some(4, purpose=Purpose.EVALUATION)]
    whole = concatenate(parts)
    assert len(whole) == 9
    assert whole.row.tolist() == [0, 1, 2, 0, 1, 0, 1, 2, 3]
    assert torch.equal(whole.of_purpose(Purpose.EVALUATION).feature, parts[2].feature)
    assert torch.equal(whole.select([4]).feature[0], parts[1].feature[1])


def test_features_of_different_shapes_do_not_concatenate() -> None:
    other = some(2)
    wider = Transcript(**{**vars(other), "feature": torch.zeros(2, 3, 4, 4)})
    with pytest.raises(ValueError, match="differ in the shape"):
        concatenate([other, wider])
    with pytest.raises(ValueError, match="at least one"):
        concatenate([])


def test_fields_of_different_length_are_refused() -> None:
    # the shape checker of the tests may speak before the record itself does
    with pytest.raises(Exception, match="length|parameter 'row'"):
        Transcript(**{**vars(some(3)), "row": torch.arange(2)})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere.safetensors does not exist"):
        Transcript.load(tmp_path / "nowhere.safetensors")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    some().save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cut short"):
        Transcript.load(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="holds no fl-crafter transcript"):
        Transcript.load(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"feature": torch.full((3, 2, 4, 4), float("nan"))}, "not finite"),
        ({"purpose": torch.full((3,), 7)}, "purpose must be"),
        ({"round": torch.ones(3)}, "round must be one int64"),
        ({"labels": torch.zeros(3)}, "labels must be floating point with 2"),
        ({"row": torch.arange(5)}, "differ in length"),
        ({"name": torch.zeros(3)}, "fields name are missing or unknown"),
    ],
)
def test_a_file_with_an_impossible_field_is_refused(
    tmp_path: Path, change: dict[str, torch.Tensor], reason: str
) -> None:
    path = tmp_path / "t.safetensors"
    some(3).save(path)
    write_safetensors(path, {**vars(some(3)), **change}, metadata=read_metadata(path))
    with pytest.raises(InputError, match=reason):
        Transcript.load(path)
