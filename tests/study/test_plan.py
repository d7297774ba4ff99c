"""Points, plans, and which photographs are taken."""

import dataclasses
from pathlib import Path

import pytest
import torch

from fl_crafter.defences.any_encoder import FOR_ANY_ENCODER
from fl_crafter.defences.configured import NAMES, DefenceSettings
from fl_crafter.errors import InputError
from fl_crafter.study.photographs import restricted, spread_over_people
from fl_crafter.study.plan import Plan
from fl_crafter.study.points import SCALES, every_defence, parse_defence, parse_defences


def test_every_defence_has_points_and_no_two_share_a_file() -> None:
    found = parse_defences(every_defence())
    assert {point.defence for point in found} == set(SCALES) <= set(NAMES)
    assert len({point.name for point in found}) == len(found)
    assert sum(point.defence == "crafter" for point in found) >= 4


def test_values_are_set_where_they_belong() -> None:
    points = parse_defences("none, noise:0.5, projection:16:64, crafter:0.1:10, crafter_z:20")
    assert [point.name for point in points] == [
        "none",
        "noise-0.5",
        "projection-16",
        "projection-64",
        "crafter-0.1",
        "crafter-10",
        "crafter_z-20",
    ]
    by_name = {point.name: point.settings for point in points}
    assert by_name["noise-0.5"].deviation == 0.5
    assert by_name["projection-64"].components == 64
    assert by_name["crafter-0.1"].crafter.utility_weight == 0.1
    assert by_name["crafter_z-20"].crafter.rate != by_name["crafter-10"].crafter.rate


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("blur", "'blur'"),
        ("", "''"),
        ("none:1", "'none' has no setting"),
        ("noise:loud", "deviation of 'noise' cannot be 'loud'"),
        ("noise:-1", "'-1'"),
        ("crafter:nan", "'nan'"),
        ("noise,noise:1", "'noise' twice"),
        ("noise:1:1.0", "noise-1 is given twice"),
        ("crafter:0.1234567:0.1234568", "crafter-0.123457 is given twice"),
        ("substitution:2.7", "neighbours of 'substitution' cannot be '2.7'; give a whole number"),
    ],
)
def test_a_wrong_point_gets_one_sentence(text: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        parse_defences(text)


def test_one_defence_is_known_by_its_name_and_setting() -> None:
    assert parse_defence("crafter").settings == DefenceSettings()
    assert parse_defence("noise:2").settings.deviation == 2
    for text, named in {"noise:1:2": "several", "blur": "'blur'", "disco": "disco:FILE"}.items():
        with pytest.raises(InputError, match=named):
            parse_defence(text)


@pytest.mark.parametrize("name", ["generator", "encoder"])
def test_only_what_was_brought_along_makes_another_evaluation(name: str) -> None:
    assert name not in plan().fixed()
    assert plan(**{name: "a:b"}).fixed() == plan().fixed() | {name: "a:b"}


def test_an_encoder_of_ones_own_goes_with_what_any_encoder_goes_with() -> None:
    usual = plan(defences=every_defence(foreign=True), encoder="a:b")
    assert {point.defence for point in usual.points()} == set(FOR_ANY_ENCODER)
    with pytest.raises(InputError, match="'crafter_published' .*projection"):
        plan(defences="none,crafter_published", encoder="a:b")


def test_crafting_takes_as_many_steps_as_the_plan_says() -> None:
    crafters = "crafter:0.1,crafter_simulated:10,crafter_published:10,crafter_z:20"
    for steps in (0, 3):
        points = plan(defences=crafters, crafting_steps=steps).points()
        assert {point.settings.crafter.steps for point in points} == {steps}
    usual = plan(defences=crafters)
    assert usual.points() == parse_defences(crafters)
    assert plan(defences=crafters, crafting_steps=3).fixed() != usual.fixed()


def test_a_client_protects_as_many_photographs_together_as_the_plan_says() -> None:
    defences = "none,transport,crafter:0.1,crafter_published:10"
    for point in plan(defences=defences, batch=7).points():
        assert (point.batch, point.settings.crafter.micro_batch) == (7, 7)
    assert plan(defences=defences, batch=0).points() == parse_defences(defences)
    assert plan(batch=7).fixed() == plan().fixed() | {"batch": 7}
    assert plan(drawn=9).fixed() == plan().fixed() | {"drawn": 9}
    with pytest.raises(InputError, match="--drawn takes faces of the shipped generator"):
        plan(drawn=9, size=128)


def plan(**changes: object) -> Plan:
    known: dict[str, object] = {
        "data": "celeba",
        "root": "faces",
        "people": 20,
        "photos": 4,
        "faces": 8,
        "public": 400,
        "defences": "none,noise:1",
        "suite": "standard",
        "budget": "smoke",
        "seeds": (0, 1),
        "evaluators": ("sface",),
    }
    return Plan(**known | changes)  # type: ignore[arg-type]


def test_a_plan_is_read_back(tmp_path: Path) -> None:
    own = plan()
    own.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == own
    (tmp_path / "plan.json").write_text('{"data": "celeba"}')
    with pytest.raises(InputError, match="no plan"):
        Plan.read(tmp_path / "plan.json")


def test_a_grid_may_grow_but_not_change() -> None:
    assert plan(defences="none,crafter", seeds=(0, 1, 2), root="moved").fixed() == plan().fixed()
    for changed in ({"faces": 9}, {"budget": "cpu"}, {"suite": "decoders"}, {"evaluators": ("a",)}):
        assert plan(**changed).fixed() != plan().fixed()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"suite": "all"}, "'all'"),
        ({"budget": "huge"}, "'huge'"),
        ({"seeds": ()}, "seeds"),
        ({"crafting_steps": -1}, "0 or more steps"),
        ({"batch": -1}, "--batch is -1"),
        ({"size": 100}, "multiple of 16"),
        ({"size": 112, "defences": "crafter_z"}, "'crafter_z' .* with --size 112 take none"),
    ],
)
def test_a_wrong_plan_gets_one_sentence(changes: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        plan(**changes)


def test_the_sort_of_each_attack_is_known() -> None:
    kinds = plan().kinds()
    assert kinds.adaptive and kinds.white and kinds.black
    assert not set(kinds.adaptive) & {*kinds.white, *kinds.black}


def test_photographs_are_spread_over_people() -> None:
    identity = torch.tensor([5, 5, 5, 7, 7, 9, 9, 9, 9])
    for count, most in ((3, 1), (5, 2), (6, 2)):
        chosen = spread_over_people(identity, count)
        assert len(chosen) == count and chosen.tolist() == sorted(set(chosen.tolist()))
        assert identity[chosen].bincount().max() == most
        assert len(identity[chosen].unique()) == 3
    assert torch.equal(spread_over_people(identity, 0), torch.arange(9))
    assert torch.equal(spread_over_people(identity, 99), torch.arange(9))


def test_a_restricted_truth_keeps_the_whole_gallery(bench: object) -> None:
    truth = bench.truth["pixels"]  # type: ignore[attr-defined]
    part = restricted(truth, torch.tensor([0, 5]))
    assert part.gallery is truth.gallery and len(part.test) == 2
    assert torch.equal(part.embedding, truth.embedding[[0, 5]])
    assert dataclasses.is_dataclass(part)
