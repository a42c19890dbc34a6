"""Pictures show what they are given: contents of the axes are read back from the figure."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from workbench import plotting
from workbench.data.text import encode


def test_items_of_every_kind():
    grey, colour = torch.rand(2, 1, 28, 28), torch.rand(2, 3, 32, 32)
    tokens = torch.stack([encode(" seven  "), encode("one     ")]).long()
    probabilities = torch.nn.functional.one_hot(tokens, 71).float()
    figure = plotting.item_grid([grey, colour, tokens, probabilities], ["M", "S", "T", "p"], ["a", "b"])
    axes = np.array(figure.axes[:8]).reshape(4, 2)
    np.testing.assert_allclose(axes[0, 1].images[0].get_array(), grey[1, 0])
    np.testing.assert_allclose(axes[1, 0].images[0].get_array(), colour[0].permute(1, 2, 0))
    for row in (2, 3):
        assert [ax.texts[0].get_text() for ax in axes[row]] == ["·seven··", "one·····"]
    assert [ax.get_title() for ax in axes[0]] == ["a", "b"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["M", "S", "T", "p"]


def test_pixels_outside_the_range_are_clipped_and_nothing_is_registered():
    figure = plotting.item_grid([torch.tensor([-0.5, 0.5, 1.5]).view(1, 1, 1, 3)], [""])
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), [[0, 0.5, 1]])
    assert figure.dpi <= 80 and not plt.get_fignums()


def test_curves_bars_and_lines():
    figure = plotting.training_curves({"one": {"step": [1.0, 2.0], "total": [3.0, 4.0]}}, ["total"])
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), [[1, 3], [2, 4]])
    figure = plotting.accuracy_bars({"a": {"M": 0.2, "S": 0.4}, "b": {"M": 0.6, "S": 0.8}}, "title")
    assert sorted(round(bar.get_height(), 3) for bar in figure.axes[0].patches) == [0.2, 0.4, 0.6, 0.8]
    figure = plotting.lines_over_steps({"M": {"a": [(10, 0.5), (20, 0.75)]}}, "accuracy")
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), [[10, 0.5], [20, 0.75]])


def test_coherence_map_reads_rows_as_targets():
    found = {"M": {"M": 0.1, "S": 0.2}, "S": {"M": 0.3, "S": 0.4}}
    ax = plotting.coherence_map(found, "title").axes[0]
    assert [text.get_text() for text in ax.texts] == ["0.10", "0.20", "0.30", "0.40"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["M", "S"] and ax.get_xlabel() == "given"


def test_scatter_shares_its_limits():
    points = {"a": torch.rand(5, 2), "b": 10 * torch.rand(5, 2)}
    figure = plotting.code_scatter(points, torch.arange(5), ("x", "y"))
    first, second = figure.axes[:2]
    assert first.get_xlim() == second.get_xlim() and first.get_ylim() == second.get_ylim()
    np.testing.assert_allclose(second.collections[0].get_offsets(), points["b"], rtol=1e-6)


@pytest.mark.parametrize("x", [encode(" zero   ").long(), torch.eye(71)[encode(" zero   ").long()]])
def test_text_of_tokens_and_probabilities(x):
    assert plotting.text_of(x) == " zero   "


def test_share_maps_name_their_rows_and_columns():
    maps = {"first": torch.tensor([[0.25, 0.75], [1.0, 0.0]]), "second": torch.eye(2)}
    figure = plotting.share_maps(maps, ["a", "b"], ["c", "d"], ("from", "to"))
    one, other = figure.axes
    assert [text.get_text() for text in one.texts] == ["0.25", "0.75", "1.00", "0.00"]
    assert [text.get_text() for text in other.texts] == ["1.00", "0.00", "0.00", "1.00"]
    assert [t.get_text() for t in one.get_yticklabels()] == ["a", "b"] and one.get_ylabel() == "from"
    assert [t.get_text() for t in one.get_xticklabels()] == ["c", "d"] and one.get_xlabel() == "to"


def test_log_lines_are_logarithmic_with_ticks_where_the_points_are():
    figure = plotting.log_lines(
        {"left": {"a": [(2.0, 3.0), (16.0, 24.0)]}, "right": {"a": [(2.0, 1.0), (16.0, 1.0)]}}, "x", "y"
    )
    ax = figure.axes[0]
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[2, 3], [16, 24]])
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_title()) == ("log", "log", "left")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "y")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2", "16"] and figure.axes[1].get_title() == "right"
