"""Run folders: nothing half-written, found only when complete, and never mixed up."""

import ast
import errno
import json
import math
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import safetensors.torch
import torch
from filelock import FileLock, Timeout
from helpers import interrupted

from workbench import evaluation, files
from workbench.config import RENAMED, Config
from workbench.data.load import load_dataset
from workbench.runs import versions
from workbench.runs.run import (
    Run,
    archive_stale,
    build_model,
    find_runs,
    is_current,
    is_trained,
    run_folder,
    save_weights,
    sole_writer,
    start,
)
from workbench.runs.versions import code_version, judges_version, provenance
from workbench.training.loop import fit

TINY = Config(data="uci-text", repeats=2, batch_size=8, steps=3, device="cpu")


def test_replacing_is_all_or_nothing(tmp_path):
    path = tmp_path / "below" / "file.txt"
    with files.replacing(path) as temporary:
        temporary.write_text("first")
        assert not path.exists() and temporary.parent == path.parent
    assert path.read_text() == "first"
    with pytest.raises(RuntimeError, match="in the middle"), files.replacing(path) as temporary:
        temporary.write_text("sec")
        raise RuntimeError("in the middle")
    assert path.read_text() == "first"
    assert [*path.parent.iterdir()] == [path]


def test_json_is_whole_or_not_there(tmp_path):
    run = Run(tmp_path / "run")
    run.write("metrics.json", {"a": [1.5, math.nan, {"b": math.inf}], "c": None})
    assert run.read("metrics.json") == {"a": [1.5, None, {"b": None}], "c": None}
    with pytest.raises(TypeError):
        run.write("metrics.json", {"a": object()})
    assert run.metrics["a"][0] == 1.5
    assert [path.name for path in run.folder.iterdir()] == ["metrics.json"]


