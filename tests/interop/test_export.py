"""Exported models say what the model says, to a process that cannot import the package."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import exported_user
import numpy as np
import pytest
import torch
from exported_user import fused
from helpers import tiny_batch, tiny_model
from own_arrays import arrays
from own_runs import shell, trained
from torch import nn

from workbench.config import Config
from workbench.data.own.encodings import Image, Text
from workbench.distributions import Mixture
from workbench.fusion import FUSIONS
from workbench.interop.export import WEIGHTS, export
from workbench.modality import make_modalities
from workbench.runs.run import Run, model_of

ITEMS = 15


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """A run of a few steps on one modality of each kind."""
    return trained(tmp_path_factory.mktemp("run"), latent_dim=5, style_dim=2, prior_weight=0.3)[0]


def digits(_: Run):
    """An untrained model with the networks of Tables 10 to 12, no styles, and raw arrays for it."""
    made = make_modalities(("handwriting", "street", "text"), ((1, 28, 28), (3, 32, 32), (8,)))
    encodings = Image((1, 28, 28), "HW"), Image((3, 32, 32), "HWC"), Text(8)
    model = model_of(Config(), [replace(m, encoding=e) for m, e in zip(made, encodings, strict=True)]).eval()
    rng = np.random.default_rng(0)
    handwriting, street = (rng.integers(0, 256, (ITEMS, *s), dtype=np.uint8) for s in ((28, 28), (32, 32, 3)))
    return model, {"handwriting": handwriting, "street": street, "text": ["seven", "two", "nine three"[:8]] * 5}


@pytest.fixture(scope="module")
def taken(run, tmp_path_factory):
    """Takes a model away: the folder of the export, and what it says of raw arrays here or in another process."""
    place = tmp_path_factory.mktemp("taken")

    @cache
    def take(name):
        model, raw = MODELS[name](run)
        export(run if name == "kinds" else model, str(place / name))
        (place / f"{name}.json").write_text(json.dumps({key: listed(x) for key, x in raw.items()}))
        called = place / name, place / f"{name}.json", place / f"{name}.npz"
        if name == "few":
            exported_user.main(*called)
        else:  # by somebody who cannot import the package
            kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            command = [sys.executable, Path(exported_user.__file__), *called]
            subprocess.run(command, cwd=place, env=kept, check=True, timeout=300)
        return place / name, model, raw, np.load(called[-1])

    return take


def listed(raw):
    """Raw arrays as JSON holds them, None where something is missing."""
    raw = raw.to_numpy(dtype=object) if hasattr(raw, "to_numpy") else raw
    if isinstance(raw, list):
        return [None if x is None else x if isinstance(x, str) else x.tolist() for x in raw]
    return json.loads(json.dumps(raw.tolist()).replace("NaN", "null"))


def kinds(run: Run):
    """One modality of each kind."""
    return run.model, {name: x[:ITEMS] for name, x in arrays(seed=1).items()}


def few(run: Run):
    """Two of them."""
    model, raw = kinds(run)
    chosen = [model.modalities[model.place(name)] for name in FEW]
    return model_of(run.config, chosen).eval(), {name: raw[name] for name in FEW}


FEW = ("labs", "report")
MODELS = {"few": few, "kinds": kinds, "digits": digits}
SLOW = [("kinds", name) for name in arrays()] + [("digits", name) for name in ("handwriting", "street", "text")]
NAMES = [*(("few", name) for name in FEW), *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize(("which", "name"), NAMES)
@torch.no_grad()
def test_encoders_and_decoders_say_the_same(which, name, size, taken):
    """Also where entries are missing, and where the whole modality is; tables are decoded to their own units."""
    _, model, raw, found = taken(which)
    q, m = model.encode(raw), model.place(name)
    expected = {"mean": q.content.mean, "logvar": q.content.logvar}
    expected |= {"style_mean": q.style.mean, "style_logvar": q.style.logvar}
    assert len(q.present[m]) == ITEMS and q.present[m].sum() > 5
    for what, value in expected.items():
        encoded = found[f"{name} {what} {size}"]
        assert np.abs(encoded - value[m].numpy())[q.present[m]].max(initial=0) < 1e-6
        assert np.isfinite(encoded).all(), "whoever is absent must not spoil a sum"
    style, content = torch.from_numpy(found[f"{name} code"]).split([model.style_dim, model.content_dim], dim=1)
    mean = model.modalities[m].likelihood.mean(model.decode_one(m, content, style))
    decoded = model.modalities[m].encoding.original(mean).to_numpy() if name == "labs" else mean.numpy()
    assert np.allclose(found[f"{name} decoded {size}"], decoded, rtol=1e-6, atol=1e-6)
    assert name != "labs" or 50 < decoded.mean() < 200, "in the units of the table, which are far from zero"


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize(
    ("which", "given"),
    [("few", None), ("few", ["labs"])]
    + [pytest.param("kinds", given, marks=pytest.mark.slow) for given in (None, ["ct", "report"], ["labs"])],
)
@torch.no_grad()
def test_posteriors_are_fused_in_numpy(fusion, which, given, taken):
    _, model, raw, found = taken(which)
    mean, logvar = (np.stack([found[f"{name} {what} 5"] for name in model.names]) for what in ("mean", "logvar"))
    q = model.encode(raw)
    present = (q.present & model.mask(given, q.present)).numpy()
    some = present.any(0)
    posterior = model.infer(q, given, fusion, 0.3)
    parts = fused(fusion, *(x[:, some].astype(np.float64) for x in (mean, logvar)), present[:, some], 0.3)
    if isinstance(posterior, Mixture):
        weights, q = posterior.weights.numpy()[:, some], posterior.components
        assert np.allclose([weight for weight, *_ in parts], weights, atol=1e-6)
    else:
        q = posterior.unsqueeze(0)
        weights = np.ones((1, some.sum()))
    for k, (_, mean, variance) in enumerate(parts):
        used = weights[k] > 0  # components of weight zero stand for nothing
        assert np.allclose(mean[used], q.mean[k].numpy()[some][used], atol=1e-5)
        assert np.allclose(variance[used], q.logvar[k].exp().numpy()[some][used], rtol=1e-5)


def test_model_json_says_what_there_is(run, untraced, tmp_path):
    assert WEIGHTS.keys() == FUSIONS.keys(), "every fusion has its formula"
    folders = export(run, tmp_path / "kinds"), export(digits(run)[0], tmp_path / "digits")
    described, alone = (json.loads((folder / "model.json").read_text()) for folder in folders)
    inference = {name: WEIGHTS[name] for name in ("dynamic_prior", "mixture")}
    assert described["fusion"] == {"objective": "mmjsd", "inference": inference, "prior_weight": 0.3}
    assert (described["content_dim"], described["style_dim"], described["posterior"]) == (3, 2, "gaussian")
    assert described["versions"]["torch"] == torch.__version__ and described["run"]["config"] == run.config.to_json()
    labs = described["modalities"][1]
    assert labs["name"] == "labs" and labs["encoding"]["columns"] == ["na", "k", "ca"]
    assert np.allclose(labs["encoding"]["mean"], run.model.modalities[1].encoding.mean)
    files = {entry[name]["file"] for entry in described["modalities"] for name in ("encoder", "decoder")}
    assert {path.name for path in folders[0].iterdir()} == {"model.json", *files} and len(files) == 12
    assert alone["fusion"] is None and alone["run"] is None, "a model alone does not know how it was trained"


def test_a_model_without_encodings_stays_as_it_is(tmp_path):
    """In its precision and mode; programs are in single precision."""
    model, batch = tiny_model(2, style_dim=1).train(), tiny_batch(2)
    folder = export(model, tmp_path / "exported")
    encode = torch.export.load(folder / "0_a_encoder.pt2").module()
    assert model.training and batch.values[0].dtype == torch.float64
    q = model.encode(batch)
    expected = q.content.mean[0], q.content.logvar[0], q.style.mean[0], q.style.logvar[0]
    pairs = zip(encode(batch.values[0].float()), expected, strict=True)
    assert all(torch.allclose(a.double(), b, atol=1e-6) for a, b in pairs)


@pytest.fixture
def untraced(monkeypatch):
    """Programs are not traced, which takes a second each, and what is written of them is not theirs."""
    monkeypatch.setattr(torch.export, "export", lambda *_, **options: None)
    monkeypatch.setattr(torch.export, "save", lambda program, stream: stream.write(b"whole"))


def test_another_thing_is_not_overwritten_and_an_export_is_replaced_whole_or_not_at_all(
    tmp_path, untraced, monkeypatch
):
    (tmp_path / "thesis").mkdir()
    for file, name in ((tmp_path / "thesis" / "chapter.txt", "thesis"), (tmp_path / "file", "file")):
        file.write_text("words")
        with pytest.raises(ValueError, match=f"{name} holds something else than an exported model: choose another"):
            export(tiny_model(1), tmp_path / name)
        assert file.read_text() == "words"
    folder = export(tiny_model(2), tmp_path / "exported")
    export(tiny_model(1), folder)
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(kept) == ["0_a_decoder.pt2", "0_a_encoder.pt2", "model.json"]

    def full_disk(program, path):
        path.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch.export, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        export(tiny_model(2), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported", "file", "thesis"]  # nothing temporary


class Branching(nn.Module):
    features = 4

    def forward(self, x):
        return x.flatten(1) if x.sum().item() > 0 else -x.flatten(1)


def test_what_cannot_be_traced_is_refused_by_name(tmp_path):
    model = tiny_model(1)
    model.encoders[0] = Branching()
    with pytest.raises(ValueError, match=r"^the encoder of 'a' cannot be exported, torch\.export says: .+\Z"):
        export(model, tmp_path / "exported")
    assert not [*tmp_path.iterdir()]


def test_in_a_shell(run, untraced, tmp_path, monkeypatch, capsys):
    assert not shell(monkeypatch, "export", run.folder, "--out", tmp_path / "exported")
    assert f"Written: {tmp_path / 'exported'}" in capsys.readouterr().out
    assert json.loads((tmp_path / "exported" / "model.json").read_text())["run"]["config"] == run.config.to_json()
