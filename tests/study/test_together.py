"""Several photographs of a person, or several releases of one, attacked together."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from fl_crafter.errors import InputError
from fl_crafter.study.bench import Bench
from fl_crafter.study.measure import measure
from fl_crafter.study.photographs import other_uploads
from fl_crafter.study.plan import Plan

MakePlan = Callable[..., Plan]


def attacked(bench: Bench, plan: Plan) -> Bench:
    fields = {each.name: getattr(bench, each.name) for each in dataclasses.fields(Bench)}
    return Bench(**fields | {"plan": plan})


def test_what_a_defence_draws_anew_averages_out(bench: Bench, make_plan: MakePlan) -> None:
    similarity = {}
    for releases in (1, 16):
        plan = make_plan(defences="noise:2", releases=releases)
        cell, _ = measure(attacked(bench, plan), plan.points()[0], 0)
        similarity[releases] = {name: own.ssim for name, own in cell.likeness.items()}
    for attack, alone in similarity[1].items():
        assert similarity[16][attack] > alone + 0.02, attack


def test_uploads_of_one_person_are_joined(bench: Bench, make_plan: MakePlan) -> None:
    truth = bench.truth[bench.main]
    (others,) = other_uploads(truth, 1)
    assert torch.equal(bench.faces.identity[others], bench.identity)
    assert not bool((others == bench.test).any())
    assert other_uploads(truth, 0) == []
    plan = make_plan(defences="none", uploads=2)
    together, _ = measure(attacked(bench, plan), plan.points()[0], 0)
    alone, _ = measure(bench, plan.points()[0], 0)
    assert together.utility_auc == alone.utility_auc, "the server is sent no means"
    assert together.likeness != alone.likeness
    with pytest.raises(InputError, match="2 test photographs"):
        other_uploads(truth, 2)


def test_none_together_is_refused(make_plan: MakePlan) -> None:
    for wrong in ({"uploads": 0}, {"releases": -1}):
        with pytest.raises(InputError, match="one or more"):
            make_plan(**wrong)
