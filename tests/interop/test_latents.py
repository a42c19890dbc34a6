"""The table of latents says what the model says, item by item, and can be read back."""

import sys
from importlib.util import find_spec

import numpy as np
import pandas
import pytest
import torch
from own_arrays import KINDS, arrays
from own_runs import shell, trained
from pandas.testing import assert_frame_equal

from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.distributions import Gaussian, Mixture
from workbench.interop.latents import latents, moments, write
from workbench.training.loop import fit

LEVELS = np.array(["ill", "well"])
LABELS = LEVELS[np.arange(48) % 2]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A run of a few steps on one modality of each kind, its data, and the latents of the test split."""
    run, data = trained(tmp_path_factory.mktemp("run"), labels=LABELS, style_dim=1)
    return run, data, latents(run, data.test)


def content(table):
    return table.filter(like="content_mean").to_numpy(float)


@torch.no_grad()
def test_each_item_has_its_row(fitted):
    """Against a loop over items, each encoded alone from the arrays."""
    run, data, table = fitted
    model, batch = run.model, data.test.batch(torch.arange(len(data.test)), torch.Generator())
    assert len(table) == len(data.test) and table["label"].tolist() == LEVELS[data.test.labels].tolist()
    for n, row in table.iterrows():
        alone = type(batch)(tuple(x[n : n + 1] for x in batch.values), batch.present[:, n : n + 1], batch.labels[:1])
        q, posteriors = model.infer(alone, fusion="dynamic_prior"), model.encode(alone)
        assert np.allclose(row.filter(like="content_mean").astype(float), q.mean[0], atol=1e-6)
        assert np.allclose(row.filter(like="content_logvar").astype(float), q.logvar[0], atol=1e-6)
        for m, name in enumerate(model.names):
            assert row[f"present_{name}"] == bool(alone.present[m, 0])
            expected = posteriors.style.mean[m, 0, 0] if alone.present[m, 0] else np.nan
            assert np.allclose(row[f"{name}_style_mean_0"], expected, atol=1e-6, equal_nan=True)
    assert table.shape[1] == 1 + 6 + 2 * 3 + 6 * 2 and table.columns[0] == "label"


@torch.no_grad()
def test_frames_keep_their_index(fitted):
    model = fitted[0].model
    labs = arrays(seed=3)["labs"].iloc[5:9].set_index(pandas.Index(["p7", "p1", "p3", "p9"], name="patient"))
    table = latents(model, {"labs": labs, "report": ["case 1", None, "case 2", "case 3"]}, fusion="product")
    assert table.index.tolist() == ["p7", "p1", "p3", "p9"] and "label" not in table
    expected = model.infer({"labs": labs.iloc[[1]]}, fusion="product").mean
    assert np.allclose(content(table.loc[["p1"]]), expected, atol=1e-6)
    with pytest.raises(ValueError, match="indexed differently"):
        latents(model, {"labs": labs, "signs": pandas.DataFrame(np.zeros((4, 2)))})


@torch.no_grad()
def test_given_some(fitted):
    """A single modality's posterior is its encoder's, as in the evaluation; items without it have none."""
    run, model = fitted[0], fitted[0].model
    labs = arrays()["labs"].iloc[2:6]  # of the third of them there is nothing
    table = latents(run, {"labs": labs, "report": ["case 1"] * 4}, given=["labs"])
    q = model.encode({"labs": labs.drop(4)}).content[model.place("labs")]
    assert np.allclose(content(table.drop(4)), q.mean, atol=1e-6)
    assert table.loc[4].filter(like="content").isna().all() and table.loc[4, "present_report"]
    assert not [name for name in table if name.startswith("report_style")]
    asked = latents(run, {"labs": labs.drop(4)}, ["L"], fusion="dynamic_prior")
    assert np.allclose(content(asked), model.infer({"labs": labs.drop(4)}, fusion="dynamic_prior").mean, atol=1e-6)
    assert_frame_equal(latents(run, {"labs": labs.drop(4)}, "labs", fusion="dynamic_prior"), asked)
    with pytest.raises(ValueError, match="unknown modality 'mri'"):
        latents(run, {"labs": labs}, ["mri"])
    with pytest.raises(ValueError, match="nothing is given: name some of ct, labs"):
        latents(run, {"labs": labs}, [])


def test_moments_of_a_mixture():
    """Against many draws of its components."""
    generator = torch.Generator().manual_seed(0)
    components = Gaussian(torch.tensor([[[-1.0, 2.0]], [[3.0, 2.0]]]), torch.tensor([[[0.0, 1.0]], [[1.0, -2.0]]]))
    mean, logvar = moments(Mixture(components, torch.tensor([[0.25], [0.75]])))
    parts = components.draws(100_000, generator)[:, :, 0]
    first = torch.rand(100_000, generator=generator) < 0.25
    draws = torch.where(first.unsqueeze(1), parts[:, 0], parts[:, 1])
    assert torch.allclose(mean[0], draws.mean(0), atol=0.02)
    assert torch.allclose(logvar[0].exp(), draws.var(0), rtol=0.02)


def test_a_mixture_is_the_default_of_its_methods(tmp_path):
    run, data = trained(tmp_path / "run", labels=LABELS, objective="mmvae")
    table, batch = latents(run, data.test), data.test.batch(torch.arange(len(data.test)), torch.Generator())
    assert np.allclose(content(table), run.model.infer(batch, fusion="mixture").mean().detach(), atol=1e-6)
    assert_frame_equal(latents(run.model, data.test), table)


def test_attributes_are_columns_by_name(tmp_path):
    table = arrays()["labs"].drop(4)
    attributes = pandas.DataFrame({"smokes": np.arange(47) % 3 == 0, "male": np.arange(47) % 2 == 0}, index=table.index)
    run, (train, _) = trained(tmp_path, {"labs": table}, attributes)
    assert np.array_equal(latents(run, train)[["label_smokes", "label_male"]], train.labels.numpy())


def test_data_of_others_is_refused(fitted):
    """Arrays that were standardised by their own means would be read wrongly, without a word."""
    run, data, _ = fitted
    others = MultimodalDataset.from_arrays(arrays(seed=1), name="clinic", kinds=KINDS).test
    fewer = MultimodalDataset.from_arrays({"labs": arrays()["labs"].drop(4)}).test
    for wrong, message in (
        (fewer, "the modalities of the data are labs, of the model"),
        (others, r"'labs' of clinic-.* was fitted to other data than the model's: give the"),
        (data, "Splits holds no items: give a MultimodalDataset or arrays by name"),
    ):
        with pytest.raises(ValueError, match=message):
            latents(run, wrong)


def test_a_written_table_can_be_read_back(fitted, tmp_path):
    table, csv = fitted[2], tmp_path / "latents.csv"
    assert write(table, str(csv)) == csv and [*tmp_path.iterdir()] == [csv]
    assert_frame_equal(pandas.read_csv(csv, index_col="item"), table, check_dtype=False, check_names=False)
    with pytest.raises(ValueError, match=r"latents\.xlsx is neither \.csv nor \.parquet"):
        write(table, tmp_path / "latents.xlsx")
    if find_spec("pyarrow"):
        assert_frame_equal(pandas.read_parquet(write(table, tmp_path / "latents.parquet")), table)


@pytest.mark.parametrize("names", [("RID", "VISCODE"), (None, "visit"), (None, None), (0, "visit")])
def test_every_level_of_an_index_is_a_column(names, tmp_path):
    index = pandas.MultiIndex.from_product([range(3), ["bl", "m12"]], names=names)
    table = pandas.DataFrame({"content_mean_0": np.arange(6.0)}, index=index)
    back = pandas.read_csv(write(table, tmp_path / "latents.csv"))
    expected = [f"item_{k}" if name is None else str(name) for k, name in enumerate(names)]
    assert [*back] == [*expected, "content_mean_0"] and back[expected[1]].tolist() == ["bl", "m12"] * 3


def test_what_is_missing_is_named(fitted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match="parquet needs pyarrow: pip install pyarrow"):
        write(fitted[2], tmp_path / "latents.parquet")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ValueError, match=r"a table of latents needs pandas: pip install 'workbench\[notebooks\]'"):
        latents(fitted[0], fitted[1].test)
    assert not [*tmp_path.iterdir()]


def test_in_a_shell(tiny_root, fitted, tmp_path, monkeypatch, capsys):
    config = Config(data="uci-text", repeats=2, batch_size=8, steps=2, device="cpu", compiled="off")
    run, out = fit(config, tmp_path / "run", progress=False), tmp_path / "latents.csv"
    assert not shell(monkeypatch, "latents", run.folder, "--out", out, "--given", "T", "--fusion", "product")
    assert f"Written: {out}" in capsys.readouterr().out
    expected = latents(run, run.dataset(), ["T"], "product")
    assert len(expected) == len(run.dataset()) // 2 and expected["label"].between(0, 9).all()
    assert_frame_equal(pandas.read_csv(out, index_col=0), expected, check_dtype=False, check_names=False)
    error = shell(monkeypatch, "latents", fitted[0].folder, "--out", out)
    assert "was trained on arrays" in error and "\n" not in error
