"""Evaluations of an encoder that is not the shipped one."""

from pathlib import Path

import pytest
import torch

from fl_crafter.assets import load_encoder
from fl_crafter.assets.deeper import layer2, layer3
from fl_crafter.errors import InputError
from fl_crafter.evaluation.cell import ALL_PICTURES
from fl_crafter.models.split import SplitModel, feature_shape
from fl_crafter.study.bench import open_bench
from fl_crafter.study.measure import measure
from fl_crafter.study.plan import Plan


@torch.no_grad()
def test_deeper_cuts_are_the_same_network() -> None:
    image = torch.rand(2, 3, 64, 64)
    wanted = load_encoder().logits(image)
    for cut, shape in ((layer2(), (128, 8, 8)), (layer3(), (192, 4, 4))):
        assert feature_shape(cut.encoder, 64) == shape
        torch.testing.assert_close(cut.logits(image), wanted)


def plan(root: Path, encoder: str) -> Plan:
    return Plan(
        data="celeba",
        root=str(root / "celeba"),
        people=6,
        photos=4,
        faces=6,
        public=300,
        defences="noise:1,crafter:10",
        suite="standard",
        budget="smoke",
        seeds=(0,),
        evaluators=("sface",),
        encoder=encoder,
    )


def headless() -> torch.nn.Module:
    return layer2().encoder


def binary() -> SplitModel:
    model = layer2()
    return SplitModel(model.encoder, torch.nn.Sequential(model.cloud, torch.nn.Linear(40, 2)))


@pytest.mark.timeout(600)
def test_every_attack_runs_on_features_of_a_deeper_cut(data_root: Path) -> None:
    here = "tests.study.test_own_encoder:"
    for name, named in ((f"{here}headless", "cut"), (f"{here}binary", "2 attributes")):
        with pytest.raises(InputError, match=named):
            open_bench(plan(data_root, name))
    bench = open_bench(plan(data_root, "fl_crafter.assets.deeper:layer2"))
    attacks = {attack.name for attack in bench.plan.attacks()}
    clean = bench.encode(bench.faces.image[bench.test])
    assert clean.shape[1:] == (128, 8, 8)
    cells = {point.name: measure(bench, point, 0)[0] for point in bench.plan.points()}
    for cell in cells.values():
        assert set(cell.judged[bench.main]) == attacks | {ALL_PICTURES}
        assert 0 < cell.utility_auc < 1
    # moves of the size that this encoder's features vary by, though they are smaller than layer1's
    assert 0.5 < cells["noise-1"].release.change < 2
    assert 0.1 < cells["crafter-10"].release.change < 2
    kept = cells["crafter-10"].release.figures["task_loss"]
    assert kept < 0.1, "the outputs are hardly restored"
