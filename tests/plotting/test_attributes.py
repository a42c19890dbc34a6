"""Bars of attributes: where they stand, how long they are, what is written, and that colours tell nothing alone."""

from itertools import pairwise

import numpy as np
import pytest

from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.plotting.attributes import GENERATED, HATCHES, attribute_rows, plot_attribute_bars

BASE = np.linspace(0.9, 0.02, 40)[np.random.default_rng(0).permutation(40)]


def metrics(shift: float = 0.0):
    """Made-up numbers of every attribute, each above its base rate; the third has none."""
    rows = {s: [*np.minimum(1, BASE + 0.1 * i + shift)] for i, s in enumerate(("I", "T", "I,T"), 1)}
    for row in rows.values():
        row[2] = None
    made = {"I": rows, "T": rows}
    return {
        "base_rate": [*BASE],
        "by_attribute": {"linear_probe": {"how": rows, "other": rows}, "coherence": {"how": made}},
    }


def test_bars_are_the_numbers_in_the_order_of_the_base_rates():
    found = {"mmJSD": metrics(0.05), "MVAE": metrics()}
    figure = plot_attribute_bars(found)
    order = np.argsort(-BASE)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [ATTRIBUTES[k].replace("_", " ") for k in order]
    assert [ax.get_title() for ax in figure.axes] == ["image (I)", "text (T)", "joint (I,T)"]
    for ax, rows in zip(figure.axes, (("I",), ("T",), ("I,T",)), strict=True):
        for bars, label in zip(ax.containers, found, strict=True):
            expected = np.nan_to_num(np.array(attribute_rows(found[label], "linear_probe")[rows[0]])[order])
            np.testing.assert_allclose([bar.get_width() for bar in bars], expected)
        np.testing.assert_allclose(ax.get_lines()[-1].get_xdata(), BASE[order])
        assert ax.get_ylim()[0] > ax.get_ylim()[1], "the most frequent at the top"
        mean = np.nanmean(attribute_rows(found["mmJSD"], "linear_probe")[rows[0]])
        assert f"mean of mmJSD: {mean:.2f}" in ax.get_xlabel()


def test_bars_of_methods_do_not_overlap_and_are_told_apart_without_colour():
    figure = plot_attribute_bars({"a": metrics(), "b": metrics(), "c": metrics()})
    first = [bars[0] for bars in figure.axes[0].containers]
    assert len({bar.get_hatch() for bar in first}) == 3 and {bar.get_hatch() for bar in first} <= {*HATCHES, None}
    edges = sorted((bar.get_y(), bar.get_y() + bar.get_height()) for bar in first)
    assert all(low[1] <= high[0] + 1e-9 for low, high in pairwise(edges))
    assert edges[0][0] > -0.5 and edges[-1][1] < 0.5, "within the attribute's own row"
    assert [text.get_text() for text in figure.legends[0].get_texts()][-3:] == ["a", "b", "c"]


def test_generated_samples_have_two_panels_and_some_attributes_can_be_shown():
    figure = plot_attribute_bars({"a": metrics()}, GENERATED, order=["Smiling", "Male"])
    assert [ax.get_title() for ax in figure.axes] == ["image from text (T → I)", "text from image (I → T)"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["Smiling", "Male"]
    widths = [bar.get_width() for bar in figure.axes[0].containers[0]]
    np.testing.assert_allclose(widths, [min(1, BASE[ATTRIBUTES.index(name)] + 0.2) for name in ("Smiling", "Male")])


def test_wrong_questions_are_refused():
    with pytest.raises(ValueError, match="no metrics to show"):
        plot_attribute_bars({})
    with pytest.raises(ValueError, match="no coherence of single attributes in these metrics: evaluate a run on faces"):
        plot_attribute_bars({"a": {"base_rate": [], "by_attribute": {}}}, GENERATED)
    with pytest.raises(ValueError, match="unknown attribute 'Smirking'"):
        plot_attribute_bars({"a": metrics()}, order=["Smirking"])
