"""Runs on incomplete items: which numbers are read, their means over seeds, the table and the picture of them."""

import math
from statistics import fmean

import pytest
from made_runs import finished

from workbench.studies.incomplete import Outcome, markdown, means, outcomes, plot_missing


def test_numbers_are_those_of_the_paths_that_were_not_given(tmp_path):
    run = finished(tmp_path / "run", seed=3, steps=60, train_size=500, missing_rate=0.75, missing_policy="dropped")
    (row,) = outcomes([run])
    metrics = run.metrics
    coherence = metrics["coherence"]["dynamic_prior"]
    paths = [("M", s) for s in ("S", "T", "S,T")] + [("S", s) for s in ("M", "T", "M,T")]
    paths += [("T", s) for s in ("M", "S", "M,S")]
    assert row[:6] == ("mmJSD", 500, 0.75, True, 3, 60)
    assert row.probe == metrics["linear_probe"]["dynamic_prior"]["M,S,T"]
    assert row.coherence == pytest.approx(fmean(coherence[target][given] for target, given in paths))
    assert row.likelihood == metrics["log_likelihood"]["X"]["dynamic_prior"]["M,S,T"]["nats"]


def test_snapshots_are_rows_of_their_own(tmp_path):
    def with_snapshots(found):
        parts = {name: found[name] for name in ("linear_probe", "coherence")}
        return found | {"over_steps": [{"step": step} | parts for step in (20, 40, 60)]}

    rows = outcomes([finished(tmp_path / "run", steps=60, metrics=with_snapshots)])
    assert [row.step for row in rows] == [20, 40, 60], "the last snapshot is the end"
    assert [math.isnan(row.likelihood) for row in rows] == [True, True, False]
    with pytest.raises(ValueError, match="few was evaluated without probe or coherence"):
        outcomes([finished(tmp_path / "few", metrics=lambda found: {"linear_probe": found["linear_probe"]})])


def made(method="mmJSD", incomplete=0.0, dropped=False, seed=0, probe=0.5, step=10, items=0, nats=-2000.0) -> Outcome:
    return Outcome(method, items, incomplete, dropped, seed, step, probe, probe / 2, nats)


ROWS = [
    made(probe=0.9),
    made(incomplete=0.5, probe=0.6),
    made(incomplete=0.5, probe=0.8, seed=1),
    made(incomplete=0.5, dropped=True, probe=0.7),
    made("MVAE", probe=0.4, nats=-2100.0),
]


def test_means_over_seeds():
    found = {(x.method, x.incomplete, x.dropped): x for x in means(ROWS)}
    assert len(found) == 4
    both = found["mmJSD", 0.5, False]
    probe = both.means["probe"]
    assert probe.seeds == 2 and probe.mean == pytest.approx(0.7)
    assert probe.half == pytest.approx(1.27062), "12.7 times half the difference of two"
    assert math.isnan(found["MVAE", 0.0, False].means["probe"].half)
    (found,) = means([made(nats=math.nan), made(nats=math.nan, seed=1, probe=0.7)])
    assert math.isnan(found.means["likelihood"].mean) and math.isnan(found.means["likelihood"].half)
    assert found.means["probe"].half == pytest.approx(1.27062)


def test_the_table_has_the_complete_items_in_both_lines():
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown(ROWS).splitlines()]
    assert table[0] == ["method", "incomplete items", "measure", "0%", "50%"]
    rows = {tuple(row[:3]): row[3:] for row in table[2:]}
    assert rows["mmJSD", "used", "probe"] == ["0.90", "0.70 ± 1.27"]
    assert rows["mmJSD", "dropped", "probe"] == ["0.90", "0.70"]
    assert rows["MVAE", "used", "likelihood"] == ["-2100", ""]
    assert len(table) == 2 + 2 * 2 * 3


def points(ax) -> list[tuple[str, list]]:
    """Line style and points of everything drawn."""
    return [
        (container.lines[0].get_linestyle(), [*map(tuple, container.lines[0].get_xydata().tolist())])
        for container in ax.containers
    ]


def test_the_picture_shows_every_mean():
    steps = [
        made(items=100, incomplete=0.9, dropped=d, probe=0.5 + d / 10, step=s) for d in (False, True) for s in (5, 9)
    ]
    figure = plot_missing(ROWS, steps)
    probe, coherence, nats, over_steps, *_ = figure.axes
    solid, dotted = [points for style, points in points(probe) if len(points) > 1]
    assert solid == [(0.0, 0.9), (0.5, pytest.approx(0.7))] and dotted == [(0.0, 0.9), (0.5, 0.7)]
    assert {style for style, _ in points(coherence)} == {"-", ":"}
    assert all(y in (-2000, -2100) for _, line in points(nats) for _, y in line)
    assert points(over_steps) == [("-", [(5.0, 0.5), (9.0, 0.5)]), (":", [(5.0, 0.6), (9.0, 0.6)])]
    names = [text.get_text() for text in figure.axes[5].get_legend().get_texts()]
    assert names == ["MVAE", "mmJSD", "incomplete items used", "incomplete items dropped"]
    figure.canvas.draw()
    figure = plot_missing(ROWS)
    assert len(figure.axes) == 3 and len(figure.legends[0].get_texts()) == 4
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_missing([])
