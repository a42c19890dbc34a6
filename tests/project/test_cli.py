"""The shell commands as a user types them: what they leave behind and how they fail."""

import io
import json
import os
import shlex
import shutil
import subprocess
import sys

import jaxtyping
import pytest
import torch
from own_runs import shell
from small_sweeps import TRAINING as NOTEBOOK
from small_sweeps import by_command, make_root, without_kernels

from workbench import __version__, evaluation
from workbench.config import field_names
from workbench.runs.run import Run, find_runs


def workbench(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "workbench", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )


def test_train_leaves_a_complete_run(root_with_judges):
    settings = ("data=uci-text", "steps=4", "repeats=2", "batch_size=8", "device=cpu", "beta=2", "objective=mmvae")
    arguments = ["train", *(part for setting in settings for part in ("-p", setting))]
    done = workbench(*arguments)
    assert done.returncode == 0, done.stderr
    (run,) = find_runs(root_with_judges / "outputs")
    assert done.stdout.strip().endswith(f"Complete: {run.folder}")
    assert "MMVAE" in done.stderr and "4/4" in done.stderr
    config = run.config
    assert (config.objective, config.steps, config.beta, config.preset) == ("mmvae", 4, 2, "quick")
    assert run.history()["step"] == [4]
    assert run.read("config.json")["command"].startswith("workbench train -p data=uci-text -p steps=4")
    assert run.metrics["coherence"]["mixture"]["M"].keys() == {"M", "T", "M,T"}
    assert json.loads((run.folder / "config.json").read_text())["key"] == config.key()


def test_train_now_and_evaluate_later(root_with_judges):
    settings = ("data=uci-text", "steps=2", "repeats=2", "batch_size=8", "device=cpu")
    arguments = [part for setting in settings for part in ("-p", setting)]
    done = workbench("train", "--no-evaluate", *arguments)
    assert done.returncode == 0, done.stderr
    (run,) = find_runs(root_with_judges / "outputs", evaluated=False)
    assert run.trained and not run.complete and str(run.folder) in done.stdout
    assert run.read("config.json")["command"].startswith("workbench train --no-evaluate -p data=uci-text")
    weights = (run.folder / "model.safetensors").read_bytes()
    for _ in range(2):  # for the first time, and again
        done = workbench("evaluate", str(root_with_judges / "outputs"), "--samples", "2", "--limit", "50")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == f"Evaluated: {run.folder}"
        assert run.metrics["log_likelihood"]["samples"] == 2 and run.metrics["test_items"] == 50
        assert (run.folder / "model.safetensors").read_bytes() == weights


def test_data_check_says_what_is_there(tmp_path):
    done = workbench("data", "check", "--root", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout
    assert done.stdout.count("missing") >= 2 and "workbench data fetch mnist" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "-p", "betta=1"), "unknown configuration field 'betta': did you mean 'beta'?"),
        (("train", "-p", "objective"), "'objective' is not NAME=VALUE"),
        (("train", "-p", "objective=elbo"), "unknown objective 'elbo': choose one of mvae, mmvae, mmjsd"),
        (("train", "-p", "preset=paper"), "preset"),
        (("train", "-p", "device=abacus"), "device 'abacus' is not available here"),
        (("train", "-p", "data=uci-speech"), "unknown source 'speech'"),
        (("train", "-p", "data=mnist-text"), "workbench data fetch mnist"),
        (("train", "-p", "data=text", "--out", "{root}/pyproject.toml"), "pyproject.toml"),
        (("train", "-p", "beta=1e400"), "beta inf is not finite"),
        (("train", "-p", "seed=18446744073709551616"), "does not fit 64 bits"),
        (("train", "-p", "latent_dim=1000000000"), "latent_dim 1000000000 is too much"),
        (("sweep", "{root}/empty.toml", "-p", "beta=[]"), "asks for no run"),
        (("sweep", "{root}/emty.toml"), "emty.toml: did you mean 'empty.toml'?"),
        (("train", "-p", "betta", "1"), "unknown configuration field 'betta': did you mean 'beta'?"),
        (
            ("train", "--config", "{root}/grid.toml"),
            "grid.toml asks for several runs: execute them with `workbench sweep",
        ),
        (("ship", "{root}"), "no trained run below"),
    ],
    ids=lambda x: "-".join(x[2:]).replace("/", "") if isinstance(x, tuple) else "",
)
def test_errors_are_one_line(arguments, message, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "empty.toml").write_text("")
    (tmp_path / "grid.toml").write_text("[grid]\nbeta = [1.0, 2.0]")
    (tmp_path / "notebooks").mkdir()
    shutil.copy(NOTEBOOK, tmp_path / "notebooks")
    monkeypatch.setattr("workbench.notebooks.kernels.warm_up", lambda notebook: None)
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "none"))
    said = shell(monkeypatch, *(argument.format(root=tmp_path) for argument in arguments))
    # an exit code that is a text is printed to stderr, with exit status 1: see the test below
    assert isinstance(said, str) and said.startswith("workbench: ") and message in said and "\n" not in said
    assert not [*tmp_path.rglob("model.safetensors")]


