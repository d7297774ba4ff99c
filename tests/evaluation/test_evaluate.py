import dataclasses
import json

import pytest
import torch

from fl_crafter.errors import InputError
from fl_crafter.evaluation import (
    WORST_CASE,
    Crafting,
    Ledger,
    Predictions,
    Resampling,
    evaluate_run,
    prepare_truth,
    read_crafting,
)
from fl_crafter.faces.record import Role

PEOPLE = 8


def judge(world, reconstruction, **changes):
    known = {
        "truth": world.truth,
        "ledger": world.ledger,
        "predictions": world.predictions,
        "evaluator": world.evaluator,
        "how": Resampling(resamples=200),
    }
    return evaluate_run(world.transcript, reconstruction, **known | changes)


def test_perfect_reconstructions_reach_the_accuracy_of_raw_photographs(world):
    raw = world.faces.image[world.position]
    evaluation = judge(world, {"copy": raw})
    expected = world.truth.raw_identification(how=Resampling(resamples=200))
    assert evaluation.record.identification["copy"] == expected
    assert expected.top1 == 1
    assert evaluation.record.ssim["copy"] == pytest.approx(1)
    assert evaluation.record.feature_similarity["copy"] == pytest.approx(1)
    assert evaluation.record.feature_similarity_floor["copy"] < 0.3
    assert evaluation.record.photographs == 24
    assert evaluation.record.epsilon_pii is None
    assert evaluation.named("copy").all()


def test_epsilon_pii_is_of_the_judged_rows_and_their_people(world):
    raw = world.faces.image[world.position]
    judged = world.transcript.purpose == 1
    alike = torch.where(judged, 0.25, 9.0)
    record = judge(world, {"copy": raw}, epsilon_pii=alike).record
    assert record.epsilon_pii == 0.25 and record.epsilon_pii_interval == (0.25, 0.25)
    person = (world.faces.identity[world.position] - 100) / 7
    record = judge(world, {"copy": raw}, epsilon_pii=person).record
    low, high = record.epsilon_pii_interval
    assert low < record.epsilon_pii < high and high - low > 0.5


def test_shuffled_reconstructions_fall_to_chance(world):
    random = torch.Generator().manual_seed(0)
    raw = world.faces.image[world.position]
    test = (world.transcript.purpose == 1).nonzero().flatten()
    hits = []
    for _ in range(60):
        image = raw.clone()
        image[test] = raw[test[torch.randperm(len(test), generator=random)]]
        result = judge(world, {"a": image}, how=Resampling(resamples=2)).record.identification["a"]
        assert result.chance.top1 == pytest.approx(1 / PEOPLE)
        assert result.chance.top5 == pytest.approx(5 / PEOPLE)
        hits.append(result.top1)
    assert sum(hits) / len(hits) == pytest.approx(1 / PEOPLE, abs=0.03)


def test_the_join_goes_by_the_ledger_not_by_the_order(world):
    order = torch.randperm(len(world.transcript), generator=torch.Generator().manual_seed(9))
    raw = world.faces.image[world.position]
    turned = dataclasses.replace(world, transcript=world.transcript.select(order))
    assert judge(turned, {"a": raw[order]}).record == judge(world, {"a": raw}).record
    assert judge(turned, {"a": raw}).record.identification["a"].top1 < 0.5


def test_a_wrong_ledger_is_noticed_in_the_figures(world):
    (one, mine), (other, yours) = [(k, v) for k, v in world.ledger.index.items() if k[2] == 1]
    exchanged = Ledger({**world.ledger.index, one: yours, other: mine})
    raw = world.faces.image[world.position]
    assert judge(world, {"a": raw}, ledger=exchanged).record.identification["a"].top1 == 0


def test_the_worst_case_is_by_photograph(world):
    raw = world.faces.image[world.position]
    person = world.faces.identity[world.position]
    few, others = (person < 121)[:, None, None, None], (person >= 135)[:, None, None, None]
    attacks = {"few": torch.where(few, raw, 1 - raw), "others": torch.where(others, raw, 1 - raw)}
    record = judge(world, attacks).record.identification
    assert record["few"].top1 == pytest.approx(3 / 8)
    assert record["others"].top1 == pytest.approx(3 / 8)
    assert record[WORST_CASE].top1 == pytest.approx(6 / 8)
    assert record[WORST_CASE].chance.top1 > record["few"].chance.top1


