"""Pictures of tables: every number that goes in stands where it should."""

import math

import numpy as np
import pytest

from workbench.studies import own_tables_plots
from workbench.studies.imputation import intervals


def test_correlation_map_shows_numpys_correlations_and_leaves_nan_out():
    rng = np.random.default_rng(0)
    tables = {"one": rng.normal(size=(40, 2)), "two": rng.normal(size=(40, 2))}
    tables["two"][:10] = np.nan
    figure = own_tables_plots.correlation_map(tables, ["a", "b"])
    ax = figure.axes[0]
    (image,) = ax.get_images()
    shown = np.asarray(image.get_array())
    assert shown.shape == (4, 4) and image.get_clim() == (-1, 1)
    assert shown[0, 1] == pytest.approx(np.corrcoef(tables["one"].T)[0, 1])
    assert shown[0, 3] == pytest.approx(np.corrcoef(tables["one"][10:, 0], tables["two"][10:, 1])[0, 1])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"] * 2
    assert [label.get_text() for label in ax.get_xticklabels()] == ["one", "two"]


def test_imputed_items_have_intervals_and_the_truth_in_deviations():
    draws = np.random.default_rng(0).normal(50, 10, size=(99, 2, 3))
    truth, mean, deviation = np.full((2, 3), 70.0), np.full(3, 50.0), np.full(3, 10.0)
    figure = own_tables_plots.imputed_items(draws, truth, mean, deviation, ["a", "b", "c"])
    assert len(figure.axes) == 2
    most, half = figure.axes[1].collections
    for lines, level in ((most, 0.95), (half, 0.5)):
        ends = np.array([segment[:, 0] for segment in lines.get_segments()])
        np.testing.assert_allclose(ends.T, (intervals(draws, [level])[0][:, 1] - 50) / 10)
    assert figure.axes[1].get_lines()[0].get_xdata().tolist() == [2.0, 2.0, 2.0]


def test_estimates_have_two_errors_on_either_side():
    panels = {
        "first": {"a": {"x": (0.5, 0.1), "y": (0.6, math.nan)}, "b": {"x": (0.7, 0.0), "y": (0.8, 0.2)}},
        "second": {"a": {"x": (5.0, 1.0), "y": (7.0, 0.5)}, "b": {"x": (6.0, 1.0), "y": (7.0, 0.5)}},
    }
    left, right = own_tables_plots.estimates(panels).axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("first", "second")
    drawn = {container.get_label(): container for container in left.containers}
    assert drawn["x"].lines[0].get_xdata().tolist() == [0.5, 0.7]
    ends = [segment[:, 0].tolist() for segment in drawn["x"].lines[2][0].get_segments()]
    assert ends == [pytest.approx([0.3, 0.7]), pytest.approx([0.7, 0.7])]
    assert drawn["y"].lines[2][0].get_segments()[0][:, 0].tolist() == [0.6, 0.6], "no error, no bar"
    assert left.get_ylim()[0] > left.get_ylim()[1], "the first row is at the top"


def test_calibration_has_a_line_for_each_method_over_the_levels():
    curves = {"one": {0.5: (0.4, 0.05), 0.8: (0.7, 0.05)}, "two": {0.5: (0.6, 0.0), 0.8: (0.9, 0.0)}}
    (ax,) = own_tables_plots.calibration(curves).axes
    for container, name in zip(ax.containers, curves, strict=True):
        assert container.get_label() == name
        assert container.lines[0].get_ydata().tolist() == [share for share, _ in curves[name].values()]
        np.testing.assert_allclose(container.lines[0].get_xdata(), [0.5, 0.8], atol=0.01)


def test_made_up_items_stand_beside_real_ones_and_correlations_over_correlations():
    rng = np.random.default_rng(0)
    real = {name: rng.normal(size=30) for name in "abc"}
    made = {name: rng.normal(size=20) for name in "abc"}
    first, second, third = own_tables_plots.made_up(real, made, [("a", "b"), ("b", "c")]).axes
    assert [(ax.get_xlabel(), ax.get_ylabel()) for ax in (first, second)] == [("a", "b"), ("b", "c")]
    shown = [points.get_offsets() for points in second.collections]
    np.testing.assert_array_equal(shown[0], np.stack([real["b"], real["c"]], 1))
    np.testing.assert_array_equal(shown[1], np.stack([made["b"], made["c"]], 1))
    dots = third.get_lines()[1]
    expected = [np.corrcoef(real[p], real[q])[0, 1] for p, q in ("ab", "ac", "bc")]
    np.testing.assert_allclose(dots.get_xdata(), expected)
    np.testing.assert_allclose(dots.get_ydata(), own_tables_plots.correlations(made))
