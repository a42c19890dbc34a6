"""Rows in Markdown, and what a number must be quoted with."""

from made_runs import finished

from workbench.reports import layout


def test_markdown_is_one_line_a_row():
    lines = layout.markdown([["method", "steps", "M"], ["MVAE", "2,000", "0.96"]]).splitlines()
    assert lines == ["| method | steps | M |", "| --- | --- | ---: |", "| MVAE | 2,000 | 0.96 |"]


def test_origins_say_what_a_number_must_be_quoted_with(tmp_path):
    runs = [finished(tmp_path / str(seed), seed=seed, preset="quick", steps=2000) for seed in (1, 0)]
    styled = {"style_dim": 4, "batch_size": 64, "precision": "bfloat16"}
    runs.append(finished(tmp_path / "ms", preset="quick", steps=2000, **styled))
    for run, commit in zip(runs, ("aaa", "bbb", "bbb"), strict=True):
        run.write("metrics.json", run.metrics | {"evaluated_with": {"date": "2026-01-02", "commit": commit}})
    heading, shared, styled = layout.origins(runs)
    cells, day = dict(zip(heading, shared, strict=True)), run.read("config.json")["date"]
    assert [cells[x] for x in heading[:4]] == ["mnist-plain-text", "mmJSD", "2,000", "32"] and heading[3] == "batch"
    assert (cells["seeds"], cells["evaluated"]) == ("0, 1", "2026-01-02 at aaa, bbb")
    assert cells["trained"].startswith(day)
    assert styled[1:6] == ["mmJSD (MS)", "2,000", "64", "bfloat16", "0"]
