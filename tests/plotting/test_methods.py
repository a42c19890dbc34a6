"""Pictures of several methods: every number that goes in stands where it should, and nothing else."""

import math

import pytest
from matplotlib.colors import to_hex

from workbench.plotting.methods import forest, loss_curves, trade_off


def test_forest_has_a_marker_and_two_errors_for_each_number():
    rows = {
        "first claim": {"paper": (0.3, 0.0), "ours": (0.1, 0.02)},
        "second claim": {"ours": (-0.2, math.nan)},
    }
    (ax,) = forest(rows, "accuracy").axes
    assert [label.get_text() for label in ax.get_yticklabels()] == list(rows)
    drawn = {container.get_label(): container for container in ax.containers}
    assert drawn["paper"].lines[0].get_xdata().tolist() == [0.3]
    assert drawn["ours"].lines[0].get_xdata().tolist() == [0.1, -0.2]
    (bars,) = drawn["ours"].lines[2]
    ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
    assert ends == [pytest.approx([0.06, 0.14]), pytest.approx([-0.2, -0.2])]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first row is at the top"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["paper", "ours"]


def test_trade_off_has_a_panel_for_each_data_set_and_a_colour_for_each_method():
    points = {"one": {"MMVAE": [(0.1, 1.0), (0.2, 2.0)], "MMVAE (MS)": [(0.3, 3.0)]}, "other": {"mmJSD": [(0.5, 4.0)]}}
    first, second = trade_off(points, "coherence", "ln p(X)").axes
    assert [ax.get_title() for ax in (first, second)] == ["one", "other"]
    shared, styled = first.collections
    assert shared.get_offsets().tolist() == [[0.1, 1.0], [0.2, 2.0]] and styled.get_offsets().tolist() == [[0.3, 3.0]]
    assert to_hex(shared.get_edgecolor()[0]) == to_hex(styled.get_edgecolor()[0]) == to_hex(styled.get_facecolor()[0])
    assert len(shared.get_facecolor()) == 0, "hollow"
    assert to_hex(second.collections[0].get_edgecolor()[0]) != to_hex(shared.get_edgecolor()[0])
    assert (first.get_xlabel(), first.get_ylabel()) == ("coherence", "ln p(X)")


def test_loss_curves_have_a_panel_for_each_term_and_a_line_for_each_seed():
    steps = [float(n) for n in range(1, 41)]
    plain = [{"step": steps, "total": [900.0 / n + seed for n in steps]} for seed in range(2)]
    styled = [{"step": steps, "total": [5.0] * 40, "kl_style": [0.5] * 40}]
    figure = loss_curves({"MVAE": plain, "MVAE (MS)": styled, "mmJSD": plain[:1]})
    total, style, *spare = figure.axes
    assert [total.get_title(), style.get_title()] == ["total", "kl style"] and not spare
    assert [len(ax.get_lines()) for ax in (total, style)] == [4, 1]
    first, _, dashed, other = total.get_lines()
    assert first.get_xdata().tolist() == steps and first.get_ydata().tolist() == plain[0]["total"]
    assert first.get_color() == dashed.get_color() != other.get_color() and first.get_marker() != other.get_marker()
    assert (first.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert total.get_ylim()[1] < 900 / 4, "the first tenth is left out"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["MVAE", "MVAE (MS)", "mmJSD"]
