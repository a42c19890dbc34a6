"""The tidy table of all numbers: every leaf of metrics.json once and in its place, of folders and collected files."""

import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from made_runs import OTHER, finished, several

from workbench.evaluation import ASKED
from workbench.reports import results
from workbench.runs import collected, gather
from workbench.runs.run import find_runs

REFERENCE = Path(__file__).resolve().parents[2] / "outputs" / "reference"
NO_RESULT = {"test_items", "linear_probe_error", "seconds", "confusion", "command", "evaluated_with", "step"}
NO_RESULT |= {"evidence_error", "features", "ceiling", "images", "samples", "standard_error"}
OF_ATTRIBUTES = {"written", "base_rate", "by_attribute"}  # sections that digits have not


def leaves(found) -> list[float | None]:
    """The numbers in a JSON value that are results, by brute force."""
    if isinstance(found, dict):
        passed = NO_RESULT | ({"items"} if "samples" in found else set())
        return [x for key, item in found.items() if key not in passed for x in leaves(item)]
    if isinstance(found, list):
        return [x for item in found for x in leaves(item)]
    return [] if isinstance(found, str) else [found]


CHANGES = ({}, {"seed": 1}, {"objective": "mmvae"}, {"beta": 2.5}, {"style_dim": 4})


def cell(frame: pd.DataFrame, **where) -> pd.Series:
    """The only row with these entries."""
    for column, value in where.items():
        frame = frame[frame[column].isna() if value is None else frame[column] == value]
    (index,) = frame.index
    return frame.loc[index]


def test_every_number_comes_once(tmp_path):
    runs = several(tmp_path, *CHANGES)
    runs[1].write("metrics.json", runs[1].metrics | {"over_steps": [{"step": 2190} | runs[0].metrics]})
    frame = results.frame(runs)
    assert sorted(frame["value"]) == sorted(x for run in runs for x in leaves(run.metrics))
    assert not frame.duplicated(["run", "step", "metric", "posterior", "given", "target"]).any()


def test_numbers_stand_where_they_were_measured(tmp_path):
    run = finished(tmp_path, style_dim=4)
    frame, metrics = results.frame([run]), run.metrics
    probe = cell(frame, metric="linear_probe", posterior="mixture", given="M,S")
    assert (probe.value, probe.error) == (metrics["linear_probe"]["mixture"]["M,S"], 0.008)
    made = cell(frame, metric="coherence", posterior="mixture", given="S,T", target="M")
    assert made.value == metrics["coherence"]["mixture"]["M"]["S,T"] and math.isnan(made.error)
    score = cell(frame, metric="quality.f_8", posterior="dynamic_prior", given="T", target="S")
    assert score.value == metrics["quality"]["conditional"]["dynamic_prior"]["S"]["T"]["f_8"] == 0.9
    random = cell(frame, metric="quality.fid", given="random", target="M")
    assert (random.value, random.posterior) == (0.004, "")
    nats = cell(frame, metric="log_likelihood.X", posterior="mixture", given="M,S,T")
    assert (nats.value, nats.error, nats.target) == (-1960.4, 3.0, "")
    told = cell(frame, metric="log_likelihood.predictive", posterior="mixture", given="M", target="T")
    assert told.value == metrics["log_likelihood"]["predictive"]["mixture"]["T"]["M"]["nats"]
    assert cell(frame, metric="random_coherence", target="all_agree").value == 0.24
    assert cell(frame, metric="style_probe", target="S").value == 0.11
    assert cell(frame, metric="marginal_kl", posterior="mixture", given="M").value == 2.5
    gain = cell(frame, metric="evidence.gain")
    assert (gain.value, gain.error, gain.posterior, gain.given) == (0.5, 0.05, "", "")


def test_columns_say_what_varies_and_no_more(tmp_path):
    frame = results.frame(several(tmp_path, *CHANGES))
    heads = ["run", "data", "method", "objective", "style_dim", "beta", "seed", "steps", "step"]
    assert [*frame.columns] == [*heads, *results.Number._fields]
    assert [*frame["run"].unique()] == [f"run-{i}" for i in range(5)]
    one = frame.groupby("run").first()
    assert one["method"].tolist() == ["mmJSD", "mmJSD", "MMVAE", "mmJSD", "mmJSD (MS)"]
    assert one["beta"].tolist() == [5, 5, 5, 2.5, 5] and one["style_dim"].tolist() == [0, 0, 0, 0, 4]
    assert one["seed"].tolist() == [0, 1, 0, 0, 0] and {*one["steps"]} == {4380} and {*one["data"]} == {OTHER}

    runs = [finished(tmp_path / x, "mmvae_dreg", posterior=x) for x in ("gaussian", "laplace")]
    frame = results.frame(runs)
    assert {*frame["posterior_family"]} == {"gaussian", "laplace"}, "which is no way to fuse posteriors"
    assert {*frame["posterior"]} == {"mixture", ""}


