import pytest

from fl_crafter.report import Outcome, verdict
from fl_crafter.report.verdict import headline, mark


def outcomes(summary):
    return [finding.outcome for finding in verdict(summary) if finding.value]


def run(make_summary, make_defence, *, none=(0.87, 0.95), crafter=(0.84, 0.1), **others):
    defences = {"none": make_defence(*none), "crafter": make_defence(*crafter)}
    defences |= {name: make_defence(*figures) for name, figures in others.items()}
    return make_summary(defences)


def test_the_mark_comes_from_the_better_attack_without_defence(make_summary, make_defence):
    limit = mark(run(make_summary, make_defence, none=(0.87, 0.9)))
    assert limit is not None
    assert limit.top1 == pytest.approx(
        0.9 * 0.9 / 3
    )  # the better attack names .9 of the worst case
    assert limit.utility_auc == pytest.approx(0.82)


def test_a_run_that_meets_everything(make_summary, make_defence):
    summary = run(make_summary, make_defence)
    assert outcomes(summary) == [Outcome.MET] * 3
    assert headline(verdict(summary)) == "In this run Crafter met its mark."


def test_too_much_identification_is_said_plainly(make_summary, make_defence):
    summary = run(make_summary, make_defence, crafter=(0.84, 0.4))
    assert outcomes(summary) == [Outcome.MET, Outcome.MISSED, Outcome.MET]
    text = " ".join(finding.text for finding in verdict(summary))
    assert "did NOT bring identification down to a third" in text
    assert "36.0%" in text, "of the better attack, .9 of the worst case"
    assert "40.0%" in text, "of the worst case"
    assert headline(verdict(summary)) == "In this run Crafter missed its mark."


def test_too_much_lost_utility_is_said_plainly(make_summary, make_defence):
    summary = run(make_summary, make_defence, crafter=(0.81, 0.1))
    assert outcomes(summary) == [Outcome.MET, Outcome.MET, Outcome.MISSED]
    assert any("cost MORE utility" in finding.text for finding in verdict(summary))
    assert any(finding.value == "−0.060 AUC" for finding in verdict(summary))
    assert headline(verdict(summary)) == "In this run Crafter missed its mark."


def test_weak_attacks_take_the_shine_off(make_summary, make_defence):
    summary = run(make_summary, make_defence, none=(0.87, 0.6), crafter=(0.86, 0.05))
    assert outcomes(summary) == [Outcome.MISSED, Outcome.MET, Outcome.MET]
    assert "only against weak attacks" in headline(verdict(summary))


def test_a_gain_is_no_loss(make_summary, make_defence):
    summary = run(make_summary, make_defence, crafter=(0.88, 0.1))
    assert any(finding.value == "+0.010 AUC" for finding in verdict(summary))


@pytest.mark.parametrize(
    ("control", "title"),
    [
        ((0.86, 0.05), "Projection is no worse"),
        ((0.84, 0.1), "No different from projection"),
        ((0.80, 0.2), "Better than projection"),
        ((0.86, 0.2), "serves the task better and hides people worse"),
        ((0.80, 0.05), "hides people better and serves the task worse"),
    ],
)
def test_controls_are_compared_on_both_counts(make_summary, make_defence, control, title):
    summary = run(make_summary, make_defence, projection=control)
    notes = [f"{f.title} {f.text}" for f in verdict(summary) if f.outcome == Outcome.NOTE]
    assert sum(title in note for note in notes) == 1


def test_an_order_that_may_be_chance_is_called_so(make_summary, make_defence):
    near = run(make_summary, make_defence, projection=(0.845, 0.12))
    far = run(make_summary, make_defence, projection=(0.845, 0.6))
    assert "may be chance" in verdict(near)[-1].text
    assert "may be chance" not in verdict(far)[-1].text


def test_what_is_left_is_compared_with_chance(make_summary, make_defence):
    def titles(top1):
        return [f.title for f in verdict(run(make_summary, make_defence, crafter=(0.84, top1)))]

    assert "What is left cannot be told from guessing" in titles(0.1)
    assert "Something is left" in titles(0.2)


@pytest.mark.parametrize("names", [("none",), ("crafter",), ("projection",)])
def test_a_run_without_the_comparison_claims_nothing(make_summary, make_defence, names):
    summary = make_summary({name: make_defence(0.85, 0.8) for name in names})
    assert headline(verdict(summary)) == "This run does not put Crafter to the test."