def test_weights_are_whole_or_not_there(tmp_path, monkeypatch):
    model = torch.nn.Linear(2, 3)
    save_weights(model, tmp_path / "model.safetensors")
    read = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert torch.equal(read["weight"], model.weight)

    def full_disk(path, content):
        with open(path, "wb") as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match=r"No space left on device: .*model\.safetensors'$"):
        save_weights(torch.nn.Linear(2, 3), tmp_path / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert torch.equal(safetensors.torch.load_file(tmp_path / "model.safetensors")["weight"], model.weight)


def test_only_complete_runs_are_found(tmp_path):
    for name in ("b/two", "a/one", "half", "stray"):
        if name != "stray":
            start(TINY, tmp_path / name)
        if name != "half":
            Run(tmp_path / name).write("metrics.json", {"name": name})
    found = [*find_runs(tmp_path)]
    assert [run.folder.relative_to(tmp_path).as_posix() for run in found] == ["a/one", "b/two"]
    assert all(run.complete and run.config == TINY for run in found)
    assert not Run(tmp_path / "half").complete and not Run(tmp_path / "half").trained
    assert [*find_runs(tmp_path / "nowhere")] == []


def test_folders_are_named_by_what_is_computed(tiny_root):
    folder = run_folder(TINY)
    assert folder == tiny_root / "outputs" / "quick" / "runs" / f"mmjsd-uci-text-{TINY.key()}"
    assert run_folder(TINY, tiny_root / "x") == tiny_root / "x" / folder.name
    assert run_folder(TINY.replace(device="cuda")) == folder
    assert run_folder(TINY.replace(seed=1)) != folder
    assert run_folder(TINY.replace(objective="mvae", style_dim=4)).name.startswith("mvae-ms-uci-text-")


def test_a_folder_of_another_configuration_is_refused(tmp_path):
    start(TINY, tmp_path)
    with pytest.raises(ValueError, match="holds a run with another configuration: choose another folder or remove it"):
        start(TINY.replace(seed=1), tmp_path)
    assert Run(tmp_path).config == TINY
    assert start(TINY.replace(device="auto"), tmp_path).config.device == "auto"


def test_what_stands_in_config_json(tmp_path):
    stored = start(TINY, tmp_path).read("config.json")
    assert stored["config"] == TINY.to_json() and stored["key"] == TINY.key()
    assert stored["torch"] == torch.__version__ and stored["code"] == code_version()
    assert {"commit", "python", "machine", "gpu"} <= stored.keys()


def test_current_means_trained_and_judged_by_this_code_in_this_configuration(tmp_path, monkeypatch):
    run = start(TINY, tmp_path)
    judged = provenance() | {"parts": ["probe", "coherence"], "limit": 60}
    run.write("metrics.json", {"evaluated_with": judged})
    assert not is_current(run, TINY) and not is_current(Run(tmp_path / "nowhere"), TINY), "not trained"
    (run.folder / "model.safetensors").touch()
    assert is_current(run, TINY) and is_current(run, TINY.replace(device="auto"))
    assert not is_current(run, TINY.replace(beta=1.0))
    assert is_current(run, TINY, ["coherence"], 60) and is_current(run, TINY, ("coherence", "probe"), 59)
    assert not is_current(run, TINY, ["coherence", "quality"], 60), "in too few parts"
    assert not is_current(run, TINY, ["coherence"], 61) and not is_current(run, TINY, ["coherence"], None), (
        "too few items"
    )
    run.write("metrics.json", {"evaluated_with": judged | {"limit": None}})
    assert is_current(run, TINY, ["coherence"], 61) and is_current(run, TINY, ["coherence"], None)
    with monkeypatch.context() as patch:
        patch.setattr("workbench.runs.versions.judges_version", lambda: "other judges")
        assert is_trained(run, TINY) and not is_current(run, TINY)
    monkeypatch.setattr("workbench.runs.versions.code_version", lambda: "another code")
    assert not is_trained(run, TINY)


def test_every_file_that_numbers_depend_on_is_in_one_of_two_versions():
    """Training and judging share no file, and neither imports what is in no version: that shows, starts or studies."""
    judging = {*versions.sources(versions.JUDGING)}
    training = {*versions.sources(versions.TRAINING)} - judging
    names = {path.relative_to(versions.PACKAGE).as_posix() for path in training}
    assert {"objectives/mixtures.py", "model.py", "data/dataset.py", "networks/digits.py", "training/loop.py"} <= names
    assert not {"cli.py", "runs/shipped.py", "plotting/base.py", "reports/results.py", "studies/speed.py"} & names
    for places in (versions.TRAINING, versions.JUDGING):
        assert all(versions.sources([place]) for place in places), "a place that is not there"
    assert "data/synthetic/faces_attributes.txt" in names, "a table that pictures are drawn by"
    for path in (path for path in training if path.suffix == ".py"):
        assert imported_files(path) <= training, path
    for path in judging:
        assert imported_files(path) <= training | judging, path
    assert code_version() != judges_version()


def imported_files(path):
    """Files of the package that a file of it imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    parts = [name.split(".")[1:] for name in names if name.startswith("workbench.")]
    files = [versions.PACKAGE.joinpath(*p).with_suffix(".py") for p in parts]
    return {*filter(Path.is_file, files)}


def test_a_run_set_aside_keeps_everything_out_of_sight(tmp_path, monkeypatch):
    for _ in range(2):  # the second time replaces what the first set aside
        with monkeypatch.context() as patch:
            patch.setattr("workbench.runs.versions.code_version", lambda: "older")
            run = start(TINY, tmp_path / "run")
        run.write("metrics.json", {})
        (run.folder / "notes.txt").write_text("kept")
        archive_stale(run, TINY.replace(seed=1))
        assert run.complete, "another configuration stays"
        archive_stale(run, TINY)
        kept = tmp_path / ".run-older"
        assert not run.folder.exists() and list(find_runs(tmp_path)) == []
        assert Run(kept).config == TINY and (kept / "notes.txt").read_text() == "kept"


WRITER = """
import sys, time
from pathlib import Path
from workbench.runs.run import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(60)
"""


def test_one_process_at_a_time_writes_into_a_folder_until_it_ends_however_it_ends(tmp_path, capsys):
    folder = tmp_path / "run"
    other = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"in\n"
    lock = FileLock(tmp_path / ".run.lock")
    with pytest.raises(Timeout):
        lock.acquire(timeout=0)
    (folder / "snapshots").mkdir(parents=True)
    half = [folder / ".model.safetensors.123.part", folder / "snapshots" / ".0000050.safetensors.123.part"]
    for path in (*half, folder / "history.csv"):
        path.touch()
    threading.Timer(0.5, other.kill).start()
    with sole_writer(folder), sole_writer(folder):  # the same thread may be inside twice
        assert other.wait() == -signal.SIGKILL
        assert not any(path.exists() for path in half), "what the killed writer left half written is gone"
        with pytest.raises(Timeout):
            lock.acquire(timeout=0)
    assert capsys.readouterr().err == f"waiting: another process is at work in {folder}\n"
    assert (folder / "history.csv").is_file()
    lock.acquire(timeout=0)
    lock.release()
    other.stdout.close()


def test_a_resumed_run_keeps_the_version_that_began_it(tmp_path, monkeypatch):
    version = start(TINY, tmp_path).read("config.json")["code"]
    monkeypatch.setattr("workbench.runs.versions.code_version", lambda: "another code")
    assert start(TINY, tmp_path).read("config.json")["code"] == version != "another code"


def test_a_model_comes_back(tiny_root):
    run = fit(TINY.replace(style_dim=2), progress=False)
    model = run.model
    assert not model.training and model.content_dim == 18 and model.letters == ("M", "T")
    stored = safetensors.torch.load_file(run.folder / "model.safetensors")
    assert all(torch.equal(stored[name], value) for name, value in model.state_dict().items())
    assert run.dataset("test").split == "test" and len(run.dataset("test")) > 0
    untrained = build_model(run.config, run.dataset())
    path = run.folder / "elsewhere.safetensors"
    save_weights(untrained, path)
    assert all(torch.equal(a, b) for a, b in zip(run.model_at(path).parameters(), untrained.parameters(), strict=True))


def test_a_run_with_the_field_names_of_an_older_version_is_loaded_and_goes_on(tiny_root):
    config = TINY.replace(objective="mvtcae", mvtcae_alpha=0.7, missing_rate=0.5, train_size=200, checkpoint_every=2)
    whole = fit(config, tiny_root / "whole", progress=False)
    folder = interrupted(2, config, tiny_root / "run")
    origin, former = Run(folder).read("config.json"), {now: name for name, now in RENAMED.items()}
    kept = {former.get(name, name): value for name, value in config.to_json().items()}
    (folder / "config.json").write_text(json.dumps(origin | {"config": kept}))
    assert kept["total_correlation"] == 0.7 and "mvtcae_alpha" not in kept
    assert Run(folder).config == config and origin["key"] == config.key()
    run = fit(config, folder, progress=False)
    (folder / "config.json").write_text(json.dumps(origin | {"config": kept}))
    for one, other in zip(Run.load(folder).model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert len(run.dataset("train")) == 400 and not run.dataset("train").present.all()
    assert [found.folder for found in find_runs(tiny_root, evaluated=False)] == [folder, whole.folder]
    assert is_trained(run, config)


def test_an_unfinished_run_has_no_model(tiny_root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is missing: .* has not finished its training"):
        _ = start(TINY, tmp_path / "run").model


def test_the_first_weights_depend_on_the_seed_alone(tiny_root):
    data = load_dataset("uci-text", "test", repeats=1)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = build_model(TINY, data)
    assert torch.equal(torch.get_rng_state(), before), "building a model leaves the global generator alone"
    torch.manual_seed(6)
    same, other = build_model(TINY, data), build_model(TINY.replace(seed=1), data)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


@pytest.mark.parametrize("evaluated", [True, False])
def test_weights_of_other_code_are_never_passed_off_as_current(evaluated, tiny_root, monkeypatch):
    """A run that another version of the code trained is trained again, evaluated or not."""
    evaluations = []

    def evaluate_into(run, progress, parts, limit):
        evaluations.append(run)
        run.write("metrics.json", {"evaluated_with": provenance() | {"parts": parts, "limit": limit}})

    monkeypatch.setattr(evaluation, "evaluate_into", evaluate_into)
    with monkeypatch.context() as patch:
        patch.setattr("workbench.runs.versions.code_version", lambda: "older code")
        run = fit(TINY, progress=False)
        fresh = (run.folder / "model.safetensors").read_bytes()
        save_weights(build_model(TINY.replace(seed=9), run.dataset()), run.folder / "model.safetensors")
        if evaluated:
            evaluate_into(run, False, evaluation.PARTS, evaluation.ITEMS)
            evaluations.clear()
    run = evaluation.train_and_evaluate(TINY, progress=False)
    assert (run.folder / "model.safetensors").read_bytes() == fresh
    assert json.loads((run.folder / "config.json").read_text())["code"] == code_version()
    assert len(evaluations) == 1 and is_current(run, TINY)
    evaluation.train_and_evaluate(TINY, progress=False)
    assert len(evaluations) == 1, "what is current is not made again"
    monkeypatch.setattr("workbench.runs.versions.judges_version", lambda: "other judges")
    evaluation.train_and_evaluate(TINY, progress=False)
    assert len(evaluations) == 2, "other judges evaluate again"
    assert (run.folder / "model.safetensors").read_bytes() == fresh, "but do not train again"
