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
from torch import nn

from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.modality import modalities_of
from workbench.networks import general
from workbench.runs.run import Run, start
from workbench.training.loop import fit

PACKAGE = Path(__file__).resolve().parents[2]
OF_A_USER = """
    from torch import nn

    class Reader(nn.Sequential):
        features = 5

        def __init__(self):
            super().__init__(nn.Linear(3, 5), nn.Tanh())

    def writer(code_dim):
        return nn.Sequential(nn.Linear(code_dim, 6), nn.Unflatten(1, (2, 3)))
"""


def hospital(items: int = 40) -> dict:
    """Three measurements and an image of each patient, half of which have no image, and some not all measurements."""
    rng = np.random.default_rng(0)
    table = pandas.DataFrame(rng.normal(5, 2, (items, 3)), columns=["hb", "crp", "na"])
    table.iloc[::7, 1] = np.nan
    scans = rng.random((items, 10, 9)).astype(np.float32)
    scans[1::2] = np.nan
    return {"labs": table, "scan": scans}


def trained(folder: Path, **modalities) -> Run:
    """A run of three steps on the hospital's data."""
    train, _ = MultimodalDataset.from_arrays(hospital(), name="hospital")
    config = Config.make(data=train.name, steps=3, batch_size=8, latent_dim=4, device="cpu", compiled="off")
    made = modalities_of(train, **modalities) if modalities else None
    return fit(config, folder, data=train, progress=False, modalities=made)


def python(script: str, folder: Path, *paths: Path) -> subprocess.CompletedProcess:
    """A script in a process of its own that knows of the package, or of other folders, and of nothing else of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKBENCH")}
    found = kept | {"PYTHONPATH": os.pathsep.join(map(str, paths or (PACKAGE,))), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, cwd=folder, env=found, capture_output=True, text=True, timeout=300)


def test_three_lines_of_any_script(tmp_path):
    run = trained(tmp_path / "run")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    frame = hospital()["labs"].iloc[:4]
    frame.to_csv(elsewhere / "new.csv", index=False)
    done = python(
        """
        import pandas
        from workbench import Run
        posterior = Run.load("../run").model.infer({"labs": pandas.read_csv("new.csv")}, fusion="dynamic_prior")
        print(posterior.mean.tolist())
        """,
        elsewhere,
    )
    assert not done.returncode, done.stderr
    expected = run.model.infer({"labs": frame}, fusion="dynamic_prior").mean
    assert torch.allclose(torch.tensor(eval(done.stdout)), expected, atol=1e-6)
    assert [path.name for path in elsewhere.iterdir()] == ["new.csv"], "nothing is left where it was read"


def test_each_access_gives_a_model_of_its_own(tmp_path):
    run = trained(tmp_path / "run")
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
    def writer(code_dim):
        return general.VectorDecoder(code_dim, 3, 2)

    trained(tmp_path / "run", networks={"labs": (Reader, writer)})
    cure = r"the networks of 'labs' were defined where .*: give them: Run\.load\(folder, networks=\{'labs': \(Encoder, "
    with pytest.raises(ValueError, match=cure):
        Run.load(tmp_path / "run")
    model = Run.load(tmp_path / "run", {"labs": (Reader, writer)}).model
    assert isinstance(model.encoders[0], Reader)
    with pytest.raises(ValueError, match="networks names 'lab', which is no modality of this run: they are labs, scan"):
        Run.load(tmp_path / "run", {"lab": (Reader, writer)})


def test_networks_of_another_shape_are_refused_in_one_line(tmp_path):
    run = trained(tmp_path / "run")
    other = {"labs": (Reader, lambda code_dim: general.VectorDecoder(code_dim, 3, 2))}
    with pytest.raises(ValueError, match=r"model\.safetensors holds the weights of other networks than these") as told:
        _ = Run.load(run.folder, other).model
    assert "\n" not in str(told.value)


def test_networks_of_a_module_of_ones_own_are_imported_again(tmp_path):
    """They were defined in a file beside the script that trained; a script that can import it needs no more."""
    (tmp_path / "mynets.py").write_text(textwrap.dedent(OF_A_USER))
    train = """
        import numpy as np
        from mynets import Reader, writer
        from workbench import Config, MultimodalDataset, fit, modalities_of
        table = np.random.default_rng(0).normal(size=(30, 3))
        data, _ = MultimodalDataset.from_arrays({"labs": table, "other": table[:, :2]})
        config = Config.make(data=data.name, steps=2, batch_size=8, compiled="off", device="cpu")
        made = modalities_of(data, networks={"labs": (Reader, writer)})
        fit(config, "run", data=data, modalities=made, progress=False)
    """
    read = """
        from pathlib import Path
        from workbench import Run
        print(type(Run.load(Path("run")).model.encoders[0]).__module__)
    """
    train, read = train.replace('"run"', '__import__("pathlib").Path("run")'), read
    done = python(train, tmp_path, PACKAGE, tmp_path)
    assert not done.returncode, done.stderr
    again = python(read, tmp_path, PACKAGE, tmp_path)
    assert again.stdout == "mynets\n", again.stderr
    (tmp_path / "elsewhere").mkdir()
    without = python(read.replace('"run"', '"../run"'), tmp_path / "elsewhere")
    assert "mynets:Reader, a network of 'labs', cannot be imported here: give them" in without.stderr


def test_the_examples_of_the_readme(tmp_path, monkeypatch):
    readme = (PACKAGE / "data" / "README.md").read_text()
    found = re.findall(r"<!-- tested: take away -->\n```python\n(.*?)```", readme, re.DOTALL)
    rng = np.random.default_rng(0)
    labs = pandas.DataFrame(rng.normal(size=(60, 3)), columns=["na", "k", "ca"])
    labs.iloc[9:20, 1] = np.nan
    texts = ["no finding" if i % 3 else None for i in range(60)]
    train, _ = MultimodalDataset.from_arrays({"labs": labs, "report": texts}, name="hospital")
    config = Config.make(data=train.name, steps=3, batch_size=8, latent_dim=4, device="cpu", compiled="off")
    fit(config, tmp_path / "run", data=train, progress=False)
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
