"""Linkability: labels are its floor, and hiding a face does not lower it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from fl_crafter.attacks.queries import QueryMemory
from fl_crafter.evaluation.collect import (
    AND_ALBUM,
    BY_ALBUM,
    FUSED,
    OUTPUTS,
    OUTPUTS_AND_LABELS,
    RELEASED,
)
from fl_crafter.faces.record import Role
from fl_crafter.models.split import SplitModel
from fl_crafter.study import linkability
from fl_crafter.study.bench import Bench
from fl_crafter.study.linkability import known_photographs, measure_linkability
from tests.study.conftest import PEOPLE
from tests.world import seeded


def linked(
    bench: Bench, feature: torch.Tensor, release: Callable[[torch.Tensor], torch.Tensor]
) -> dict[str, float]:
    bench = replace(bench, _embedded={})  # how many photographs are known differs between tests
    known = known_photographs(bench)
    clean = bench.encode(bench.faces.image[known])
    found = measure_linkability(
        bench,
        feature,
        known=known,
        clean=clean,
        theirs=release(clean),
        knowledge=replace(bench.knowledge, release=release, memory=QueryMemory()),
        random=seeded(),
    )
    return {name: float(own.within(1).double().mean()) for name, own in found.items()}


def test_clean_features_link_and_one_feature_leaves_the_labels(labelled: Bench) -> None:
    clean = labelled.encode(labelled.faces.image[labelled.test])
    open_ = linked(labelled, clean, lambda feature: feature)
    assert open_["released features"] > 0.9
    assert open_["nearest released feature"] > 0.9
    assert open_["released features, known by clean ones"] > 0.9
    # three digits tell eight groups apart, and twelve people are in them
    assert 4 / PEOPLE <= open_["labels"] <= 9 / PEOPLE
    closed = linked(labelled, torch.zeros_like(clean), torch.zeros_like)
    assert closed["released features"] == pytest.approx(1 / PEOPLE)
    assert closed["released features and labels"] >= closed["labels"] - 1e-9
    assert closed["labels"] == open_["labels"]


def test_what_is_tested_is_not_known(bench: Bench) -> None:
    known = known_photographs(bench)
    assert not set(known.tolist()) & set(bench.test.tolist())
    assert {bench.faces.role[place] for place in known.tolist()} == {Role.EVAL_TRAIN}
    assert len(known) == PEOPLE  # one of each, at the smallest budget


def test_a_release_that_says_nothing_does_not_drown_the_labels(
    labelled: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A classifier of few features is surer than it is right."""
    monkeypatch.setitem(linkability.PHOTOS, labelled.plan.budget, 2)
    source = seeded(5)

    def noise(feature: torch.Tensor) -> torch.Tensor:
        return torch.randn(feature.shape, generator=source)

    clean = labelled.encode(labelled.faces.image[labelled.test])
    found = linked(labelled, noise(clean), noise)
    assert found["released features"] < 3 / PEOPLE
    assert found["labels"] > 3 / PEOPLE
    assert found[FUSED] >= found["labels"] - 1e-9
    seen = linked(labelled, clean, lambda feature: feature)
    assert seen[FUSED] > 0.9


def test_outputs_of_the_cloud_model_link_by_themselves(
    labelled: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(linkability.PHOTOS, labelled.plan.budget, 2)
    clean = labelled.encode(labelled.faces.image[labelled.test])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        cloud = nn.Sequential(nn.Flatten(), nn.Linear(clean[0].numel(), 40))
    bench = replace(labelled, model=SplitModel(labelled.model.encoder, cloud.requires_grad_(False)))
    monkeypatch.setitem(linkability.QUERIES, bench.plan.budget, 300)
    monkeypatch.setitem(linkability.FACES, bench.plan.budget, 300)
    seen = linked(bench, clean, lambda feature: feature)
    assert seen[OUTPUTS] > 0.9
    assert seen[OUTPUTS_AND_LABELS] > 0.9
    assert seen[OUTPUTS_AND_LABELS + AND_ALBUM] >= seen[OUTPUTS_AND_LABELS]
    assert all(seen[name + BY_ALBUM] > 0.9 for name in (RELEASED, OUTPUTS, OUTPUTS_AND_LABELS))
    closed = linked(bench, torch.zeros_like(clean), torch.zeros_like)
    assert closed[OUTPUTS] == pytest.approx(1 / PEOPLE)
    assert closed[OUTPUTS_AND_LABELS] >= 3 / PEOPLE
    assert closed[RELEASED + BY_ALBUM] == pytest.approx(1 / PEOPLE)
    assert closed[OUTPUTS + BY_ALBUM] <= 3 / PEOPLE
