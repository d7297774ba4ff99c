import json

import pytest

from fl_crafter.errors import InputError
from fl_crafter.evaluation import (
    Resampling,
    Setup,
    evaluate_run,
    read_summary,
    summarise,
    write_summary,
)


def make_summary(
    world, reconstruct, attacks=("white_box_latent", "black_box_decoder"), split_is_drawn=False
):
    raw = world.faces.image[world.position]
    how = Resampling(resamples=50)
    evaluations = {
        name: evaluate_run(
            world.transcript,
            {attack: change(raw, attack) for attack in attacks},
            truth=world.truth,
            ledger=world.ledger,
            predictions=world.predictions,
            evaluator=world.evaluator,
            how=how,
        )
        for name, change in reconstruct.items()
    }
    setup = Setup(
        clients=2,
        rounds=1,
        seed=4,
        device="cpu",
        versions={"torch": "2"},
        timings={"total": 1.5},
        split_is_drawn=split_is_drawn,
    )
    return summarise(evaluations, setup, truth=world.truth, evaluator_name="pattern", how=how)


def test_a_summary_has_the_fields_that_others_read(world, tmp_path):
    summary = make_summary(world, {"none": lambda raw, attack: raw})
    write_summary(summary, tmp_path / "out" / "summary.json")
    content = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert content["dataset"] == "planted"
    assert (content["clients"], content["rounds"], content["seed"]) == (2, 1, 4)
    assert content["timings"] == {"total": 1.5}
    assert content["chance"] == {"top1": 1 / 8, "top5": 5 / 8}
    own = content["defences"]["none"]
    assert own["utility_auc"] == pytest.approx(1)
    for attack in ("white_box_latent", "black_box_decoder", "worst_case"):
        found = own["identification"][attack]
        assert found["top1"] == found["top5"] == 1
        assert found["interval"][0] < 1 == found["interval"][1]
    assert set(own["ssim"]) == set(own["feature_similarity"]) == set(content["attacks"])
    assert read_summary(tmp_path / "out" / "summary.json") == summary
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["summary.json"]


def test_people_whom_the_networks_may_have_met_raise_doubt(world):
    summary = make_summary(world, {"none": lambda raw, attack: raw}, split_is_drawn=True)
    assert any("are strangers to the networks" in each for each in summary.unreliable)


def test_good_attacks_raise_no_doubt_but_few_people_do(world):
    summary = make_summary(world, {"none": lambda raw, attack: raw})
    assert summary.unreliable == ("Failed check, enough people: 8 people; at least 10 are wanted.",)


def test_weak_attacks_and_a_weak_white_box_are_flagged(world):
    def weak(raw, attack):
        return 1 - raw

    def weak_white(raw, attack):
        return raw if attack.startswith("black") else 1 - raw

    assert any(
        "undefended faces are recognised" in d
        for d in make_summary(world, {"none": weak}).unreliable
    )
    doubts = make_summary(world, {"none": weak_white}).unreliable
    assert any("white box at least as good as black box" in d for d in doubts)
    doubts = make_summary(world, {"crafter": weak}).unreliable
    assert any("nothing ran without defence" in d for d in doubts)


def test_a_summary_of_nothing_is_refused(world):
    with pytest.raises(ValueError, match="at least one"):
        make_summary(world, {})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"surprise": 1}, "surprise"),
        ({"clients": "many"}, "clients"),
        ({"chance": {"top1": 1.5, "top5": 1}}, "chance.top1"),
        ({"attacks": ["other"]}, "identification of none"),
    ],
)
def test_a_summary_that_is_wrong_is_refused_by_field(world, tmp_path, change, field):
    summary = make_summary(world, {"none": lambda raw, attack: raw})
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(summary.model_dump(mode="json") | change), encoding="utf-8")
    with pytest.raises(InputError, match=field):
        read_summary(path)


def test_a_summary_that_is_no_summary_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_summary(tmp_path / "missing.json")
    (tmp_path / "cut.json").write_text('{"dataset": "o', encoding="utf-8")
    with pytest.raises(InputError, match="cut.json"):
        read_summary(tmp_path / "cut.json")
