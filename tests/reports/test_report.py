"""Names and collected numbers of finished runs: every cell is the run's own number, the paper's only where it fits."""

import json

import pytest

from workbench.config import Config
from workbench.reports import published, report, tables
from workbench.runs.run import Run, start

SUBSETS = published.SUBSETS


def finished(folder, data="uci-plain-text", objective="mmvae", posteriors=("mixture",), **changes) -> Run:
    """A run folder whose metrics are all different, so that a table that mixes them up is found out."""
    run = start(Config.make("quick", data=data, objective=objective, **changes), folder)
    (folder / "history.csv").write_text("step,total\n" + "\n".join(f"{n},{n / 7:.4f}" for n in range(50, 2001, 50)))
    accuracies = {fusion: {s: (7 * k + n) / 100 for n, s in enumerate(SUBSETS)} for k, fusion in enumerate(posteriors)}
    coherence = {t: {s: (10 * i + n) / 100 for n, s in enumerate(SUBSETS)} for i, t in enumerate("MST")}
    run.write(
        "metrics.json",
        {
            "classifier_accuracy": {"M": 0.949, "S": 1.0, "T": 1.0},
            "linear_probe": accuracies,
            "linear_probe_full": {fusion: {s: v + 0.5 for s, v in row.items()} for fusion, row in accuracies.items()},
            "coherence": {fusion: coherence for fusion in posteriors},
            "random_coherence": {"all_agree": 0.24, "agreement_pattern": 0.59},
        },
    )
    return run


def test_written_numbers_carry_their_origin(tmp_path):
    run = finished(tmp_path / "run")
    report.write([run], tmp_path / "out" / "reference.json")
    (entry,) = json.loads((tmp_path / "out" / "reference.json").read_text())["runs"]
    assert entry["method"] == "MMVAE" and entry["metrics"] == run.metrics
    assert {"config", "key", "code", "commit", "machine", "torch"} <= set(entry)
    assert len(entry["history"]["step"]) == 40 and entry["history"]["step"][-1] == 2000


def test_long_histories_are_thinned_to_their_end(tmp_path):
    run = finished(tmp_path / "run")
    rows = "\n".join(f"{n},1" for n in range(1, 1001))
    (run.folder / "history.csv").write_text(f"step,total\n{rows}")
    report.write([run], tmp_path / "reference.json")
    (entry,) = json.loads((tmp_path / "reference.json").read_text())["runs"]
    assert entry["history"]["step"] == [float(n) for n in range(20, 1001, 20)]


def test_pictures_are_left_out_of_collected_numbers(tmp_path):
    run = finished(tmp_path / "run")
    metrics = run.metrics
    run.write("metrics.json", metrics | {"confusion": {"M": [[9, 1]]}, "over_steps": [metrics | {"confusion": [[1]]}]})
    report.write([run], tmp_path / "reference.json")
    (entry,) = json.loads((tmp_path / "reference.json").read_text())["runs"]
    assert entry["metrics"] == metrics | {"over_steps": [metrics]}
    assert "confusion" in run.metrics  # the run itself keeps them


def test_markdown_is_one_line_a_row():
    lines = report.markdown([["method", "steps", "M"], ["MVAE", "2,000", "0.96"]]).splitlines()
    assert lines == ["| method | steps | M |", "| --- | --- | ---: |", "| MVAE | 2,000 | 0.96 |"]


def test_collected_runs_come_back(tmp_path):
    """From the file alone: the same configuration, metrics, name and tables, but no weights."""
    run = finished(tmp_path / "run", objective="mmjsd", style_dim=4)
    report.write([run], tmp_path / "reference.json")
    (again,) = report.read(tmp_path / "reference.json")
    assert again.config == run.config and again.metrics == run.metrics and report.label(again) == report.label(run)
    assert again.history() == run.history() and again.complete and not again.trained
    assert all(again.read(name) == run.read(name) for name in ("config.json", "metrics.json"))
    assert tables.markdown([again]) == tables.markdown([run])
    with pytest.raises(FileNotFoundError, match="has not finished its training"):
        _ = again.model


@pytest.mark.parametrize("text", ["{}", "[1]", "no JSON", '{"runs": 3}'])
def test_another_file_is_refused(text, tmp_path):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ValueError, match=r"other.json holds no runs: give a file that `workbench report --out` wrote"):
        report.read(tmp_path / "other.json")


def test_label_of_every_method(tmp_path):
    for objective, name in (("mvae", "MVAE"), ("mmvae", "MMVAE"), ("mmjsd", "mmJSD")):
        run = finished(tmp_path / objective, objective=objective)
        assert (report.label(run), report.paper_key(run)) == (name, objective)
        assert report.paper_key(run) in published.LINEAR_PROBE
    run = finished(tmp_path / "none", objective="mmjsd", dynamic_prior="none", style_dim=4)
    assert report.label(run) == "mmJSD (MS, dynamic prior: none)"
    assert report.paper_key(run) not in published.LINEAR_PROBE


def test_label_of_importance_samples(tmp_path):
    names = {
        ("mmvae_dreg", 30, 0): ("MMVAE (I=30)", "mmvae-i30"),
        ("mmvae_dreg", 10, 0): ("MMVAE (I=10)", "mmvae-i10"),
        ("mmvae_dreg", 30, 4): ("MMVAE (I=30, MS)", "mmvae-i30-ms"),
        ("mmvae_iwae", 30, 0): ("MMVAE (I=30, IWAE)", "mmvae_iwae-i30"),
        ("mmvae_iwae", 30, 4): ("MMVAE (I=30, IWAE, MS)", "mmvae_iwae-i30-ms"),
    }
    for (objective, samples, style), expected in names.items():
        folder = tmp_path / f"{objective}{samples}{style}"
        run = finished(folder, objective=objective, importance_samples=samples, style_dim=style)
        assert (report.label(run), report.paper_key(run)) == expected
    assert [key for _, key in names.values() if key in published.LINEAR_PROBE] == ["mmvae-i30"]


def test_another_family_of_posteriors_is_named(tmp_path):
    run = finished(tmp_path, objective="mmvae_dreg", posterior="laplace")
    assert (report.label(run), report.paper_key(run)) == ("MMVAE (I=30, Laplace)", "mmvae-i30-laplace")


def test_origins_say_what_a_number_must_be_quoted_with(tmp_path):
    runs = [finished(tmp_path / str(seed), objective="mmjsd", seed=seed) for seed in (1, 0)]
    runs.append(finished(tmp_path / "ms", objective="mmjsd", style_dim=4, batch_size=64, precision="bfloat16"))
    for run, commit in zip(runs, ("aaa", "bbb", "bbb"), strict=True):
        run.write("metrics.json", run.metrics | {"evaluated_with": {"date": "2026-01-02", "commit": commit}})
    heading, shared, styled = report.origins(runs)
    day = run.read("config.json")["date"]
    cells = dict(zip(heading, shared, strict=True))
    assert (cells["data"], cells["method"], cells["steps"], cells["batch"]) == (
        "uci-plain-text",
        "mmJSD",
        "2,000",
        "32",
    )
    assert (cells["seeds"], cells["evaluated"]) == ("0, 1", "2026-01-02 at aaa, bbb") and cells["trained"].startswith(
        day
    )
    assert styled[1:6] == ["mmJSD (MS)", "2,000", "64", "bfloat16", "0"]
