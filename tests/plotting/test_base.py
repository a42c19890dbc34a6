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
    (ax,) = figure.axes
    found = [image.get_array() for image in ax.images]
    for image, x in zip(found, [*grey[:, 0], *colour.permute(0, 2, 3, 1)], strict=True):
        np.testing.assert_allclose(image, x)
    texts = {text.get_text(): text.get_position() for text in ax.texts}
    assert [*texts] == ["M", "S", "·seven··", "one·····", "T", "p", "a", "b"], "probabilities read like their tokens"
    assert texts["T"][1] > texts["S"][1] > texts["M"][1] > texts["a"][1] and texts["b"][0] > texts["a"][0]
    assert [image.get_extent()[0] for image in ax.images] == pytest.approx([0.03, 1.03] * 2)


def test_an_image_that_is_not_square_keeps_its_shape():
    figure = plotting.item_grid([torch.rand(1, 3, 10, 20)], ["wide"])
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    assert (right - left) == pytest.approx(2 * (bottom - top)) and 0 < left < right < 1
    box = figure.axes[0].get_position()
    inches = figure.get_size_inches()
    assert box.width * inches[0] == pytest.approx(box.height * inches[1]), "units of both axes are equally long"


def test_pixels_outside_the_range_are_clipped_and_nothing_is_registered():
    figure = plotting.item_grid([torch.tensor([-0.5, 0.5, 1.5]).view(1, 1, 1, 3)], [""])
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), [[0, 0.5, 1]])
    assert figure.dpi <= 80 and not plt.get_fignums()


def test_curves_bars_and_lines():
    figure = plotting.training_curves({"one": {"step": [1.0, 2.0], "total": [3.0, 4.0]}}, ["total"])
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), [[1, 3], [2, 4]])
    figure = plotting.accuracy_bars({"a": {"M": 0.2, "S": 0.4}, "b": {"M": 0.6, "S": 0.8}}, "title")
    assert sorted(round(bar.get_height(), 3) for bar in figure.axes[0].patches) == [0.2, 0.4, 0.6, 0.8]
    assert not figure.axes[0].collections and figure.axes[0].get_legend().get_texts()
    figure = plotting.lines_over_steps({"M": {"a": [(10, 0.5), (20, 0.75)]}}, "accuracy")
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), [[10, 0.5], [20, 0.75]])


def test_whiskers_are_errors_up_and_down_and_only_of_the_groups_that_have_them():
    groups = {"few": {"M": 0.25, "S": 0.5}, "all": {"M": 0.75, "S": 1.0}}
    ax = plotting.accuracy_bars(groups, "title", errors={"few": {"S": 0.125, "M": 0.0625}}).axes[0]
    (whiskers,) = ax.collections
    np.testing.assert_allclose([line[:, 1] for line in whiskers.get_segments()], [[0.1875, 0.3125], [0.375, 0.625]])
    places = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches[:2]]
    np.testing.assert_allclose([line[:, 0] for line in whiskers.get_segments()], np.repeat(places, 2).reshape(2, 2))
    assert sorted(t.get_text() for t in ax.get_legend().get_texts()) == ["all", "chance", "few"]


def test_coherence_map_reads_rows_as_targets():
    found = {"M": {"M": 0.1, "S": 0.2}, "S": {"M": 0.3, "S": 0.4}}
    ax = plotting.coherence_map(found, "title").axes[0]
    assert [text.get_text() for text in ax.texts] == ["0.10", "0.20", "0.30", "0.40"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["M", "S"] and ax.get_xlabel() == "given"
    assert ax.get_ylabel() == "generated" and ax.get_title() == "title"


def test_class_coherence_has_a_row_for_each_path_and_blanks_for_classes_without_items():
    ax = plotting.class_coherence({"M → S": [0.5, 1.0, 0.25], "S → M": [0.75, float("nan"), 0.0]}, "title").axes[0]
    assert [text.get_text() for text in ax.texts] == ["0.50", "1.00", "0.25", "0.75", "0.00"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["M → S", "S → M"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1", "2"] and ax.get_title() == "title"


def test_confusion_maps_show_shares_of_rows_on_one_scale():
    counts = {"M → S": torch.tensor([[3, 1], [0, 5]]), "S → M": [[2, 2], [0, 0]], "judge": torch.eye(2).long()}
    figure = plotting.confusion_maps(counts, columns=2)
    maps = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in maps] == list(counts)
    np.testing.assert_allclose(maps[0].images[0].get_array(), [[0.75, 0.25], [0, 1]])
    second = maps[1].images[0].get_array()
    np.testing.assert_allclose(second[0], [0.5, 0.5])
    assert np.ma.getmaskarray(second).tolist() == [[False, False], [True, True]]  # no items of this class: blank
    assert {ax.images[0].get_clim() for ax in maps} == {(0, 1)}
    assert (maps[0].get_ylabel(), maps[0].get_xlabel(), maps[1].get_ylabel()) == ("given", "judged", "")
    spare, bar = [ax for ax in figure.axes if not ax.images]
    assert not spare.axison and bar.get_ylabel() == "share of the row"


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


def test_log_lines_name_every_line_once_beside_the_panels():
    one = {"a": [(1.0, 1.0), (2.0, 2.0)]}
    figure = plotting.log_lines({"left": one, "right": one | {"b": [(1.0, 3.0), (2.0, 3.0)]}}, "x")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    assert not any(ax.get_legend() for ax in figure.axes)
