"""From arrays to a trained model and back to arrays: what a researcher with data of their own does."""

import inspect
import json
import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import seeded
from own_arrays import KINDS, N, arrays
from sklearn.preprocessing import StandardScaler
from torch import nn

import workbench
from workbench import Config, MultimodalDataset, Run, evaluate, fit, modalities_of
from workbench.data.missing import rows_of
from workbench.evaluation import evaluate_into
from workbench.likelihoods import LIKELIHOODS, Laplace
from workbench.modality import OWN
from workbench.model import MultimodalVAE
from workbench.networks import faces
from workbench.networks.general import VectorDecoder, VectorEncoder
from workbench.objectives import METHODS
from workbench.runs import modalities as modality_file
from workbench.runs.run import model_of


def data_set(**options):
    return MultimodalDataset.from_arrays(arrays(), **{"name": "hospital", "kinds": KINDS, **options})


def config_of(of: MultimodalDataset, **changes) -> Config:
    fields = dict(data=of.name, steps=3, batch_size=8, latent_dim=4, device="cpu", importance_samples=2)
    return Config(**{**fields, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on one modality of each kind, and its data."""
    splits = data_set(labels=np.arange(N) % 2)
    folder = tmp_path_factory.mktemp("trained") / "run"
    return fit(config_of(splits.train, steps=6, style_dim=1), folder, data=splits.train, progress=False), splits


def test_a_new_modality_comes_from_outside(tmp_path):
    """Networks that the package does not know, their data, training and model, in under 15 lines."""

    class Encoder(nn.Sequential):
        features = 16

        def __init__(self):
            super().__init__(nn.Unflatten(1, (1, 20)), nn.Conv1d(1, 4, 4, 4), nn.Flatten(), nn.Linear(20, 16))

    class Decoder(nn.Sequential):
        def __init__(self, code):
            super().__init__(nn.Linear(code, 20), nn.Unflatten(1, (4, 5)), nn.ConvTranspose1d(4, 1, 4, 4), nn.Flatten())

    own = {"rhythm": (Encoder, Decoder)}
    data = MultimodalDataset.from_arrays({"rhythm": np.random.rand(64, 20), "age": np.arange(64)}, name="ward").train
    modalities = modalities_of(data, networks=own, likelihoods={"rhythm": "laplace"})
    run = fit(Config.make(data=data.name, steps=20, device="cpu"), tmp_path, data, modalities=modalities)
    model = Run(tmp_path, networks=own).model
    # ----------------------------------------------------------------------------------------------------- up to here
    assert run.trained and run.history()["step"] == [20] and model.names == ("rhythm", "age")
    assert isinstance(model.encoders[0], Encoder) and model.modalities[0].likelihood == Laplace()
    given = np.random.default_rng(1).random((5, 20))
    ours, theirs = (m.infer({"rhythm": given}).components.mean for m in (model, run.model))
    assert torch.equal(ours, theirs), "in the process that trained it, the run knows the networks by itself"
    assert model.original(model.generate(3))["rhythm"].shape == (3, 20)
    with pytest.raises(ValueError, match=r"'rhythm' were defined .*: Run.load\(folder, networks={'rhythm': \(Encoder"):
        _ = Run(tmp_path).model
    source = inspect.getsource(test_a_new_modality_comes_from_outside)
    lines = [line for line in source.split("    # ---")[0].splitlines()[2:] if line.strip()]
    assert len(lines) < 15 and "class Encoder" in lines[0] and "model =" in lines[-1]


HEARTS = """
from torch import nn

class Encoder(nn.Linear):
    features = 8
    def __init__(self):
        super().__init__(3, 8)
    def forward(self, x):
        return super().forward(x.nan_to_num())

def decoder(code_dim):
    return nn.Linear(code_dim, 3)
"""
ELSEWHERE = """
import json, sys
import numpy as np, pandas as pd, torch
from workbench import Run
model = Run(__import__("pathlib").Path(sys.argv[1]), trust=True).model
frame = pd.read_csv(sys.argv[2])
q = model.infer({"labs": frame[["ca", "na", "k"]], "report": ["case 1"] * len(frame)}, fusion="product")
out = model.original(model.generate(q.mean, style=torch.zeros(len(model.names), len(frame), model.style_dim)))
json.dump({"labs": out["labs"].to_dict("list"), "report": out["report"], "site": out["site"].to_dict("list"),
           "mean": q.mean.tolist(), "ct": out["ct"].tolist(), "type": str(out["ct"].dtype)}, sys.stdout)
"""


def here(arguments, folder) -> str:
    """What the script prints, in this process."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setattr(sys, "argv", ["-c", *map(str, arguments)])
        exec(ELSEWHERE, {})
    return printed.getvalue()


def elsewhere(arguments, folder) -> str:
    """What the script prints in a process of its own, which can import what lies in the folder."""
    environment = {"PYTHONPATH": f"{folder}:{Path(workbench.__file__).parents[1]}", "PATH": ""}
    command = [sys.executable, "-c", ELSEWHERE, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("python", [here, pytest.param(elsewhere, marks=pytest.mark.slow)])
def test_from_arrays_to_a_folder_to_another_process_and_back(tmp_path, monkeypatch, python):
    """Nothing but the run folder goes along: raw arrays in, original units out, the same numbers as here."""
    (tmp_path / "hearts.py").write_text(HEARTS)
    monkeypatch.syspath_prepend(tmp_path)
    import hearts

    train, _ = data_set()
    own = {"networks": {"labs": (hearts.Encoder, hearts.decoder)}, "likelihoods": {"labs": Laplace(0.5)}}
    modalities = modalities_of(train, **own)
    run = fit(config_of(train, style_dim=1), tmp_path / "run", train, progress=False, modalities=modalities)
    frame = arrays()["labs"].iloc[5:9]
    frame.to_csv(tmp_path / "new.csv", index=False)
    model = run.model
    with pytest.raises(ValueError, match="hearts:Encoder, a network of 'labs', is not of this package"):
        Run.load(run.folder)
    assert type(Run.load(run.folder, trust=True).model.encoders[1]) is hearts.Encoder, "imported again"
    q = model.infer({"labs": frame, "report": ["case 1"] * 4}, fusion="product")
    here = model.original(model.generate(q.mean, style=torch.zeros(6, 4, 1)))
    there = json.loads(python([run.folder, tmp_path / "new.csv"], tmp_path))
    np.testing.assert_allclose(there["mean"], q.mean.detach(), rtol=1e-4, atol=1e-5)
    assert [*there["labs"]] == ["na", "k", "ca"] and {*there["site"]} == {"site", "sex"}
    for name in ("na", "k", "ca"):
        np.testing.assert_allclose(there["labs"][name], here["labs"][name], rtol=1e-4)
    assert there["report"] == here["report"] and there["site"] == here["site"].to_dict("list")
    assert there["type"] == "uint8" and np.abs(np.array(there["ct"]) - here["ct"].astype(int)).max() <= 1
    with pytest.raises(ValueError, match=r"was trained on arrays \(hospital-.*\), which it does not keep: give them"):
        run.dataset()
    sys.modules.pop("hearts")
    (tmp_path / "hearts.py").unlink()
    with pytest.raises(ValueError, match="hearts:Encoder, a network of 'labs', cannot be imported here: give them"):
        _ = Run(run.folder, trust=True).model


@pytest.mark.parametrize("objective", METHODS)
def test_no_nan_reaches_a_gradient(objective):
    """Single entries are missing in every kind of table, and whole modalities, too."""
    train, _ = data_set()
    config = config_of(train, objective=objective, style_dim=1)
    model = model_of(config, modalities_of(train))
    batch = train.batch(torch.arange(len(train)), seeded())
    assert sum(bool(x.isnan().any()) for x in batch.values) == 3 and (batch.values[4] < 0).any()
    assert not batch.present.all() and not batch.present[:, batch.present.any(0)].all()
    loss = METHODS[objective].objective(model, batch, config, seeded())
    loss.total.backward()
    assert loss.total.isfinite() and all(term.isfinite() for term in loss.terms.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(any(p.grad.any() for p in encoder.parameters()) for encoder in model.encoders)


def test_what_is_missing_counts_nothing():
    """The loss is that of a batch whose missing entries and modalities hold anything else."""
    train, _ = data_set()
    model = MultimodalVAE(modalities_of(train), 4)
    batch = train.batch(torch.arange(16), seeded())
    filled = []
    for x, there in zip(batch.values, batch.present, strict=True):
        other = torch.randint(2, x.shape).to(x.dtype)
        filled.append(torch.where(there.view(-1, *[1] * (x.dim() - 1)), x, other))
    one, other = (model.encode(b).content.mean for b in (batch, batch._replace(values=tuple(filled))))
    assert torch.equal(one[batch.present], other[batch.present])


def test_defaults_by_kind():
    modalities = {m.name: m for m in modalities_of(data_set().train)}
    assert {name: type(m.likelihood).__name__ for name, m in modalities.items()} == {
        "ct": "Laplace", "labs": "Normal", "signs": "Bernoulli", "visits": "NegativeBinomial", "site": "Categorical",
        "report": "Categorical",
    }  # fmt: skip
    sizes = {"ct": 216, "labs": 3, "signs": 2, "visits": 2, "site": 2, "report": 6}
    assert {name: m.weight for name, m in modalities.items()} == {name: 216 / size for name, size in sizes.items()}
    assert {name: m.style_weight for name, m in modalities.items()} == dict.fromkeys(sizes, 1) | {"report": 5}
    assert [m.letter for m in modalities.values()] == ["C", "L", "S", "V", "Si", "R"]


def test_what_is_given_by_name_takes_the_place_of_defaults():
    pair = (lambda: VectorEncoder(3), lambda code_dim: VectorDecoder(code_dim, 3))
    made = modalities_of(
        data_set().train, networks={"labs": pair}, likelihoods={"labs": "laplace", "ct": "bernoulli"},
        weights={"ct": 2}, style_weights={"report": 0.5},
    )  # fmt: skip
    ct, labs, *_, report = made
    assert (ct.weight, report.style_weight, labs.networks) == (2.0, 0.5, OWN)
    assert labs.likelihood == Laplace() and type(ct.likelihood) is LIKELIHOODS["bernoulli"]
    assert (labs.make_encoder, labs.make_decoder) == pair


TRAIN = data_set().train
CONFIG = config_of(TRAIN)
NAMED = "names 'mri', which is no modality here: they are ct, labs, signs, visits, site, report"
REFUSED = [
    (lambda: modalities_of(TRAIN, networks={"mri": (VectorEncoder, VectorDecoder)}), f"networks {NAMED}"),
    (lambda: modalities_of(TRAIN, likelihoods={"mri": "normal"}), f"likelihoods {NAMED}"),
    (lambda: modalities_of(TRAIN, weights={"mri": 1.0}), f"^weights {NAMED}"),
    (lambda: modalities_of(TRAIN, style_weights={"mri": 1.0}), f"style_weights {NAMED}"),
    (lambda: modalities_of(TRAIN, weights={"ct": -1.0}), "weights of 'ct' is -1.0: a weight is not negative"),
    (lambda: modalities_of(TRAIN, networks={"ct": VectorEncoder}), r"networks of 'ct' must be a pair \(Encoder, Dec"),
    (lambda: modalities_of(TRAIN, likelihoods={"labs": "gauss"}), "unknown likelihood 'gauss': choose one of laplace"),
    (lambda: modalities_of(TRAIN, likelihoods={"labs": "bernoulli"}), "'labs', of kind 'vector', cannot be 'bernoull"),
    (lambda: fit(config_of(TRAIN, data="uci-text"), data=TRAIN), "for the data 'uci-text', but 'hospital-.*' is given"),
    (lambda: fit(CONFIG, modalities=modalities_of(TRAIN)), "modalities are those of a data set: give it, too"),
    (lambda: fit(CONFIG, data=TRAIN, modalities=modalities_of(TRAIN)[1:]), "the modalities are labs, .* those"),
    (lambda: fit(CONFIG, data=TRAIN, modalities=modalities_of(data_set(seed=3).train)), "made of other data"),
    (lambda: fit(CONFIG), r"unknown source 'hospital' .* given as fit\(config, data=...\)"),
    (lambda: fit(config_of(TRAIN, batch_size=64), data=TRAIN), "batch size 64 does not fit hospital-"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_cannot_be_trained_is_refused_in_one_line(call, message, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value) and not [*tmp_path.rglob("config.json")], "before anything is written"


class VolumeEncoder(nn.Sequential):
    features = 16

    def __init__(self) -> None:
        super().__init__(nn.Unflatten(1, (1, 4, 4, 4)), nn.Conv3d(1, 2, 2, stride=2), nn.ReLU(), nn.Flatten())


class VolumeDecoder(nn.Sequential):
    def __init__(self, code_dim: int) -> None:
        up = nn.ConvTranspose3d(2, 1, 2, stride=2)
        super().__init__(nn.Linear(code_dim, 16), nn.Unflatten(1, (2, 2, 2, 2)), up, nn.Flatten())


def test_convolutions_over_volumes_are_trained_and_evaluated(tmp_path):
    rng = np.random.default_rng(0)
    splits = MultimodalDataset.from_arrays({"ct": rng.normal(size=(40, 64)), "age": rng.normal(size=40)}, name="ward")
    own = modalities_of(splits.train, networks={"ct": (VolumeEncoder, VolumeDecoder)}, likelihoods={"ct": "laplace"})
    run = fit(config_of(splits.train), tmp_path, splits.train, False, modalities=own)
    assert evaluate(run, data=splits, progress=False, parts=["latent"])["test_items"] == 8
    assert run.read("modalities.json")["modalities"][0]["networks"] == [
        f"{__name__}:VolumeEncoder", f"{__name__}:VolumeDecoder"
    ]  # fmt: skip


def test_networks_that_do_not_fit_are_refused_before_anything_is_written(tmp_path):
    modalities = modalities_of(TRAIN, networks={"labs": (lambda: VectorEncoder(7), lambda c: VectorDecoder(c, 3, 2))})
    with pytest.raises(ValueError, match=r"labs.*layers\.0"):
        fit(config_of(TRAIN), tmp_path / "run", TRAIN, modalities=modalities)
    deaf = type("Deaf", (nn.Linear,), {"features": 8, "__init__": lambda self: nn.Linear.__init__(self, 3, 8)})
    modalities = modalities_of(TRAIN, networks={"labs": (deaf, lambda c: VectorDecoder(c, 3, 2))})
    with pytest.raises(ValueError, match="'labs' gives features that are not finite for an item that lacks an entry"):
        fit(config_of(TRAIN), tmp_path / "run", TRAIN, modalities=modalities)
    assert not (tmp_path / "run").exists()


def test_a_folder_keeps_to_one_data_set_and_one_choice_of_modalities(trained, tmp_path):
    run, splits = trained
    weights = (run.folder / "model.safetensors").read_bytes()
    again = fit(run.config, run.folder, data=splits.train, progress=False)
    assert again == run and (run.folder / "model.safetensors").read_bytes() == weights
    assert fit(run.config, run.folder, progress=False) == run, "a trained run needs no data"
    other = modalities_of(splits.train, weights={"ct": 3.0})
    with pytest.raises(ValueError, match="holds a run with other modalities: choose another folder or remove it"):
        fit(run.config, run.folder, data=splits.train, modalities=other)
    changed = MultimodalDataset.from_arrays(arrays(seed=1), name="hospital", kinds=KINDS).train
    assert changed.name != splits.train.name
    with pytest.raises(ValueError, match="holds a run with another configuration"):
        fit(run.config.replace(data=changed.name), run.folder, data=changed)


def test_folders_are_named_by_content_and_by_what_was_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    one, other = (MultimodalDataset.from_arrays({"x": np.arange(20.0) ** k}, name="ward").train for k in (1, 2))
    chosen = modalities_of(one, likelihoods={"x": "laplace"}), modalities_of(one, weights={"x": 2.0})
    folders = [
        fit(config_of(data, steps=1), data=data, progress=False, modalities=modalities).folder
        for data, modalities in ((one, None), (other, None), *((one, modalities) for modalities in chosen))
    ]
    assert len({*folders}) == 4 and all(folder.parent == folders[0].parent for folder in folders)
    assert all(Run(folder).model.names == ("x",) for folder in folders)


def test_what_stands_in_modalities_json(trained):
    run, splits = trained
    kept = run.read("modalities.json")
    assert kept["data"] == run.config.data == splits.train.name and kept["own"] and kept["labelled"]
    assert kept["classes"] == [0, 1] and [m["networks"] for m in kept["modalities"]] == ["by kind"] * 6
    scaler = StandardScaler().fit(arrays()["labs"][splits_rows(splits)])
    np.testing.assert_allclose(kept["modalities"][1]["encoding"]["mean"], scaler.mean_)
    assert [m.encoding for m in run.modalities] == [*splits.train.encodings]


def test_networks_whose_module_has_moved_are_found(trained):
    kept = trained[0].read("modalities.json")
    kept["modalities"][0]["networks"] = [f"workbench.networks.portraits:Image{what}" for what in ("Encoder", "Decoder")]
    ct = modality_file.read(kept)[0]
    assert (ct.make_encoder, ct.make_decoder) == (faces.ImageEncoder, faces.ImageDecoder)


def splits_rows(splits) -> np.ndarray:
    """Which of the items are for training, by the labs that are there, which all differ."""
    back = splits.train.encodings[1].original(splits.train.storages[1].values)["na"].to_numpy()
    given = arrays()["labs"]["na"].to_numpy()
    rows = np.array([np.isclose(value, back, rtol=1e-6).any() for value in given])
    rows[4] = np.isnan(back).any()
    assert rows.sum() == len(splits.train)
    return rows


def test_what_is_not_named_is_absent(trained):
    run, splits = trained
    model, labs = run.model, arrays()["labs"]
    batch = model.batch_of({"labs": labs[5:8], "report": ["case 1", None, "case 2"]})
    assert batch.present.int().tolist() == [[0] * 3, [1] * 3, [0] * 3, [0] * 3, [0] * 3, [1, 0, 1]]
    one, other = model.encode({"labs": labs[5:8]}), model.encode({"L": labs[5:8]})
    assert torch.equal(one.content.mean, other.content.mean) and torch.equal(one.present, other.present)
    whole, row = splits.test.batch(torch.arange(len(splits.test)), seeded()), 3
    each = zip(model.modalities, whole.values, whole.present, strict=True)
    given = {m.name: m.encoding.original(x[[row]]) for m, x, present in each if present[row]}
    mine, theirs = (model.infer(q, fusion="product").mean for q in (model.encode(given), model.encode(whole)))
    torch.testing.assert_close(mine[0], theirs[row], rtol=1e-4, atol=1e-5)


def test_what_a_model_cannot_read_is_refused_in_one_line(trained):
    model, given = trained[0].model, arrays()
    labs = given["labs"]
    for raw, message in [
        ({"labs": labs[["na", "k"]]}, "^labs: the table lacks 'ca': give the columns of the training"),
        ({"labs": labs.to_numpy()[:, :2]}, "^labs: the table has 2 columns where the training had 3"),
        ({"report": ["a very long case"]}, "^report: string 0 .* has 16 characters, at most 6 were there in training"),
        ({"site": pd.DataFrame({"site": ["D"], "sex": ["f"]})}, "^site: column 'site' holds the level 'D' in row 0"),
        ({"ct": np.zeros((1, 5, 5, 3), np.uint8)}, r"^ct: images of shape \(5, 5, 3\) where \(8, 9, 3\) is wanted"),
        ({"mri": labs}, "unknown modality 'mri': this model has C, L, S, V, Si, R"),
        ({"labs": labs, "report": ["case 1"]}, "differ in their numbers of items .labs has 48, report has 1"),
        ({"labs": labs}, "items 4 have no modality at all: leave them out"),
        ({"labs": labs[:1], "L": labs[:1]}, "'labs' is given twice"),
        ({"labs": labs[5:8], "site": given["site"][6:9]}, "the rows of labs and site are indexed differently"),
        ({}, "no modality is given"),
    ]:
        with pytest.raises(ValueError, match=message) as error:
            model.infer(raw)
        assert "\n" not in str(error.value)


def test_generations_are_in_the_user_s_units(trained):
    model = trained[0].model
    with torch.no_grad():  # every measurement is generated where the mean of the training part is
        for parameter in model.decoders[1].parameters():
            parameter.zero_()
    made = model.original(model.generate(4, generator=seeded()))
    assert [*made] == [*arrays()]
    np.testing.assert_allclose(made["labs"], np.tile(model.modalities[1].encoding.mean, (4, 1)), rtol=1e-5)
    assert [*made["labs"].columns] == ["na", "k", "ca"] and {*made["site"]["sex"]} <= {"f", "m"}
    assert made["ct"].shape == (4, 8, 9, 3) and made["ct"].dtype == np.uint8 and (made["visits"] >= 0).all()
    assert all(isinstance(report, str) for report in made["report"])
    single = model.original({"labs": torch.ones(1, 3)})
    expected = np.add(model.modalities[1].encoding.mean, model.modalities[1].encoding.scale)
    np.testing.assert_allclose(single["labs"].to_numpy()[0], expected, rtol=1e-6)


def test_a_run_on_the_package_s_own_data_reads_arrays_and_needs_no_data(tiny_root, monkeypatch):
    run = fit(Config(data="uci-text", repeats=1, batch_size=8, steps=2, device="cpu"), progress=False)
    images = run.dataset().storages[0].values[:3, 0].numpy()
    monkeypatch.setattr("workbench.runs.run.load_dataset", None)
    model = Run(run.folder).model
    q = model.encode({"handwriting": images, "text": ["  three", "one", None]})
    assert q.present.tolist() == [[True] * 3, [True, True, False]]
    assert model.original(model.generate(2))["handwriting"].dtype == np.uint8


def test_evaluation_of_what_the_data_allows(tmp_path):
    rng, labels = np.random.default_rng(0), np.arange(60) % 2
    table = rng.normal(size=(60, 2)) + labels[:, None]
    table[::7] = np.nan
    table[::3, 0] = np.nan
    splits = MultimodalDataset.from_arrays({"a": table, "b": np.arange(60.0)}, labels, split=0.4, name="ward")
    run = fit(config_of(splits.train, steps=20), str(tmp_path), data=splits.train, progress=False)
    metrics = evaluate_into(run, progress=False, data=splits)
    assert metrics["test_items"] == 24 and {"rate", "linear_probe", "linear_probe_full"} <= metrics.keys()
    assert not {"coherence", "quality"} & metrics.keys() and "NaN" not in json.dumps(metrics)
    complete = int(splits.test.present.all(1).sum())
    assert metrics["log_likelihood"]["items"] == complete < 24
    assert run.metrics["evaluated_with"]["parts"] == ["latent", "probe", "full_probe", "likelihood"]
    with pytest.raises(ValueError, match=r"the test part of ward-.* has no items: give one that has some"):
        evaluate(run, data=(splits.train, rows_of(splits.test, torch.zeros(24, dtype=torch.bool))))
    for part in ("coherence", "quality"):
        with pytest.raises(ValueError, match=rf"the part '{part}' needs judges, .*, which ward-.* lacks: leave it out"):
            evaluate(run, data=splits, parts=[part])
    with pytest.raises(ValueError, match=r"was trained on 'ward-.*', but 'hospital-.*' is given"):
        evaluate(run, data=data_set())
    with pytest.raises(ValueError, match="which it does not keep: give them"):
        evaluate(run)


def test_without_labels_or_complete_items_there_is_less_to_evaluate(tmp_path):
    present = np.arange(40)[:, None] % 2 == np.arange(2)
    splits = MultimodalDataset.from_arrays(
        {"a": np.random.default_rng(0).normal(size=(40, 2)), "b": np.arange(40.0)}, present=present, name="ward"
    )
    run = fit(config_of(splits.train), tmp_path, data=splits.train, progress=False)
    metrics = evaluate(run, data=splits, progress=False)
    assert "rate" in metrics and not {"linear_probe", "linear_probe_full", "log_likelihood"} & metrics.keys()
    lacking = {"probe": "labels", "full_probe": "labels", "likelihood": "test items with all modalities"}
    for part, needs in lacking.items():
        with pytest.raises(ValueError, match=rf"the part '{part}' needs {needs}, which ward-.* lacks: leave it out"):
            evaluate(run, data=splits, parts=[part])


def test_the_example_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    readme = (Path(__file__).resolve().parents[3] / "data" / "README.md").read_text()
    (code,) = re.findall(r"<!-- tested: own data -->\n```python\n(.*?)```", readme, re.DOTALL)
    rng = np.random.default_rng(0)
    labs = pd.DataFrame(rng.normal(size=(300, 3)), columns=["na", "k", "ca"])
    labs.iloc[9:90, 1] = np.nan
    given = {"images": rng.integers(0, 256, (300, 8, 8), dtype=np.uint8), "frame": labs}
    texts = ["no finding" if i % 3 else None for i in range(300)]
    shown = {**given, "texts": texts, "diagnoses": np.where(labs["na"] > 0, "ill", "well")}
    assert "steps=1000" in code
    exec(code.replace("steps=1000", "steps=3"), shown)
    assert shown["generated"]["ct"].shape == (5, 8, 8) and [*shown["generated"]["labs"].columns] == ["na", "k", "ca"]
    assert shown["metrics"]["linear_probe"] and shown["train"].classes == ("ill", "well")
    assert [m.weight for m in shown["run"].model.modalities] == [2.0, 64 / 3, 6.4]


def test_the_package_brings_its_names_without_torch():
    code = "import sys, workbench; print('torch' in sys.modules, 'numpy' in sys.modules); print(*workbench.__all__)"
    code += "; import workbench.config; from workbench import Config; print('torch' in sys.modules)"
    code += "; from workbench import *; print(fit.__module__, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "False False",
        "Config MultimodalDataset Run evaluate fit modalities_of train_and_evaluate",
        "False",
        "workbench.training.loop True",
    ]
    with pytest.raises(AttributeError, match="module 'workbench' has no attribute 'fitt'"):
        _ = workbench.fitt
    assert {*workbench.__all__} <= {*dir(workbench)}
