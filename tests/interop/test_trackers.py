"""TensorBoard and MLflow, the real packages, on their own files: every number once, also after a training goes on.

Without the packages (`pip install -c constraints.txt -e '.[trackers]'`) those tests skip.
"""

import pytest
from made_runs import finished

from workbench.cli import main
from workbench.config import Config
from workbench.errors import WorkbenchError
from workbench.interop import trackers
from workbench.runs.run import start
from workbench.sweeps.listing import watch

CONFIG = Config(data="uci-text", steps=200)
STEPS = [50, 100, 150, 200]
pytestmark = pytest.mark.filterwarnings("default")  # what other packages say of theirs is no concern of ours


def read_tensorboard(folder) -> dict[str, list[tuple[int, float]]]:
    """Every event in a run folder, also those that a server would pass over."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder), {"scalars": 0}, purge_orphaned_data=False).Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


def read_mlflow(folder) -> dict[str, list[tuple[int, float]]]:
    """Every number of the one run of this name in the store."""
    client = pytest.importorskip("mlflow").MlflowClient(f"sqlite:///{folder.parents[1]}/outputs/mlflow.db")
    group = client.get_experiment_by_name(folder.parent.name).experiment_id
    (run,) = client.search_runs([group], f"attributes.run_name = '{folder.name}'")
    assert run.data.params["objective"] == "mmjsd"
    return {k: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, k)] for k in run.data.metrics}


@pytest.fixture(params=[("tensorboard", read_tensorboard), ("mlflow", read_mlflow)], ids=lambda pair: pair[0])
def tracker(request, tmp_path, monkeypatch):
    """A name and what reads its files back."""
    for package in trackers.NEEDS[request.param[0]].split():
        pytest.importorskip(package.removesuffix("-skinny"))
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return request.param


def add(run, steps) -> None:
    for step in steps:
        run.add_to_history(step, {"total": 1000 / step, "rec_M": float(step)})


def test_a_training_that_goes_on_writes_no_step_twice(tracker, tmp_path):
    """Its last rows are dropped with the checkpoint that it goes on from, and written again."""
    name, read = tracker
    run = start(CONFIG, tmp_path / "runs" / "one", files={})
    add(run, STEPS[:3])
    before = (run.folder / "config.json").read_bytes()
    watch(tmp_path / "runs", track=[name])
    assert [step for step, _ in read(run.folder)["train/total"]] == STEPS[:3]
    start(CONFIG, run.folder, done=100, files={})  # as a training does that goes on after step 100
    assert run.history()["step"] == STEPS[:2]
    with trackers.trackers([name]) as tell:
        tell(run)
        add(run, STEPS[2:])
        tell(run)
        tell(run)
    expected = {"train/total": [(s, pytest.approx(1000 / s, rel=1e-5)) for s in STEPS]}
    assert read(run.folder) == expected | {"train/rec_M": [(s, float(s)) for s in STEPS]}
    assert (run.folder / "config.json").read_bytes() == before


def test_metrics_are_told_once_and_again_where_they_are_others(tracker, tmp_path):
    name, read = tracker
    run = finished(tmp_path / "runs" / "two", metrics=lambda found: found | {"over_steps": [{"step": 50} | found]})
    watch(run.folder, track=[name])
    watch(run.folder, track=[name])
    found, want = read(run.folder), run.metrics["linear_probe"]["dynamic_prior"]["M,S"]
    assert found["train/total"] == [(50, 2.0), (run.config.steps, 1.0)]
    assert found["test/linear_probe/dynamic_prior/M-S"] == [(s, pytest.approx(want)) for s in (50, run.config.steps)]
    assert not any("evaluated_with" in key for key in found)
    run.write("metrics.json", run.metrics | {"classifier_accuracy": {"M": 0.25}})
    watch(run.folder, track=[name])
    assert read(run.folder)["test/classifier_accuracy/M"][-1] == (run.config.steps, 0.25)


def test_what_is_no_number_is_left_out_and_names_are_those_that_all_take(tmp_path):
    kept = {
        "coherence": {"mixture": {"T": {"M,S": 0.5, "M": None}}},
        "confusion": [[1.0]],
        "evaluated_with": {"limit": 3},
    }
    run = finished(tmp_path / "run", metrics=lambda found: kept)
    last = run.config.steps
    expected = {("train/total", 50): 2.0, ("train/total", last): 1.0, ("test/coherence/mixture/M-S/T", last): 0.5}
    assert trackers.numbers(run) == expected
    (run.folder / "history.csv").write_text(f"step,total\n50,nan\n{last},1\n")
    del expected["train/total", 50]
    assert trackers.numbers(run) == expected


def test_nothing_is_told_unasked(tmp_path):
    run = finished(tmp_path / "run")
    before = sorted(run.folder.iterdir())
    watch(run.folder)
    assert sorted(run.folder.iterdir()) == before


def test_errors_name_the_cure(tmp_path, monkeypatch):
    finished(tmp_path / "run")
    with pytest.raises(ValueError, match="no tracker is called 'tensorbord': did you mean 'tensorboard'"):
        watch(tmp_path, track=["tensorbord"])
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(WorkbenchError, match=r"mlflow needs packages .*: pip install mlflow-skinny sqlalchemy alembic"):
        watch(tmp_path, track=["mlflow"])
    monkeypatch.setattr("sys.argv", ["workbench", "watch", str(tmp_path), "--track", "tensorboard"])
    with pytest.raises(
        SystemExit, match="tensorboard needs packages that are not installed here: pip install tensorbo"
    ):
        main()
