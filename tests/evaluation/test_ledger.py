import json

import pytest
import torch
from safetensors.torch import save_file

from fl_crafter.errors import InputError
from fl_crafter.evaluation import Ledger, Predictions, read_ledger


def write_note(folder, name, **changes):
    note = {"client": 0, "round": 1, "purpose": 1, "index": [5, 3, 9]} | changes
    (folder / name).write_text(json.dumps(note), encoding="utf-8")


def locate(ledger, *rows):
    client, round_, purpose, row = torch.tensor(rows).T
    return ledger.locate(client=client, round=round_, purpose=purpose, row=row).tolist()


def test_rows_are_found_in_any_order(tmp_path):
    write_note(tmp_path, "a.json")
    write_note(tmp_path, "b.json", client=2, purpose=0, index=[7])
    ledger = read_ledger(tmp_path)
    assert locate(ledger, (2, 1, 0, 0), (0, 1, 1, 2), (0, 1, 1, 0)) == [7, 9, 5]


@pytest.mark.parametrize(
    "row", [(0, 1, 1, 3), (1, 1, 1, 0), (0, 2, 1, 0), (0, 1, 0, 0), (0, 1, 1, -1)]
)
def test_a_row_that_nobody_noted_is_refused(row):
    ledger = Ledger({(0, 1, 1): torch.tensor([5, 3, 9])})
    with pytest.raises(InputError, match="same run"):
        locate(ledger, row)


def test_a_row_named_twice_is_refused():
    ledger = Ledger({(0, 1, 1): torch.tensor([5, 3, 9])})
    with pytest.raises(InputError, match="twice"):
        locate(ledger, (0, 1, 1, 0), (0, 1, 1, 0))


def test_two_notes_of_one_message_are_refused(tmp_path):
    write_note(tmp_path, "a.json")
    write_note(tmp_path, "b.json")
    with pytest.raises(InputError, match="second note"):
        read_ledger(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"client": 0}', '{"client": 0, "round": 1, "purpose": 1, "index": [0.5]}'],
)
def test_a_broken_note_is_named(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="a.json"):
        read_ledger(tmp_path)


def test_a_folder_without_notes_is_refused(tmp_path):
    with pytest.raises(InputError, match="no ledger"):
        read_ledger(tmp_path / "missing")


def test_predictions_come_from_a_file_with_more_in_it(tmp_path):
    one = torch.tensor([0, 0])
    tensors = {"score": torch.rand(2, 4), "client": one, "round": one + 1, "row": torch.arange(2)}
    save_file(tensors | {"labels": torch.zeros(2, 4)}, tmp_path / "p.safetensors")
    predictions = Predictions.load(tmp_path / "p.safetensors")
    assert torch.equal(predictions.score, tensors["score"])
    ledger = Ledger({(0, 1, 0): torch.tensor([1, 2]), (0, 1, 1): torch.tensor([8, 6])})
    assert predictions.locate(ledger).tolist() == [8, 6]
    for name in ("other.safetensors", "p.json"):
        (tmp_path / "p.json").write_text("{}", encoding="utf-8")
        with pytest.raises(InputError, match="no predictions"):
            Predictions.load(tmp_path / name)
