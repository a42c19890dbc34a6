"""Tables that come with the project: what their publications say of them, and that they are data sets like others."""

import io
import zipfile
from collections import Counter

import numpy as np
import pytest
import torch

from workbench.config import TABLES, Config
from workbench.data import tables, tables_made
from workbench.data.images import DataError
from workbench.data.load import load_dataset
from workbench.data.sources import TABLE_SETS, describe, files_of, is_known, is_rendered, parse_name
from workbench.evaluation import PARTS, parts_by_default, parts_of, train_and_evaluate
from workbench.files import DamagedFile
from workbench.runs import Run
from workbench.training import fit


@pytest.fixture(scope="module")
def mfeat():
    return tables.read_tables("mfeat")


@pytest.fixture(scope="module")
def miniacc():
    return tables.read_tables("miniacc")


def test_mfeat_are_2000_digits_in_six_views(mfeat):
    shapes = dict(fourier=76, profile=216, karhunen=64, morphology=6, pixels=240, zernike=47)
    assert {name: x.shape for name, x in mfeat.arrays.items()} == {name: (2000, n) for name, n in shapes.items()}
    assert {name: len(columns) for name, columns in mfeat.columns.items()} == shapes
    assert np.bincount(mfeat.labels).tolist() == [200] * 10 and not mfeat.outcome
    assert mfeat.arrays["fourier"][0, :3] == pytest.approx([0.065882, 0.19731, 0.10383])
    assert {*np.unique(mfeat.arrays["pixels"])} == {*range(7)}


def test_the_views_are_of_the_same_digits(mfeat):
    """Karhunen-Loeve coefficients are linear in pixels: those of another digit would not be."""
    pixels, karhunen = (mfeat.arrays[name].astype(float) for name in ("pixels", "karhunen"))
    design = np.column_stack([pixels, np.ones(2000)])
    rest = karhunen - design @ np.linalg.lstsq(design, karhunen, rcond=None)[0]
    shuffled = np.roll(karhunen, 700, axis=0)
    other = shuffled - design @ np.linalg.lstsq(design, shuffled, rcond=None)[0]
    assert rest[:, :10].var() < 0.1 * karhunen[:, :10].var() < 0.5 * other[:, :10].var()


def test_miniacc_lacks_what_its_vignette_says(miniacc):
    has = np.column_stack([~np.isnan(x).all(1) for x in miniacc.arrays.values()])
    assert has.sum(0).tolist() == [79, 90, 46, 90, 80]
    patterns = Counter(map(tuple, has.astype(int).tolist()))
    assert patterns[1, 1, 1, 1, 1] == 43 and patterns[1, 1, 0, 1, 1] == 32 and patterns[0, 1, 0, 1, 0] == 12
    assert all(np.isnan(x).any(1).tolist() == np.isnan(x).all(1).tolist() for x in miniacc.arrays.values())
    assert {*np.unique(miniacc.arrays["copy_number"][has[:, 1]])} == {-2, -1, 0, 1, 2}
    assert {*np.unique(miniacc.arrays["mutations"][has[:, 3]])} == {0, 1}


def test_outcomes_belong_to_patients(miniacc):
    first = miniacc.items.index("TCGA-OR-A5J1")
    assert (miniacc.outcome["days"][first], miniacc.outcome["died"][first]) == (1355, True)
    assert miniacc.outcome["died"].tolist() == (miniacc.labels == "died").tolist()
    assert miniacc.arrays["rna"][first, 0] == pytest.approx(np.log2(1 + 1487.0317))


@pytest.mark.parametrize("name", TABLES)
def test_they_are_data_sets_by_name(name):
    train, test = load_dataset(name, "train"), load_dataset(name, "test")
    assert [*TABLE_SETS] == [*TABLES] and is_known(name) and not is_rendered(name) and files_of(name) == {}
    assert train.name == name and train.sources == parse_name(name) and describe(name).startswith("real")
    whole, other = tables.read_tables(name), load_dataset(name, "test", seed=1)
    assert len(train) + len(test) == len(whole.items) == len(load_dataset(name, "train", seed=1)) + len(other)
    kept = [torch.cat([part.labels for part in pair]).bincount().tolist() for pair in ((train, test),)]
    assert kept == [np.unique(whole.labels, return_counts=True)[1].tolist()]
    assert not torch.equal(test.storages[0].values.nan_to_num(), other.storages[0].values.nan_to_num())


def test_a_run_finds_them_again_and_knows_what_they_lack(tmp_path):
    config = Config.make("quick", data="miniacc", steps=2, batch_size=8)
    assert (config.beta, config.content_first) == (1.0, 0.0)
    run = Run(fit(config, tmp_path / "run", progress=False).folder)
    assert not run.own_data and run.dataset("train").present.sum(0).tolist() == [58, 67, 31, 67, 58]
    assert {"coherence", "quality"}.isdisjoint(parts_of(run, None, None))
    with pytest.raises(ValueError, match="judges"):
        parts_of(run, ["coherence"], None)


def test_without_being_asked_all_is_evaluated_that_tables_have(tmp_path):
    config = Config.make("quick", data="miniacc", steps=20, latent_dim=4, device="cpu", compiled="off")
    run = train_and_evaluate(config, tmp_path / "run", progress=False, limit=20)
    assert parts_by_default("miniacc") == tuple(run.metrics["evaluated_with"]["parts"])
    assert run.metrics["linear_probe"].keys() and "coherence" not in run.metrics
    assert parts_by_default("uci-text") == PARTS
    assert train_and_evaluate(config, tmp_path / "run", progress=False, limit=20).metrics == run.metrics


def test_what_is_not_there_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="did you mean 'mfeat'"):
        tables.read_tables("mfeats")
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    with pytest.raises(DataError, match=r"mfeat\.npz is missing"):
        tables.read_tables("mfeat")
    (tmp_path / "data" / "tables").mkdir(parents=True)
    (tmp_path / "data" / "tables" / "mfeat.npz").write_bytes(b"PK nothing")
    with pytest.raises(DamagedFile, match=r"mfeat\.npz"):
        tables.read_tables("mfeat")


def wheel(path, classes):
    """A wheel with two digits in six views of two columns."""
    with zipfile.ZipFile(path, "w") as file:
        for k, short in enumerate(tables_made.VIEWS.values()):
            rows = np.column_stack([np.array([[1, 2], [3, 4]]) / 7 + k, classes[k]])
            text = io.StringIO()
            np.savetxt(text, rows, delimiter=",", header="0,1,0", comments="")
            file.writestr(tables_made.WHEEL.format(short), text.getvalue())
    return path


def test_files_of_a_registry_are_kept_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    path = wheel(tmp_path / "some.whl", [[3, 8]] * 6)
    made = []
    for _ in range(2):
        tables_made.main("mfeat", str(path))
        made.append((tmp_path / "data" / "tables" / "mfeat.npz").read_bytes())
    assert made[0] == made[1]
    found = tables.read_tables("mfeat")
    assert found.labels.tolist() == [3, 8]
    assert found.arrays["zernike"] == pytest.approx(np.array([[1, 2], [3, 4]]) / 7 + 5, rel=1e-6)
    with pytest.raises(DataError, match="classes of zernike"):
        tables_made.mfeat(wheel(tmp_path / "other.whl", [[3, 8]] * 5 + [[8, 3]]))
