"""Several photographs of a person, or several releases of one, attacked together."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from fl_crafter.errors import InputError
from fl_crafter.evaluation.cell import ALL_PICTURES
from fl_crafter.evaluation.evaluate import judge_attack, judge_together
from fl_crafter.study.bench import Bench
from fl_crafter.study.measure import measure
from fl_crafter.study.photographs import other_uploads
from fl_crafter.study.plan import Plan, fused

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
    assert list(together.likeness) == [*plan.attack_settings(), ALL_PICTURES]
    single = set(alone.likeness) - {ALL_PICTURES}
    assert set(together.likeness) == {ALL_PICTURES} | single | set(map(fused, single))
    with pytest.raises(InputError, match="2 test photographs"):
        other_uploads(truth, 2)


def test_pictures_of_one_person_name_her_where_single_ones_do_not(
    bench: Bench, make_plan: MakePlan
) -> None:
    """Pictures of uploads that are noise but for a trace of the person, judged one by one."""
    truth, judge = bench.truth[bench.main], bench.evaluators[bench.main]
    uploads = 30
    random = torch.Generator().manual_seed(0)
    raw = bench.faces.image[bench.test].expand(uploads, -1, -1, -1, -1)
    noise = torch.rand(raw.shape, generator=random)
    image = 0.03 * raw + 0.97 * noise
    places = torch.stack([judge.landmarks(each) for each in raw])
    column = truth.gallery.column(truth.identity)

    def named(count: int) -> float:
        judged = judge_together(image[:count], places[:count], truth=truth, evaluator=judge)
        return float((judged.rank.gather(1, column[:, None]) == 0).double().mean())

    alone = judge_attack(image[0], torch.arange(len(column)), truth=truth, evaluator=judge)
    one = judge_together(image[:1], places[:1], truth=truth, evaluator=judge)
    assert torch.equal(one.rank, alone.rank) and torch.equal(one.similarity, alone.similarity)
    assert named(1) < 0.5
    assert named(uploads) > 0.9


def test_what_was_measured_without_them_is_of_another_evaluation(make_plan: MakePlan) -> None:
    attacks = [attack.name for attack in make_plan().attacks()]
    assert list(make_plan().attack_settings()) == attacks
    assert list(make_plan(uploads=2).attack_settings()) == attacks + list(map(fused, attacks))
    told = make_plan(uploads=2).fixed()["attacks"]
    assert len(told) == 2 * len(attacks) + 1 and told[-1] == ALL_PICTURES


def test_none_together_is_refused(make_plan: MakePlan) -> None:
    for wrong in ({"uploads": 0}, {"releases": -1}):
        with pytest.raises(InputError, match="one or more"):
            make_plan(**wrong)