def test_either_alignment_names(world):
    """A judge that sees a person only where the reconstruction's own face is found."""

    class Moved(type(world.evaluator)):
        def landmarks(self, image):
            place = super().landmarks(image)
            return place + 0.25 * (image[:, 0, 0, :1, None] == 0).float()

        def embed(self, image, *, landmarks=None):
            looked = image if landmarks is None else image.clone()
            if landmarks is not None:
                own = self.landmarks(image)
                looked[(landmarks != own).any(2).any(1)] = 1e-3
            return super().embed(looked)

    evaluator = Moved()
    image = world.faces.image[world.position].clone()
    image[:, :, 0, 0] = 0  # marks them as moved
    truth = prepare_truth(world.faces, evaluator=evaluator)
    record = judge(world, {"a": image}, truth=truth, evaluator=evaluator).record
    assert record.identification["a"].top1 == 1


def test_reconstructions_without_a_face_are_still_judged(world):
    class Watched(type(world.evaluator)):
        def embed(self, image, *, landmarks=None):
            assert landmarks is not None and not landmarks.isnan().any()  # the raw photograph's
            return super().embed(image)

    flat = torch.full((len(world.transcript), 3, 16, 16), 0.25)
    record = judge(world, {"flat": flat}, evaluator=Watched()).record
    assert record.identification["flat"].top1 == pytest.approx(1 / PEOPLE)
    assert record.identification["flat"].chance.top1 == pytest.approx(1 / PEOPLE)


def test_utility_is_joined_by_the_ledger_too(world):
    raw = {"a": world.faces.image[world.position]}
    good = judge(world, raw).record
    assert good.utility_auc == pytest.approx(1)
    assert set(good.attribute_auc) == {"even", "odd"}
    assert good.skipped_attributes == ("constant",)
    p = world.predictions
    order = torch.arange(len(p.row)).flip(0)
    turned = Predictions(p.score[order], p.client[order], p.round[order], p.row[order])
    assert judge(world, raw, predictions=turned).record == good
    wrong = Predictions(p.score[order], p.client, p.round, p.row)
    assert judge(world, raw, predictions=wrong).record.utility_auc < 0.8


@pytest.mark.parametrize("value", [float("nan"), 1.5, -0.5])
def test_images_out_of_range_are_refused(world, value):
    image = world.faces.image[world.position].clone()
    image[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match="must lie in"):
        judge(world, {"a": image})


def test_missing_reconstructions_are_refused(world):
    with pytest.raises(ValueError, match="must make"):
        judge(world, {"a": world.faces.image[world.position][:-1]})


def test_a_transcript_of_training_rows_only_is_refused(world):
    rows = world.transcript.purpose == 0
    only = dataclasses.replace(world, transcript=world.transcript.select(rows))
    with pytest.raises(InputError, match="no evaluation row"):
        judge(only, {"a": world.faces.image[world.position[rows]]})


def test_data_of_another_run_are_refused(world):
    roles = tuple(Role.EVAL_TEST if r == Role.EVAL_TRAIN else r for r in world.faces.role)
    with pytest.raises(InputError, match="lacks one of them"):
        prepare_truth(dataclasses.replace(world.faces, role=roles), evaluator=world.evaluator)
    swap = {Role.EVAL_TEST: Role.EVAL_TRAIN, Role.EVAL_TRAIN: Role.EVAL_TEST}
    other = dataclasses.replace(world.faces, role=tuple(swap.get(r, r) for r in world.faces.role))
    truth = prepare_truth(other, evaluator=world.evaluator)
    with pytest.raises(InputError, match="no eval_test photograph"):
        judge(world, {"a": world.faces.image[world.position]}, truth=truth)


def test_doubts_are_stated(world):
    lost = world.transcript.client == 0
    part = dataclasses.replace(world, transcript=world.transcript.select(lost))
    crafting = Crafting(uploads=4, status={"ok": 3, "not_converged": 1})
    record = judge(part, {"a": world.faces.image[world.position[lost]]}, crafting=crafting).record
    assert record.unreliable == (
        "12 of 24 test photographs never arrived.",
        "1 of 4 uploads ended as not converged.",
    )


def test_crafting_notes_are_averaged_over_photographs(tmp_path):
    notes = [
        {"status": "ok", "rows": 3, "figures": {"utility_loss": 1.0, "epsilon_pii": None}},
        {"status": "diverged", "rows": 1, "figures": {"utility_loss": 5.0}},
    ]
    for number, note in enumerate(notes):
        (tmp_path / f"{number}.json").write_text(json.dumps(note), encoding="utf-8")
    crafting = read_crafting(tmp_path)
    assert crafting == Crafting(
        uploads=2, status={"ok": 1, "diverged": 1}, figures={"utility_loss": 2.0}
    )
    assert read_crafting(tmp_path / "none") == Crafting()
    (tmp_path / "9.json").write_text('{"status": "ok"}', encoding="utf-8")
    with pytest.raises(InputError, match="9.json"):
        read_crafting(tmp_path)
