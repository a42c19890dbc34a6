"""The picture of an ablation: lines are means over seeds, bands 95 % intervals, and nothing is missing."""

import numpy as np
import pytest
from made_runs import sweep
from matplotlib import pyplot as plt
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

from workbench.plotting.shown import INCH, SMALLEST, WIDEST
from workbench.reports.ablation_figure import ablation_figure, described, own_sweep
from workbench.reports.ablations import BETA, SUBSPACE_SIZE, curves, means, summary


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    return curves(sweep(tmp_path_factory.mktemp("sized"), "style_dim", (0, 2, 8)), SUBSPACE_SIZE)


@pytest.fixture(scope="module")
def figure(frame):
    return ablation_figure(frame, SUBSPACE_SIZE)


def test_a_panel_for_each_aspect_with_a_line_for_each_subset_or_path(frame, figure):
    assert [ax.get_title() for ax in figure.axes] == [panel.title for panel in SUBSPACE_SIZE.panels]
    for ax, panel in zip(figure.axes, SUBSPACE_SIZE.panels, strict=True):
        names = [text.get_text() for text in ax.get_legend().get_texts()]
        assert names == [*frame[frame["panel"] == panel.title]["line"].unique()]
        expected = means(frame, panel.title)
        for name, line in zip(names, ax.get_lines()[: len(names)], strict=True):  # seaborn draws those with data first
            np.testing.assert_allclose(line.get_xdata(), expected.index)
            np.testing.assert_allclose(line.get_ydata(), expected[name])
        assert (ax.get_xlabel(), ax.get_ylabel()) == (SUBSPACE_SIZE.label, panel.ylabel)


def test_bands_are_the_intervals_of_the_summary(frame, figure):
    ax = figure.axes[1]
    table = summary(frame).query("panel == 'Coherence' and line == '→ M'")
    band = next(c for c in ax.collections if isinstance(c, PolyCollection)).get_paths()[0].vertices
    for row in table.itertuples():
        ends = band[np.isclose(band[:, 0], row.x), 1]
        assert row.half > 0 and (ends.min(), ends.max()) == pytest.approx((row.mean - row.half, row.mean + row.half))


def test_lines_are_told_apart_without_colours(figure):
    for ax in figure.axes:
        handles = ax.get_legend().legend_handles
        assert len({handle.get_marker() for handle in handles}) == len(handles)
        assert len({to_hex(handle.get_color()) for handle in handles}) == len(handles)


def test_the_papers_choice_and_chance_are_marked(figure):
    probes, *_, styles = figure.axes
    for ax, sizes in ((probes, ["0", "2", "8"]), (styles, ["2", "8"])):
        assert [4, 4] in [[*line.get_xdata()] for line in ax.get_lines()]
        assert [label.get_text() for label in ax.get_xticklabels()] == sizes
    assert [text.get_text() for text in styles.texts] == ["chance"] and not probes.texts, "far below all lines"


def test_it_is_small_enough_for_a_notebook(figure):
    width, height = figure.get_size_inches()
    assert figure.dpi == INCH and width <= WIDEST and height <= 6 and not plt.get_fignums()
    fonts = [text.get_fontsize() for ax in figure.axes for text in (ax.title, ax.xaxis.label, *ax.get_xticklabels())]
    assert min(fonts) >= SMALLEST


def test_its_words_say_where_each_line_begins_and_ends(tmp_path):
    found = curves(sweep(tmp_path, "beta", (1.0, 5.0, 20.0), seeds=(0, 1)), BETA)
    shown, lines = described(found, BETA), means(found, "Coherence")
    assert shown.alt.startswith("From β 1 to 20. ")
    for name, column in lines.items():
        assert f"Coherence, {name}: {column.iloc[0]:.2f} to {column.iloc[-1]:.2f}" in shown.alt
    assert len(shown.figure.axes) == found["panel"].nunique()


def test_a_logarithmic_scale_where_the_field_lives_on_one(tmp_path):
    found = curves(sweep(tmp_path, "beta", (0.5, 5.0, 20.0), seeds=(0,)), BETA)
    figure = ablation_figure(found, BETA)
    assert {ax.get_xscale() for ax in figure.axes} == {"log"}
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["0.5", "5", "20"]
    bands = [c.get_paths()[0].get_extents() for ax in figure.axes for c in ax.collections if c.get_paths()]
    assert not [band for band in bands if band.height > 0], "a single seed has none"
    found["x"] = found["x"].replace(0.5, 0.0)
    assert {ax.get_xscale() for ax in ablation_figure(found, BETA).axes} == {"linear"}, "zero has no logarithm"


def test_panels_without_numbers_are_left_out(frame):
    few = frame[frame["panel"].isin(["Coherence", "Class in the styles", "Representation"])]
    *shown, spare = ablation_figure(few, SUBSPACE_SIZE).axes
    assert [ax.get_title() for ax in shown] == ["Representation", "Coherence", "Class in the styles"]
    assert not spare.axison
    with pytest.raises(ValueError, match="nothing to show of subspace_size: evaluate them with `workbench evaluate`"):
        ablation_figure(frame[:0], SUBSPACE_SIZE)


def test_ones_own_sweep_is_shown_or_the_command_that_makes_it(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    (missing,) = own_sweep(BETA, "quick")
    assert missing.data.endswith("`workbench sweep notebooks/sweeps/beta.toml --preset quick`")
    runs = sweep(tmp_path / "outputs" / "quick" / "sweeps" / "beta", "beta", (1.0, 5.0, 20.0), seeds=(0,))
    name, shown = own_sweep(BETA, "quick")
    assert len(own_sweep(BETA, "paper")) == 1, "where the command leaves those of this preset, there are none"
    assert name.data == f"**one curve**: {len(runs)} runs" and shown.figure.axes[0].get_title() == "Representation"
