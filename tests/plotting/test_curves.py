"""Pictures of the theory show what they are given: contents of the axes are read back."""

import numpy as np
import torch
from matplotlib import pyplot as plt

from workbench.plotting import curves


def test_lines_bands_and_levels():
    x = torch.linspace(0, 1, 5)
    figure = curves.line_plot(x, {"a": x, "b": 2 * x}, "x", "nats", {"band": (x - 1, x + 1)}, {"ln 3": 1.0})
    ax = figure.axes[0]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), 2 * x)
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["band", "a", "b", "ln 3"]
    corners = ax.collections[0].get_paths()[0].vertices
    assert corners[:, 1].min() == -1 and corners[:, 1].max() == 2
    assert figure.dpi <= 80 and not plt.get_fignums()


def test_a_claim_is_hatched_where_it_fails():
    margin = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    ax = curves.sign_maps({"claim": margin}, torch.arange(3.0), torch.arange(3.0), "mean", "variance").axes[0]
    holds, fails = (path.vertices for path in ax.collections[0].get_paths())
    assert holds[:, 1].min() == 0 and 1 < fails[:, 1].min() < 2 == fails[:, 1].max()


def test_dots():
    ax = curves.dots({"one": torch.tensor([1.0, 2.0]), "two": torch.tensor([3.0])}, "nats", 0.5, "level").axes[0]
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [1, 2])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two"]
    assert ax.lines[2].get_xdata()[0] == 0.5


def test_items_against_a_diagonal():
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 3.0])
    ax = curves.against(x, {"bound": y}, "evidence", "bound").axes[0]
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[1, 0.5], [2, 3]])
    assert ax.lines[1].get_slope() == 1