def test_snapshots_have_a_step_and_numbers_that_were_not_finite_stay_as_rows(tmp_path):
    def broken(found):
        likelihood = found["log_likelihood"] | {"X": {"mixture": {"M": None, "M,S,T": {"nats": None}}}}
        early = {"step": 730, "linear_probe": {"mixture": {"M": 0.2}}}
        return found | {"rate": {"mixture": {"M": None}}, "log_likelihood": likelihood, "over_steps": [early]}

    frame = results.frame([finished(tmp_path, metrics=broken)])
    assert cell(frame, metric="linear_probe", posterior="mixture", given="M", step=730).value == 0.2
    assert cell(frame, metric="linear_probe", posterior="mixture", given="M", step=None).value == 0.6
    assert {*frame["steps"]} == {4380}
    assert math.isnan(cell(frame, metric="rate").value)
    assert math.isnan(cell(frame, metric="log_likelihood.X").value), "an estimate that is null as a whole is no row"


def test_folders_and_files_are_gathered_alike_and_a_run_given_twice_counts_once(tmp_path):
    runs = several(tmp_path / "runs", *CHANGES)
    collected.write(runs, tmp_path / "all.json")
    again = results.frame(collected.read(tmp_path / "all.json"))
    assert [*again["run"].unique()] == [run.config.key() for run in runs]
    pd.testing.assert_frame_equal(again.drop(columns="run"), results.frame(runs).drop(columns="run"))
    collected.write(runs[:2], tmp_path / "old.json")
    found = gather([tmp_path / "runs", tmp_path / "old.json", tmp_path / "runs" / "run-3"])
    assert len(found) == 8
    names = [*results.frame(found)["run"].unique()]
    assert names == [*(f"runs/run-{i}" for i in range(5)), *(f"old/{run.config.key()}" for run in runs[:2])]
    assert len(results.frame(found)) == len(results.frame(runs)) + len(results.frame(runs[:2]))
    with pytest.raises(ValueError, match=r"no complete run below .*nothing: train one with `workbench train`"):
        gather([tmp_path / "nothing"])


def test_committed_runs_are_read():
    frame = results.frame(gather([REFERENCE / "mnist-plain-text.json", REFERENCE / "mnist-rendered-text.json"]))
    assert {metric.partition(".")[0] for metric in frame["metric"]} == {*results.SECTIONS} - OF_ATTRIBUTES - {*ASKED}
    assert {*frame["data"]} == {"mnist-plain-text", "mnist-rendered-text"} and frame["run"].nunique() == 21
    shares = frame[frame["metric"].str.contains("probe|coherence|accuracy|precision")]
    assert frame["value"].notna().all() and shares["value"].between(0, 1).all() and frame["step"].nunique() > 5


def test_csv_is_the_frame(tmp_path):
    runs = several(tmp_path / "runs", *CHANGES)
    results.write(runs, tmp_path / "out" / "results.csv")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["results.csv"]
    blank = {"na_values": dict.fromkeys(("value", "error", "step"), ""), "keep_default_na": False}
    again = pd.read_csv(tmp_path / "out" / "results.csv", dtype={"step": "Int64"}, **blank)
    pd.testing.assert_frame_equal(again, results.frame(runs), check_dtype=False)


def test_flattening_needs_no_pandas(tmp_path):
    finished(tmp_path / "run")
    code = f"""import sys; sys.modules['pandas'] = sys.modules['matplotlib'] = None
from pathlib import Path
from workbench.reports import claims, results  # claims need none either
from workbench.runs import gather
(run,) = gather([Path({str(tmp_path)!r})])
print(len([*results.flatten(run.metrics)]), len(claims.findings([run])))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (run,) = find_runs(tmp_path)
    assert int(done.stdout.split()[0]) == len(leaves(run.metrics))
