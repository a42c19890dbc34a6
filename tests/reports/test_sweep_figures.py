"""Every metric over what was swept: means and intervals of the runs' own numbers, nothing missing, readable."""

import math
from statistics import mean, stdev

import numpy as np
import pytest
from made_runs import finished, several, sweep
from scipy.stats import t

from workbench.reports import results, sweep_figures

VALUES = (1.0, 5.0, 40.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two objectives over beta, of one two seeds, and a run that belongs to no curve."""
    folder = tmp_path_factory.mktemp("swept")
    made = sweep(folder / "a", "beta", VALUES, (0, 1)) + sweep(folder / "b", "beta", VALUES, (0,), objective="mmvae")
    return [*made, finished(folder / "c", objective="mvae", beta=2.5)]


@pytest.fixture(scope="module")
def families(runs):
    return dict(sweep_figures.curves(runs, "beta"))


def test_fields_are_numbers_that_make_a_line_of_three(runs, tmp_path):
    assert sweep_figures.fields(runs) == ["beta"]
    assert sweep_figures.fields(runs[:4]) == [], "two values are no curve"
    assert sweep_figures.fields([]) == [] and sweep_figures.fields(runs[:1]) == []
    words = several(tmp_path, *({"dynamic_prior": x} for x in ("geometric", "arithmetic", "none")))
    assert sweep_figures.fields(words) == []


def test_every_number_of_the_posterior_that_the_paper_shows_is_in_a_panel(runs, families):
    """Against metrics.json read by hand."""
    group = [run.metrics for run in runs if run.config.objective == "mmjsd" and run.config.beta == 5.0]
    assert next(iter(group[0]["coherence"])) == next(iter(group[0]["linear_probe"])) == "dynamic_prior"
    expected = {
        ("coherence", "M,S → T"): [found["coherence"]["dynamic_prior"]["T"]["M,S"] for found in group],
        ("linear_probe", "M,S"): [found["linear_probe"]["dynamic_prior"]["M,S"] for found in group],
        ("coherence", "random → all agree"): [found["random_coherence"]["all_agree"] for found in group],
    }
    for (family, panel), values in expected.items():
        table = families[family]
        (row,) = table[(table["panel"] == panel) & (table["line"] == "mmJSD") & (table["x"] == 5.0)].itertuples()
        assert row.mean == pytest.approx(mean(values)) and row.seeds == 2
    numbers = {
        x.metric for x in results.flatten(group[0]) if x.metric.partition(".")[0] not in sweep_figures.NOT_OF_THE_MODEL
    }
    assert {sweep_figures.family_of(metric) for metric in numbers} == families.keys()
    assert all({*table["line"]} == {"mmJSD", "MMVAE"} for table in families.values()), "MVAE has one value"


def test_intervals_are_student_s_pooled_along_the_line(runs, families):
    table = families["coherence"]
    line = table[(table["panel"] == "T → M") & (table["line"] == "mmJSD")]
    by_x = {
        x: [r.metrics["coherence"]["dynamic_prior"]["M"]["T"] for r in runs[:6] if r.config.beta == x] for x in VALUES
    }
    pooled = math.sqrt(mean(stdev(values) ** 2 for values in by_x.values()))
    np.testing.assert_allclose(line["half"], t.ppf(0.975, 3) * pooled / math.sqrt(2))
    alone = table[(table["panel"] == "T → M") & (table["line"] == "MMVAE")]
    assert alone["half"].isna().all(), "one seed tells of no spread"


def test_panels_have_a_line_for_each_objective_in_its_colour_and_words_that_fit(families):
    for family in ("coherence", "log_likelihood.given"):
        table = families[family]
        figure = sweep_figures.draw(table, "beta")
        names = [*table["panel"].unique()]
        shown = [ax for ax in figure.axes if ax.axison]
        assert [ax.get_title() for ax in shown] == names
        figure.draw_without_rendering()
        for ax in shown:
            first = ax.containers[0].lines[0]
            expected = table[(table["panel"] == ax.get_title()) & (table["line"] == ax.containers[0].get_label())]
            np.testing.assert_allclose(np.asarray(first.get_ydata(), float), expected["mean"].astype(float))
            assert ax.get_xscale() == "log" and ax.get_xlabel() == "beta"
            assert len({c.lines[0].get_color() for c in ax.containers}) == len(ax.containers)
            width = ax.title.get_window_extent().width
            assert width < figure.bbox.width / min(len(names), sweep_figures.COLUMNS), (family, ax.get_title())
        (legend,) = figure.legends
        assert {text.get_text() for text in legend.get_texts()} == {*table["line"]}


def test_other_settings_are_lines_of_their_own_and_many_subsets_are_means_over_sizes(tmp_path):
    made = [run for w in (0.1, 0.5) for run in sweep(tmp_path / f"{w}", "beta", VALUES, (0,), prior_weight=w)]
    assert {*dict(sweep_figures.curves(made, "beta"))["coherence"]["line"]} == {
        "mmJSD, prior weight 0.1",
        "mmJSD, prior weight 0.5",
    }
    four = [
        finished(tmp_path / f"four-{x}", letters="MSTU", data="mnist-plain-text-uci", beta=x, shift=x / 100)
        for x in VALUES
    ]
    table = dict(sweep_figures.curves(four, "beta"))["coherence"]
    assert {"1 of 4 → M", "4 of 4 → U"} <= {*table["panel"]} and "M,S → T" not in {*table["panel"]}
    metrics = four[0].metrics["coherence"]
    values = [x for given, x in metrics[next(iter(metrics))]["M"].items() if given.count(",") == 1]
    (row,) = table[(table["panel"] == "2 of 4 → M") & (table["x"] == 1.0)].itertuples()
    assert row.mean == pytest.approx(mean(values)) and len(values) == 6
