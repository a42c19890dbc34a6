"""Names and collected numbers of finished runs: every cell is the run's own number, the paper's only where it fits."""

import json

from workbench import published, report
from workbench.config import Config
from workbench.runs import Run, start

SUBSETS = published.SUBSETS


def finished(folder, data="uci-plain-text", objective="mmvae", posteriors=("mixture",), **changes) -> Run:
    """A run folder whose metrics are all different, so that a table that mixes them up is found out."""
    run = start(Config.make("quick", data=data, objective=objective, **changes), folder)
    (folder / "history.csv").write_text("step,total\n" + "\n".join(f"{n},{n / 7:.4f}" for n in range(50, 2001, 50)))
    accuracies = {how: {s: (7 * k + n) / 100 for n, s in enumerate(SUBSETS)} for k, how in enumerate(posteriors)}
    coherence = {t: {s: (10 * i + n) / 100 for n, s in enumerate(SUBSETS)} for i, t in enumerate("MST")}
    run.write(
        "metrics.json",
        {
            "classifier_accuracy": {"M": 0.949, "S": 1.0, "T": 1.0},
            "linear_probe": accuracies,
            "linear_probe_many": {how: {s: v + 0.5 for s, v in row.items()} for how, row in accuracies.items()},
            "coherence": {how: coherence for how in posteriors},
            "random_coherence": {"all_agree": 0.24, "agreement_pattern": 0.59},
        },
    )
    return run


def test_probe_table_shows_every_posterior(tmp_path):
    run = finished(tmp_path, objective="mmjsd", posteriors=("dynamic_prior", "mixture"), style_dim=4)
    heading, dynamic, mixture = report.probe_table([run])
    assert heading == ["method", "posterior", "steps", *SUBSETS[:-1], "joint"]
    assert dynamic == ["mmJSD (MS)", "dynamic prior", "2,000", *(f"{n / 100:.2f}" for n in range(7))]
    assert mixture[3:] == [f"{(7 + n) / 100:.2f}" for n in range(7)]
    assert report.probe_table([run], "linear_probe_many")[1][3] == "0.50"


def test_coherence_table_shows_what_was_not_given(tmp_path):
    run = finished(tmp_path)
    heading, row = report.coherence_table([run])
    cells = dict(zip(heading, row, strict=True))
    assert (cells["random: all agree"], cells["random: pattern"]) == ("0.24", "0.59")
    paths = [name for name in heading if "→" in name]
    assert len(paths) == 9 and all(name[-1] not in name.split(" → ")[0] for name in paths)
    found = run.metrics["coherence"]["mixture"]
    assert all(cells[name] == f"{found[name[-1]][name.split(' → ')[0]]:.2f}" for name in paths)


def test_the_papers_rows_stand_beside_its_own_data_only(tmp_path):
    own = finished(tmp_path / "own")
    paper = finished(tmp_path / "paper", data=published.DATA)
    assert len(report.probe_table([own])) == 2 and len(report.coherence_table([own])) == 2
    assert report.probe_table([paper])[2] == [
        "MMVAE, paper",
        "",
        "",
        "0.96",
        "0.81",
        "0.99",
        "0.89",
        "0.97",
        "0.90",
        "0.93",
    ]
    row = report.coherence_table([paper])[2]
    assert row[:4] == ["MMVAE, paper", "", "", "0.54"] and row[4:7] == ["0.82", "0.99", "0.91"]


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


def test_markdown_is_one_line_a_row(tmp_path):
    lines = report.markdown(report.probe_table([finished(tmp_path)])).splitlines()
    assert lines[1].startswith("| --- | --- | ---: |") and len(lines) == 3
    assert {line.count("|") for line in lines} == {len(SUBSETS) + 4}


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
