"""Pictures show what they are given: contents of the axes are read back from the figure, and nothing else is there."""

import base64
import io
import math
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.text import Text
from PIL import Image

from workbench import plotting
from workbench.data.text import encode
from workbench.plotting import curves
from workbench.plotting.methods import forest, loss_curves, trade_off
from workbench.plotting.shown import INCH, SHARP, SMALLEST, WIDEST, Described, ends, smallest_text

close, equal = np.testing.assert_allclose, np.testing.assert_array_equal


def texts(shown: Iterable[Text]) -> list[str]:
    return [text.get_text() for text in shown]


# --- as it is shown ---------------------------------------------------------------------------------------------------
def test_a_described_figure_is_sharp_at_its_true_size_and_says_what_it_shows():
    line = plt.Line2D([0, 1], [0, 1])
    figure, axes = plotting.base.panel(1, 2, 2.0, 1.5)
    axes[0, 0].add_line(line)
    data, metadata = Described(figure, "one rising line beside an empty panel")._repr_mimebundle_()
    width, height = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).size
    said = metadata["image/png"]
    assert said["alt"] == "one rising line beside an empty panel" and data["text/plain"] == repr(figure)
    assert (said["width"], said["height"]) == (round(width * INCH / SHARP), round(height * INCH / SHARP))
    assert width == pytest.approx(4.0 * SHARP, rel=0.06) and height == pytest.approx(1.5 * SHARP, rel=0.1)


def test_the_smallest_text_counts_what_is_seen_at_the_size_shown():
    figure, axes = plotting.base.panel(1, 1, 5.0, 2.0)
    plotting.base.dress(axes[0, 0], "x", "y", "title")
    assert smallest_text(figure) == SMALLEST
    small = axes[0, 0].text(0, 0, "small", fontsize=4)
    assert smallest_text(figure) == 4
    small.set_text(" ")
    assert smallest_text(figure) == SMALLEST
    figure.set_size_inches(2 * WIDEST, 2.0)
    assert smallest_text(figure) == SMALLEST / 2, "a page shows it at half of its width"


def test_no_panel_is_wider_than_a_page_and_lines_are_said_by_their_ends():
    assert plotting.base.panel(1, 6, 3.0, 1.0)[0].get_size_inches()[0] == WIDEST
    grid = plotting.item_grid([torch.rand(30, 1, 4, 4)], ["a name"])
    assert grid.get_size_inches()[0] == pytest.approx(WIDEST)
    assert ends({"a": [0.123456, 5, 1000.0], "b": [2, 1]}, ".2f") == "a from 0.12 to 1000.00; b from 2.00 to 1.00"


# --- items and numbers of one run ------------------------------------------------------------------------------------
def test_items_of_every_kind():
    grey, colour = torch.rand(2, 1, 28, 28), torch.rand(2, 3, 32, 32)
    tokens = torch.stack([encode(" seven  "), encode("one     ")]).long()
    probabilities = torch.nn.functional.one_hot(tokens, 71).float()
    assert plotting.text_of(tokens[0]) == plotting.text_of(probabilities[0]) == " seven  "
    (ax,) = plotting.item_grid([grey, colour, tokens, probabilities], ["M", "S", "T", "p"], ["a", "b"]).axes
    for image, x in zip(ax.images, [*grey[:, 0], *colour.permute(0, 2, 3, 1)], strict=True):
        close(image.get_array(), x)
    at = {text.get_text(): text.get_position() for text in ax.texts}
    assert [*at] == ["M", "S", "·seven··", "one·····", "T", "p", "a", "b"], "probabilities read like their tokens"
    assert at["T"][1] > at["S"][1] > at["M"][1] > at["a"][1] and at["b"][0] > at["a"][0]
    assert [image.get_extent()[0] for image in ax.images] == pytest.approx([0.03, 1.03] * 2)


def test_an_image_that_is_not_square_keeps_its_shape_and_pixels_are_clipped():
    figure = plotting.item_grid([torch.rand(1, 3, 10, 20)], ["wide"])
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    assert (right - left) == pytest.approx(2 * (bottom - top)) and 0 < left < right < 1
    box, inches = figure.axes[0].get_position(), figure.get_size_inches()
    assert box.width * inches[0] == pytest.approx(box.height * inches[1]), "units of both axes are equally long"
    figure = plotting.item_grid([torch.tensor([-0.5, 0.5, 1.5]).view(1, 1, 1, 3)], [""])
    close(figure.axes[0].images[0].get_array(), [[0, 0.5, 1]])
    assert figure.dpi == INCH and not plt.get_fignums()


