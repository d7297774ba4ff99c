"""Planted broken defences: the suite sees through them, or the checks say what is wrong."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected
from fl_crafter.defences.undefended import Undefended
from fl_crafter.evaluation.bootstrap import Resampling
from fl_crafter.evaluation.cell import Cell
from fl_crafter.evaluation.checks import check_cells
from fl_crafter.evaluation.collect import reliable
from fl_crafter.study.bench import Bench
from fl_crafter.study.measure import gradient_share, measure
from fl_crafter.study.points import SCALES
from tests.world import World, seeded


class OneFeature(Defence):
    """Perfect privacy, it seems: everybody's feature is the same."""

    name = "one_feature"

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        return Protected(torch.full_like(feature, 0.3))


class Rounded(Defence):
    """Stops whoever follows gradients through it, and nobody else."""

    name = "rounded"

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        return Protected((feature.detach() * 8).round() / 8)


class FixedMatrix(Defence):
    """Hides the face with an invertible matrix, the same for everybody."""

    name = "fixed_matrix"

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        channels = feature.shape[1]
        matrix = torch.linalg.qr(torch.randn(channels, channels, generator=seeded(7))).Q
        return Protected(torch.einsum("ij,bjxy->bixy", 3 * matrix, feature))


POINT = SCALES["noise"].point("noise", 1.0)


@dataclasses.dataclass
class BrokenBench(Bench):
    """The bench with another defence in the place of the noise."""

    broken: Defence = dataclasses.field(default_factory=Undefended)

    def defence(self, point) -> Defence:
        return self.broken if point.defence == "noise" else super().defence(point)


def measured(bench: Bench, defence: Defence) -> Cell:
    fields = {each.name: getattr(bench, each.name) for each in dataclasses.fields(Bench)}
    return measure(BrokenBench(**fields, broken=defence), POINT, 0)[0]


def flagged(bench: Bench, cell: Cell, reference: Cell) -> Iterator[str]:
    oracle = bench.truth["pixels"].raw_identification(how=Resampling(resamples=50))
    checks = check_cells([reference, cell], oracle=oracle, bounds=bench.bounds)
    bad = [check.name for check in checks if not check.passed and check.point == cell.point]
    assert bool(bad) == (not reliable(cell.point, [c for c in checks if c.point]))
    yield from bad


def top1(cell: Cell, attack: str | None = None) -> float:
    own = cell.judged["pixels"][attack].guess if attack else cell.worst_case["pixels"]
    return float(own.within(1).double().mean())


@pytest.fixture(scope="module")
def reference(bench: Bench) -> Cell:
    return measure(bench, SCALES["none"].point("none", 1.0), 0)[0]


def test_without_defence_planted_people_are_recognised(reference: Cell) -> None:
    assert top1(reference) > 0.9
    assert reference.release.change == 0 and reference.release.gradient == 1


def test_one_feature_for_everybody_is_flagged(bench: Bench, reference: Cell) -> None:
    cell = measured(bench, OneFeature())
    assert top1(cell) < 0.3
    assert "releases differ between faces" in flagged(bench, cell, reference)


def test_a_detached_gradient_protects_nobody(bench: Bench, reference: Cell) -> None:
    cell = measured(bench, Rounded())
    assert cell.release.gradient == 0
    assert top1(cell) > 0.8 * top1(reference)
    name = "white_box_pixels"
    attacks, likeness = {name: cell.judged["pixels"][name]}, {name: cell.likeness[name]}
    static = cell.model_copy(update={"judged": {"pixels": attacks}, "likeness": likeness})
    assert "no attack relies on a dead gradient" in flagged(bench, static, reference)


def test_a_defence_that_changes_nothing_is_flagged(bench: Bench, reference: Cell) -> None:
    assert "the defence acts" in flagged(bench, measured(bench, Undefended()), reference)


def test_a_fixed_matrix_is_seen_through(bench: Bench, reference: Cell) -> None:
    cell = measured(bench, FixedMatrix())
    assert top1(cell, "white_box_pixels") < 0.5
    assert top1(cell, "adaptive_decoder") > 0.8 * top1(reference)


def test_a_live_gradient_is_seen_by_row(world: World) -> None:
    class FirstRow(Defence):
        name = "first_row"

        def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
            return Protected(torch.cat([2 * feature[:1], feature[1:].detach()]))

    clean = world.feature[:4].clone().requires_grad_(True)
    for defence, share in ((FirstRow(), 0.25), (Undefended(), 1)):
        released = defence.protect(clean, random=seeded()).feature
        assert gradient_share(released, clean) == share
