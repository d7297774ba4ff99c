"""The server's features on disk: whole after a crash, bounded, read by the row."""

import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fl_crafter.errors import InputError
from fl_crafter.flower import Payload
from fl_crafter.transcript import Purpose
from strategies.store import FeatureStore, StoredRows

SHAPE = (2, 3, 3)


def payload(
    count: int = 4, *, client: int = 0, round: int = 1, purpose: Purpose = Purpose.TRAIN
) -> Payload:
    random = torch.Generator().manual_seed(100 * client + 10 * round + purpose)
    feature = torch.randn(count, *SHAPE, generator=random).half().float()
    labels = torch.randint(0, 2, (count, 2), generator=random).float()
    return Payload(feature, labels, client, round, purpose)


def test_what_was_added_is_there_in_the_next_process(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, capacity=100)
    sent = [payload(client=1, round=2), payload(client=0, round=2), payload(client=1)]
    for each in [*sent, payload(purpose=Purpose.EVALUATION)]:
        store.add(each)
    again = FeatureStore(tmp_path, capacity=100)
    for known in (store, again):
        messages = known.messages(Purpose.TRAIN)
        assert [(m.round, m.client) for m in messages] == [(1, 1), (2, 0), (2, 1)]
        back = messages[-1].payload()
        assert torch.equal(back.feature, sent[0].feature)
        assert torch.equal(back.labels, sent[0].labels)
        assert len(known.messages(Purpose.EVALUATION)) == 1


def test_rows_of_many_files_read_like_one_tensor(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, capacity=100)
    sent = [payload(count, client=client) for client, count in enumerate((3, 1, 5))]
    for each in sent:
        store.add(each)
    rows = StoredRows(store.messages(Purpose.TRAIN))
    whole = torch.cat([each.feature for each in sent])
    index = torch.tensor([8, 0, 3, 3, 2, 5])
    assert len(rows) == 9
    assert torch.equal(rows.take(index), whole[index])
    assert torch.equal(rows.labels, torch.cat([each.labels for each in sent]))


def test_float32_is_kept_where_half_precision_would_lose(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, capacity=100)
    exact = replace(payload(), feature=torch.full((4, *SHAPE), 1.0001))
    store.add(exact)
    assert torch.equal(store.messages(Purpose.TRAIN)[0].features(), exact.feature)


def test_a_full_store_forgets_the_oldest_of_whoever_holds_the_most(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, capacity=20)
    store.add(payload(4, client=0))
    for round in range(1, 7):
        store.add(payload(4, client=1, round=round))
        store.add(payload(4, client=1, round=round, purpose=Purpose.EVALUATION))
    messages = store.messages(Purpose.TRAIN)
    assert [(m.client, m.round) for m in messages] == [(0, 1), (1, 3), (1, 4), (1, 5), (1, 6)]
    assert len(store.messages(Purpose.EVALUATION)) == 6
    assert len(list(tmp_path.iterdir())) == 11
    assert len(FeatureStore(tmp_path, capacity=20).messages(Purpose.TRAIN)) == 5


def test_of_clients_that_hold_the_same_the_order_of_arrival_does_not_choose(tmp_path: Path) -> None:
    left = []
    for order in ((0, 1, 2), (2, 1, 0)):
        store = FeatureStore(tmp_path / str(order), capacity=10)
        for client in order:
            store.add(payload(4, client=client))
        left.append([message.client for message in store.messages(Purpose.TRAIN)])
    assert left[0] == left[1] and len(left[0]) == 2


def test_a_store_too_small_for_one_round_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FeatureStore(tmp_path, capacity=8)
    for round in (1, 2):
        for client in range(2):
            store.add(payload(4, client=client, round=round))
    assert not caplog.records
    store.add(payload(4, client=2, round=2))
    assert "store of 8 rows forgets features of round 2" in caplog.text
    assert "raise store-rows" in caplog.text


def test_copies_of_one_feature_count_once(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, capacity=100)
    copied = payload(4)
    copied.feature[1:3] = copied.feature[0]
    store.add(copied)
    weight = store.messages(Purpose.TRAIN)[0].weight
    assert weight.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1.0])


def test_a_file_that_is_no_message_is_named(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, capacity=100)
    store.add(payload())
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="train-000001-000000.safetensors is no stored message"):
        FeatureStore(tmp_path, capacity=100)


FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.federation.test_store import payload
from strategies.store import FeatureStore

store = FeatureStore(Path(sys.argv[1]), capacity=10**6)
store.add(payload(4))
resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, 2**14))  # no file may grow beyond 16 KiB
try:
    store.add(payload(4000, client=1))
except OSError as error:
    print("refused", "cannot be written" in str(error))
print(len(store.messages(0)))
"""


def test_a_full_disk_costs_the_message_that_met_it_and_no_other(tmp_path: Path) -> None:
    """A process that may write no large file stands for a disk that is full."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] != 0
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["refused", "True", "1"], done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["train-000001-000000.safetensors"]
    assert len(FeatureStore(tmp_path, capacity=100).messages(Purpose.TRAIN)) == 1