def test_curves_bars_lines_and_codes():
    figure = plotting.training_curves({"one": {"step": [1.0, 2.0], "total": [3.0, 4.0]}}, ["total"])
    equal(figure.axes[0].lines[0].get_xydata(), [[1, 3], [2, 4]])
    figure = plotting.accuracy_bars({"a": {"M": 0.2, "S": 0.4}, "b": {"M": 0.6, "S": 0.8}}, "title")
    assert sorted(round(bar.get_height(), 3) for bar in figure.axes[0].patches) == [0.2, 0.4, 0.6, 0.8]
    assert not figure.axes[0].collections and figure.axes[0].get_legend().get_texts()
    figure = plotting.lines_over_steps({"M": {"a": [(10, 0.5), (20, 0.75)]}}, "accuracy")
    equal(figure.axes[0].lines[0].get_xydata(), [[10, 0.5], [20, 0.75]])
    points = {"a": torch.rand(5, 2), "b": 10 * torch.rand(5, 2)}
    first, second = plotting.code_scatter(points, torch.arange(5), ("x", "y")).axes[:2]
    assert first.get_xlim() == second.get_xlim() and first.get_ylim() == second.get_ylim()
    close(second.collections[0].get_offsets(), points["b"], rtol=1e-6)


def test_whiskers_are_errors_up_and_down_and_only_of_the_groups_that_have_them():
    groups = {"few": {"M": 0.25, "S": 0.5}, "all": {"M": 0.75, "S": 1.0}}
    ax = plotting.accuracy_bars(groups, "title", errors={"few": {"S": 0.125, "M": 0.0625}}).axes[0]
    (whiskers,) = ax.collections
    close([line[:, 1] for line in whiskers.get_segments()], [[0.1875, 0.3125], [0.375, 0.625]])
    places = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches[:2]]
    close([line[:, 0] for line in whiskers.get_segments()], np.repeat(places, 2).reshape(2, 2))
    assert sorted(texts(ax.get_legend().get_texts())) == ["all", "chance", "few"] and ax.get_ylabel() == "accuracy"
    ax = plotting.accuracy_bars(groups, "title", chance=0.3, words=("average precision", "base rate")).axes[0]
    assert ax.get_ylabel() == "average precision" and "base rate" in texts(ax.get_legend().get_texts())
    assert [*ax.lines[0].get_ydata()] == [0.3, 0.3]


def test_maps_of_shares_have_a_row_for_each_target_or_path_and_blanks_without_items():
    maps = {"first": torch.tensor([[0.25, 0.75], [1.0, 0.0]]), "second": torch.eye(2)}
    one, other = plotting.share_maps(maps, ["a", "b"], ["c", "d"], ("from", "to")).axes
    assert texts(one.texts) == ["0.25", "0.75", "1.00", "0.00"]
    assert texts(other.texts) == ["1.00", "0.00", "0.00", "1.00"]
    assert texts(one.get_yticklabels()) == ["a", "b"] and one.get_ylabel() == "from"
    assert texts(one.get_xticklabels()) == ["c", "d"] and one.get_xlabel() == "to"
    ax = plotting.coherence_map({"M": {"M": 0.1, "S": 0.2}, "S": {"M": 0.3, "S": 0.4}}, "title").axes[0]
    assert texts(ax.texts) == ["0.10", "0.20", "0.30", "0.40"]
    assert texts(ax.get_yticklabels()) == ["M", "S"] and ax.get_xlabel() == "given"
    assert ax.get_ylabel() == "generated" and ax.get_title() == "title"
    ax = plotting.class_coherence({"M → S": [0.5, 1.0, 0.25], "S → M": [0.75, float("nan"), 0.0]}, "title").axes[0]
    assert texts(ax.texts) == ["0.50", "1.00", "0.25", "0.75", "0.00"]
    assert texts(ax.get_yticklabels()) == ["M → S", "S → M"]
    assert texts(ax.get_xticklabels()) == ["0", "1", "2"] and ax.get_title() == "title"


def test_confusion_maps_show_shares_of_rows_on_one_scale():
    counts = {"M → S": torch.tensor([[3, 1], [0, 5]]), "S → M": [[2, 2], [0, 0]], "judge": torch.eye(2).long()}
    figure = plotting.confusion_maps(counts, columns=2)
    maps = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in maps] == list(counts)
    close(maps[0].images[0].get_array(), [[0.75, 0.25], [0, 1]])
    second = maps[1].images[0].get_array()
    close(second[0], [0.5, 0.5])
    assert np.ma.getmaskarray(second).tolist() == [[False, False], [True, True]]  # no items of this class: blank
    assert {ax.images[0].get_clim() for ax in maps} == {(0, 1)}
    assert (maps[0].get_ylabel(), maps[0].get_xlabel(), maps[1].get_ylabel()) == ("given", "judged", "")
    spare, bar = [ax for ax in figure.axes if not ax.images]
    assert not spare.axison and bar.get_ylabel() == "share of the row"


