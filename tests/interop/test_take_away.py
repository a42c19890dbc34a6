"""A trained model taken away: read by a script in three lines, wherever that runs, without the data."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from own_runs import trained
from torch import nn

from workbench.config import Config
from workbench.networks.general import VectorDecoder
from workbench.runs.run import Run, start

PACKAGE = Path(__file__).resolve().parents[2]


def hospital(items: int = 40) -> dict:
    """Three measurements and an image of each patient, half of which have no image, and some not all measurements."""
    rng = np.random.default_rng(0)
    table = pandas.DataFrame(rng.normal(5, 2, (items, 3)), columns=["hb", "crp", "na"])
    table.iloc[::7, 1] = np.nan
    scans = rng.random((items, 10, 9)).astype(np.float32)
    scans[1::2] = np.nan
    return {"labs": table, "scan": scans}


def python(script: str, folder: Path) -> subprocess.CompletedProcess:
    """A script in a process of its own that knows of the package, and of nothing else of ours."""
    place = {name: value for name, value in os.environ.items() if not name.startswith("WORKBENCH")}
    place |= {"PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, cwd=folder, env=place, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """A run of three steps on the hospital's data."""
    return trained(tmp_path_factory.mktemp("hospital") / "run", hospital())[0]


@pytest.mark.slow
def test_three_lines_of_any_script(run, tmp_path):
    frame = hospital()["labs"].iloc[:4]
    frame.to_csv(tmp_path / "new.csv", index=False)
    done = python(
        f"""
        import pandas
        from workbench import Run
        model = Run.load("{os.path.relpath(run.folder, tmp_path)}").model
        print(model.infer({{"labs": pandas.read_csv("new.csv")}}, fusion="dynamic_prior").mean.tolist())
        """,
        tmp_path,
    )
    assert not done.returncode, done.stderr
    expected = run.model.infer({"labs": frame}, fusion="dynamic_prior").mean
    assert torch.allclose(torch.tensor(eval(done.stdout)), expected, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"], "nothing is left where it was read"


def test_each_access_gives_a_model_of_its_own(run):
    model = run.model
    nn.init.zeros_(model.heads[0].layers[0].weight)
    assert not model.training and run.model.heads[0].layers[0].weight.abs().sum() > 0


def test_what_is_no_trained_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere is no run folder: it holds no config\.json"):
        Run.load(tmp_path / "nowhere")
    start(Config(steps=3), tmp_path / "begun")
    with pytest.raises(FileNotFoundError, match="begun has not finished its training"):
        Run.load(str(tmp_path / "begun"))


class Reader(nn.Sequential):
    features = 5

    def __init__(self) -> None:
        super().__init__(nn.Linear(3, 5), nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.nan_to_num())  # NaN is a missing entry


def test_networks_that_cannot_be_imported_again_must_be_given(tmp_path):
    own = {"labs": (Reader, lambda code_dim: VectorDecoder(code_dim, 3, 2))}
    trained(tmp_path / "run", hospital(), networks=own)
    cure = r"the networks of 'labs' were defined where .*: give them: Run\.load\(folder, networks=\{'labs': \(Encoder, "
    with pytest.raises(ValueError, match=cure):
        Run.load(tmp_path / "run")
    assert isinstance(Run.load(tmp_path / "run", own).model.encoders[0], Reader)
    with pytest.raises(ValueError, match="networks names 'lab', which is no modality of this run: they are labs, scan"):
        Run.load(tmp_path / "run", {"lab": own["labs"]})


def test_networks_of_another_shape_are_refused_in_one_line(run):
    other = {"labs": (Reader, lambda code_dim: VectorDecoder(code_dim, 3, 2))}
    with pytest.raises(ValueError, match=r"model\.safetensors holds the weights of other networks than these") as error:
        _ = Run.load(run.folder, other).model
    assert "\n" not in str(error.value)


def test_the_examples_of_the_readme(tmp_path, monkeypatch):
    readme = (PACKAGE / "data" / "README.md").read_text()
    found = re.findall(r"<!-- tested: take away -->\n```python\n(.*?)```", readme, re.DOTALL)
    rng = np.random.default_rng(0)
    labs = pandas.DataFrame(rng.normal(size=(60, 3)), columns=["na", "k", "ca"])
    labs.iloc[9:20, 1] = np.nan
    texts = ["no finding" if i % 3 else None for i in range(60)]
    trained(tmp_path / "run", {"labs": labs, "report": texts})
    measured = labs.assign(mean=labs["na"], error=labs["k"])
    shown = {"folder": tmp_path / "run", "frame": labs, "texts": texts, "measurements": measured}
    shown["diagnoses"] = np.where(labs["na"] > 0, "ill", "well")
    monkeypatch.chdir(tmp_path)
    for code in found:
        exec(code.replace("steps=1000", "steps=3"), shown)
    assert shown["posterior"].mean.shape == (60, 4) and shown["table"].index.equals(labs.index)
    assert len([*(tmp_path / "exported").iterdir()]) == 5 and len(found) == 3
    assert shown["filled"].shape == (60, 5) and np.isfinite(shown["filled"]).all()
    assert {*shown["classifier"].predict(measured)} <= {"ill", "well"}
