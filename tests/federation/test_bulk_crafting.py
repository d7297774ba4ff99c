"""Bulk crafting: shards are made once, of what their digest says, by whomever."""

import gc
import importlib.util
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from fl_crafter.defences.crafter.crafter import Crafter
from fl_crafter.defences.crafter.utility import TaskUtility
from fl_crafter.errors import InputError
from fl_crafter.faces.images import read_images
from fl_crafter.tensor_files import read_metadata
from simulations.bulk_crafting import (
    FORMAT,
    BulkSettings,
    Made,
    Shard,
    ShardWriter,
    app,
    craft_with_ray,
    plan,
)

SETTINGS = BulkSettings("substitution", utility_weight=10.0, steps=1, keep="", batch=2, seed=0)


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


def test_shards_keep_what_is_asked_for() -> None:
    keeping = BulkSettings("crafter", 10.0, 1, "Smiling,Male", 2, 0)
    defence = ShardWriter(keeping, "cpu").protector.defence
    assert isinstance(defence, Crafter)
    assert isinstance(defence.utility, TaskUtility)
    assert defence.utility(torch.zeros(1, 64, 16, 16)).shape == (1, 2)
    with pytest.raises(InputError, match="'noise' does not go by"):
        BulkSettings("noise", 10.0, 1, "Smiling", 2, 0)


def test_a_shard_is_done_when_it_was_made_of_the_same_with_the_same(
    writer: ShardWriter, photographs: Path, tmp_path: Path
) -> None:
    (shard,) = some(photographs, tmp_path / "out", 3)
    made = Made(tmp_path / "out", SETTINGS)
    assert not made.has(shard)
    assert writer.write(shard) == (shard.path, 3)
    made.note(shard)
    assert Made(tmp_path / "out", SETTINGS).has(shard)
    assert not Made(tmp_path / "out", BulkSettings("none", 10.0, 1, "", 2, 0)).has(shard)
    assert not made.has(Shard(shard.path, shard.photographs[:2]))
    first = load_file(shard.path)["feature"].clone()  # a mapped file must not become shorter
    assert first.shape == (3, 64, 16, 16)
    shard.path.write_bytes(shard.path.read_bytes()[:100])
    assert not made.has(shard)
    writer.write(shard)
    assert torch.equal(load_file(shard.path)["feature"], first)
    made.path.write_text("[")
    with pytest.raises(InputError, match="out.made.json is broken; remove it"):
        Made(tmp_path / "out", SETTINGS)


def test_another_photograph_of_the_same_name_is_made_anew(
    writer: ShardWriter, photographs: Path, tmp_path: Path
) -> None:
    path = tmp_path / "face.pgm"
    one, other = sorted(photographs.glob("*/*.pgm"))[:2]
    path.write_bytes(one.read_bytes())
    (shard,) = plan([path], tmp_path / "out", rows=3)
    writer.write(shard)
    made = Made(tmp_path / "out", SETTINGS)
    made.note(shard)
    assert made.has(shard)
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(1, 1))
    assert not made.has(shard)


def test_noise_cannot_be_drawn_again_from_what_is_shared(photographs: Path, tmp_path: Path) -> None:
    settings = BulkSettings("noise", utility_weight=10.0, steps=1, keep="", batch=2, seed=None)
    writer = ShardWriter(settings, "cpu")
    released = []
    for name in ("one", "other"):
        (shard,) = some(photographs, tmp_path / name, 2)
        writer.write(shard)
        released.append(load_file(shard.path)["feature"])
        assert read_metadata(shard.path) == {"format": FORMAT, "defence": "noise"}
    clean = writer.protector.encode(read_images(list(shard.photographs), size=64))
    noise = [each - clean for each in released]
    angle = torch.nn.functional.cosine_similarity(noise[0].flatten(), noise[1].flatten(), dim=0)
    assert abs(float(angle)) < 0.05, "the same photographs, other noise"


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
    own = tmp_path / "photographs"  # of which one is to break
    shutil.copytree(photographs / "s1", own / "s1")
    alone, shards = some(own, tmp_path / "alone"), some(own, tmp_path / "ray")
    for shard in alone:
        writer.write(shard)
    assert craft_with_ray(shards, SETTINGS, gpus_per_worker=0, workers=2) == 2
    for one, other in zip(alone, shards, strict=True):
        assert torch.equal(load_file(one.path)["feature"], load_file(other.path)["feature"])
    shards[0].path.unlink()
    shards[1].photographs[1].write_bytes(b"P5")
    with pytest.raises(InputError, match=shards[1].photographs[1].name):
        craft_with_ray(shards, SETTINGS, gpus_per_worker=0, workers=1)
    made = Made(shards[0].path.parent, SETTINGS)
    assert made.has(shards[0]) and not made.has(shards[1])
    gc.collect()  # while the filter holds


def test_shards_of_other_photographs_do_not_stay_among_these(
    photographs: Path, tmp_path: Path
) -> None:
    (tmp_path / "shard-00000-of-00003.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="shard-00000-of-00003.safetensors; remove them"):
        craft_with_ray(some(photographs, tmp_path, 2), SETTINGS, gpus_per_worker=0, workers=1)


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [("--defence", "blur", "There is no defence 'blur'"), ("--utility-weight", "-1", "not -1.0")],
)
def test_a_wrong_setting_is_named_before_ray_starts(
    option: str, value: str, named: str, photographs: Path, tmp_path: Path
) -> None:
    result = CliRunner().invoke(
        app, [str(photographs), "--out", str(tmp_path / "out"), option, value]
    )
    assert result.exit_code == 2 and named in result.output
