"""Bulk crafting: shards are made once, of what their digest says, by whomever."""

import gc
import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from simulations.bulk_crafting import (
    BulkSettings,
    Shard,
    ShardWriter,
    craft_with_ray,
    is_done,
    plan,
)

SETTINGS = BulkSettings("substitution", utility_weight=10.0, steps=1, batch=2, seed=0)


@pytest.fixture(scope="module")
def writer() -> ShardWriter:
    return ShardWriter(SETTINGS, "cpu")


def some(photographs: Path, out: Path, count: int = 5, *, rows: int = 3) -> list[Shard]:
    return plan(sorted(photographs.glob("*/*.pgm"))[:count], out, rows=rows)


def test_shards_hold_every_photograph_once_and_in_order(photographs: Path, tmp_path: Path) -> None:
    shards = some(photographs, tmp_path)
    assert [len(shard.photographs) for shard in shards] == [3, 2]
    assert [path for shard in shards for path in shard.photographs] == sorted(
        photographs.glob("*/*.pgm")
    )[:5]
    assert shards[1].path.name == "shard-00001-of-00002.safetensors"


def test_a_shard_is_done_when_it_was_made_of_the_same_with_the_same(
    writer: ShardWriter, photographs: Path, tmp_path: Path
) -> None:
    (shard,) = some(photographs, tmp_path, 3)
    assert not is_done(shard, SETTINGS)
    assert writer.write(shard) == 3
    assert is_done(shard, SETTINGS)
    assert not is_done(shard, BulkSettings("none", 10.0, 1, 2, 0))
    assert not is_done(Shard(shard.path, shard.photographs[:2]), SETTINGS)
    first = load_file(shard.path)["feature"].clone()  # a mapped file must not become shorter
    assert first.shape == (3, 64, 16, 16)
    shard.path.write_bytes(shard.path.read_bytes()[:100])
    assert not is_done(shard, SETTINGS)
    writer.write(shard)
    assert torch.equal(load_file(shard.path)["feature"], first)


def test_no_name_of_a_photograph_is_in_a_shard(
    writer: ShardWriter, photographs: Path, tmp_path: Path
) -> None:
    (shard,) = some(photographs, tmp_path, 1)
    writer.write(shard)
    content = shard.path.read_bytes()
    assert b"pgm" not in content and photographs.name.encode() not in content


@pytest.mark.ray
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the processes that Ray starts
def test_ray_makes_what_is_missing_as_one_process_does(
    writer: ShardWriter, photographs: Path, tmp_path: Path
) -> None:
    alone, shards = some(photographs, tmp_path / "alone"), some(photographs, tmp_path / "ray")
    for shard in alone:
        writer.write(shard)
    assert craft_with_ray(shards, SETTINGS, gpus_per_worker=0, workers=2) == 2
    for one, other in zip(alone, shards, strict=True):
        assert torch.equal(load_file(one.path)["feature"], load_file(other.path)["feature"])
    shards[0].path.unlink()
    assert craft_with_ray(shards, SETTINGS, gpus_per_worker=0, workers=2) == 1
    assert all(is_done(shard, SETTINGS) for shard in shards)
    gc.collect()  # while the filter holds