def test_log_lines_are_logarithmic_with_ticks_where_the_points_are_and_each_is_named_once():
    lines = {"left": {"a": [(2.0, 3.0), (16.0, 24.0)]}, "right": {"a": [(2.0, 1.0), (16.0, 1.0)], "b": [(2.0, 3.0)]}}
    figure = plotting.log_lines(lines, "x", "y")
    ax, right = figure.axes
    equal(ax.lines[0].get_xydata(), [[2, 3], [16, 24]])
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_title(), right.get_title()) == ("log", "log", "left", "right")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "y") and texts(ax.get_xticklabels()) == ["2", "16"]
    (legend,) = figure.legends
    assert texts(legend.get_texts()) == ["a", "b"]
    assert not any(ax.get_legend() for ax in figure.axes), "they are named beside the panels"


# --- the theory ------------------------------------------------------------------------------------------------------
def test_lines_bands_and_levels():
    x = torch.linspace(0, 1, 5)
    figure = curves.line_plot(x, {"a": x, "b": 2 * x}, "x", "nats", {"band": (x - 1, x + 1)}, {"ln 3": 1.0})
    (ax,) = figure.axes
    close(ax.lines[1].get_ydata(), 2 * x)
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    assert texts(ax.get_legend().get_texts()) == ["band", "a", "b", "ln 3"]
    corners = ax.collections[0].get_paths()[0].vertices
    assert corners[:, 1].min() == -1 and corners[:, 1].max() == 2
    assert figure.dpi == INCH and not plt.get_fignums()


def test_a_claim_is_hatched_where_it_fails():
    margin = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    ax = curves.sign_maps({"claim": margin}, torch.arange(3.0), torch.arange(3.0), "mean", "variance").axes[0]
    holds, fails = (path.vertices for path in ax.collections[0].get_paths())
    assert holds[:, 1].min() == 0 and 1 < fails[:, 1].min() < 2 == fails[:, 1].max()


def test_dots_and_items_against_a_diagonal():
    ax = curves.dots({"one": torch.tensor([1.0, 2.0]), "two": torch.tensor([3.0])}, "nats", 0.5, "level").axes[0]
    close(ax.lines[0].get_xdata(), [1, 2])
    assert texts(ax.get_yticklabels()) == ["one", "two"] and ax.lines[2].get_xdata()[0] == 0.5
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 3.0])
    ax = curves.against(x, {"bound": y}, "evidence", "bound").axes[0]
    close(ax.lines[0].get_xydata(), [[1, 0.5], [2, 3]])
    assert ax.lines[1].get_slope() == 1


# --- several methods -------------------------------------------------------------------------------------------------
def test_forest_has_a_marker_and_an_interval_for_each_number():
    rows = {"first claim": {"paper": (0.3, 0.0), "ours": (0.1, 0.02)}, "second claim": {"ours": (-0.2, math.nan)}}
    figure = forest(rows, "accuracy", {"first claim": (0.2, math.inf), "second claim": (-0.02, 0.02)})
    (ax,) = figure.axes
    assert texts(ax.get_yticklabels()) == list(rows)
    first, second = (shade.get_paths()[0].get_extents() for shade in ax.collections if shade.get_zorder() == 0)
    assert (first.x0, first.x1) == (0.2, ax.get_xlim()[1]) and (second.x0, second.x1) == (-0.02, 0.02)
    assert first.y0 < 0 < first.y1 < second.y0 < 1 < second.y1
    drawn = {container.get_label(): container for container in ax.containers}
    assert drawn["paper"].lines[0].get_xdata().tolist() == [0.3]
    assert drawn["ours"].lines[0].get_xdata().tolist() == [0.1, -0.2]
    (bars,) = drawn["ours"].lines[2]
    ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
    assert ends == [pytest.approx([0.08, 0.12]), pytest.approx([-0.2, -0.2])]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first row is at the top"
    assert texts(figure.legends[0].get_texts()) == ["paper", "ours"]


def test_trade_off_has_a_panel_for_each_data_set_and_a_colour_for_each_method():
    points = {"one": {"MMVAE": [(0.1, 1.0), (0.2, 2.0)], "MMVAE (MS)": [(0.3, 3.0)]}, "other": {"mmJSD": [(0.5, 4.0)]}}
    figure = trade_off(points, "coherence", "ln p(X)")
    first, second = figure.axes
    assert texts(figure.legends[0].get_texts()) == ["MMVAE", "MMVAE (MS)", "mmJSD"], "of all panels"
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
    assert texts(legend.get_texts()) == ["MVAE", "MVAE (MS)", "mmJSD"]
