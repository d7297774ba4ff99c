"""Trained defences in the grid: from files, and with their own encoder and cloud model."""

import dataclasses
from pathlib import Path

import pytest
import torch

from fl_crafter.assets.trained import ADVLEARN, DISCO, DISCO_RANDOM, TrainedParts, TrainedShape
from fl_crafter.attacks.base import Attack
from fl_crafter.attacks.black_box import BlackBoxDecoder
from fl_crafter.errors import InputError
from fl_crafter.evaluation.metrics import mean_auc
from fl_crafter.models.split import freeze
from fl_crafter.study.bench import Bench
from fl_crafter.study.measure import measure
from fl_crafter.study.plan import Plan
from fl_crafter.study.points import parse_defences
from tests.world import SHAPE, SIZE


def saved(path: Path, defence: str, *, weight: float = 0.5) -> TrainedParts:
    torch.manual_seed(6)
    widths = (SHAPE[0], 6, 8, 8)
    parts = TrainedShape(defence, 3, widths, (2, 2, 2), weight, 0.75, SIZE).build()
    freeze(parts.module())
    parts.save(path)
    return parts


def test_files_are_points_at_the_value_that_they_were_trained_with(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.safetensors" for number in range(4)]
    saved(files[0], DISCO, weight=0.2)
    saved(files[1], DISCO, weight=0.8)
    saved(files[2], DISCO_RANDOM)
    points = parse_defences(f"none,disco:{files[0]}:{files[1]},disco_random:{files[2]}")
    assert [point.name for point in points] == [
        "none",
        "disco-0.2",
        "disco-0.8",
        "disco_random-0.75",
    ]
    assert [point.weights for point in points] == ["", *map(str, files[:3])]
    for text, named in {
        "disco": "disco:FILE",
        f"advlearn:{files[0]}": "0.safetensors.*advlearn",
        f"disco:{files[3]}": "3.safetensors",
        f"disco:{files[0]}:{files[0]}": "0.2 of another",
        f"disco:{files[0]},disco:{files[1]}": "twice",
    }.items():
        with pytest.raises(InputError, match=named):
            parse_defences(text)


class Cheap(Plan):
    """One attack that costs nothing."""

    def attacks(self) -> list[Attack]:
        return [BlackBoxDecoder(steps=1, batch_size=4)]


def test_a_trained_defence_stands_on_its_own_networks(bench: Bench, tmp_path: Path) -> None:
    made = saved(tmp_path / "adv.safetensors", ADVLEARN)
    (point,) = parse_defences(f"advlearn:{tmp_path / 'adv.safetensors'}")
    plan = Cheap(**dataclasses.asdict(bench.plan))
    bench = dataclasses.replace(bench, plan=plan, _prepared={})
    defence = bench.defence(point)
    facing = bench.facing(defence, point)
    image = bench.faces.image[bench.test]
    with torch.no_grad():
        assert torch.equal(facing.encode(image), made.model.encoder(image))
        assert torch.equal(facing.knowledge.encoder(image), made.model.encoder(image))
        assert not torch.equal(bench.encode(image), made.model.encoder(image))
        score = made.model.logits(image)
    (none,) = parse_defences("none")
    assert bench.facing(bench.defence(none), none) is bench
    assert facing.knowledge.amortiser is None, "it is of another encoder"
    again = bench.facing(defence, point)
    assert again.knowledge.decoder is facing.knowledge.decoder, "learnt once"
    assert facing.knowledge.defence_decoder is defence.decoder is not None

    fewer = dataclasses.replace(bench, asked=(2,), _relearnt={}).facing(defence, point)
    feature = fewer.encode(image)
    assert torch.allclose(fewer.predict(feature), facing.predict(feature)[:, [2]], atol=1e-6)

    cell, _ = measure(bench, point, 0)
    labels = bench.faces.attributes[bench.test]
    wanted = float(mean_auc(score, labels, torch.ones(1, len(score), dtype=torch.float64))[0])
    assert cell.utility_auc == pytest.approx(wanted, abs=1e-6)
    assert cell.release.change == 0, "AdvLearn's features leave as they are"
