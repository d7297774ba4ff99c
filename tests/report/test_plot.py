import itertools

import pytest

from fl_crafter.report.plot import BOTTOM, LABEL_GAP, LEFT, RIGHT, TOP, trade_off


def test_points_stand_where_their_figures_say(make_summary):
    summary = make_summary()
    plot = trade_off(summary)
    assert [point.name for point in plot.points] == list(summary.defences)
    for point in plot.points:
        own = summary.defences[point.name]
        across = (own.utility_auc - plot.x.low) / (plot.x.high - plot.x.low)
        up = own.worst_case.top1 / plot.y.high
        assert point.x == pytest.approx(LEFT + across * (RIGHT - LEFT), abs=0.06)
        assert point.y == pytest.approx(BOTTOM - up * (BOTTOM - TOP), abs=0.06)
        assert point.x_interval[0] < point.x < point.x_interval[1]
        assert point.y_interval[0] > point.y > point.y_interval[1]  # up is less


def test_all_points_and_intervals_are_inside(make_summary, make_defence):
    for top1, auc in itertools.product((0.0, 0.02, 0.5, 1.0), (0.51, 0.9, 0.985)):
        plot = trade_off(make_summary({"none": make_defence(auc, top1)}))
        point = plot.points[0]
        assert LEFT <= point.x_interval[0] <= point.x_interval[1] <= RIGHT
        assert TOP <= point.y_interval[1] <= point.y_interval[0] <= BOTTOM


def test_the_mark_is_drawn_to_scale(make_summary, make_defence):
    summary = make_summary()
    plot = trade_off(summary)
    assert plot.mark is not None
    left, top, width, height = plot.mark
    assert left == plot.x(0.871 - 0.05)
    assert top == plot.y(0.9 * 0.95 / 3)
    assert (left + width, top + height) == pytest.approx((RIGHT, BOTTOM), abs=0.1)
    assert trade_off(make_summary({"crafter": make_defence(0.8, 0.2)})).mark is None


def test_titles_do_not_cover_each_other(make_summary, make_defence):
    names = ("none", "crafter", "substitution", "projection", "noise")
    plot = trade_off(make_summary({name: make_defence(0.8, 0.1) for name in names}))
    heights = sorted(point.label_y for point in plot.points)
    gaps = [high - low for low, high in itertools.pairwise(heights)]
    assert min(gaps) >= LABEL_GAP