PLAIN = 'objective = "mvae"\nbeta = 2.0\n'
OF_A_SWEEP = f"title = 'one'\n[fixed]\n{PLAIN}[paper.fixed]\nsteps = 7\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-p steps 3", {"steps": 3}),
        ("-p steps=3 --set objective mvae -p data faces", {"steps": 3, "objective": "mvae", "data": "faces"}),
        ("--config plain.toml -p beta 3", {"objective": "mvae", "beta": 3.0, "steps": 2000}),
        ("--config sweep.toml --preset paper", {"objective": "mvae", "beta": 2.0, "steps": 7}),
    ],
)
def test_parameters_come_as_pairs_or_words_and_from_a_file(words, expected, tmp_path, monkeypatch):
    (tmp_path / "plain.toml").write_text(PLAIN)
    (tmp_path / "sweep.toml").write_text(OF_A_SWEEP)
    begun = []
    monkeypatch.setattr(evaluation, "train_and_evaluate", lambda config, *_: begun.append(config) or Run(tmp_path))
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # whose floats are not whole numbers
    monkeypatch.chdir(tmp_path)
    assert not shell(monkeypatch, "train", *words.split())
    (config,) = begun
    assert {name: getattr(config, name) for name in expected} == expected


def test_help_lists_every_parameter_and_the_version_is_said(monkeypatch, capsys):
    for words in (["train", "--help"], ["--version"]):
        assert not shell(monkeypatch, *words)
    lines = capsys.readouterr().out.splitlines()
    listed = {line.split("=")[0].strip(): line for line in lines if line.startswith("  ") and "=" in line}
    assert listed.keys() == {*field_names()} - {"preset"}
    assert listed["beta"].split() == ["beta=5.0", "weight", "of", "all", "divergences"]
    assert lines[-1] == f"workbench {__version__}"


def test_the_doctor_names_what_is_wrong_and_the_cure(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0, 0))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**12, 10**12, 10**9))
    assert not shell(monkeypatch, "doctor")
    lines = capsys.readouterr().out.splitlines()
    said = {line[2:].split()[0]: line for line in lines}
    assert len(said) == len(lines)
    assert f"torch {torch.__version__}" in said["python"] and not said["python"].startswith("?")
    for name, words in {
        "mnist": "0 of 4 files in {}: missing; workbench data fetch mnist; else",
        "inception": "workbench data fetch inception; else images are compared by the judges' features",
        "browser": "no Chromium: apt-get install chromium",
        "cores": "99.0 busy in the last minute: other programs want them",
        "disk": "1 GB free for ",
    }.items():
        assert said[name].startswith("?") and words.format(tmp_path / "MNIST" / "raw") in said[name], said[name]


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_without_the_characters_shows_question_marks(encoding, tmp_path, monkeypatch):
    """Also of a folder's name in an error, and of the rows of a table."""
    written = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", written)
    assert shell(monkeypatch, "data", "check", "--root", tmp_path / "Gesichter – 顔") in (0, None)
    written.flush()
    assert b"Gesichter ? ?" in written.buffer.getvalue()


def test_a_suggested_command_can_be_typed_as_it_stands(tmp_path, monkeypatch):
    path = make_root(tmp_path / "root")
    monkeypatch.setenv("WORKBENCH_ROOT", str(path.parent))
    with without_kernels():
        done = by_command(path, out := tmp_path / "my sweeps", "-p", "steps=2", "-p", "seed=0", "-p", "style_dim=0")
    assert shlex.split(done.stdout.splitlines()[-1].partition(": ")[2]) == ["workbench", "report", str(out)]


def test_an_error_has_exit_status_1_and_no_traceback(tmp_path):
    done = workbench("train", "-p", "steps=many", WORKBENCH_ROOT=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "workbench: steps 'many' is not of type int\n"
