"""Splits of real tables, and what is measured on them."""

import numpy as np
import pytest

from workbench.config import Config
from workbench.data.tables import TEST, load_tables, read_tables
from workbench.studies import tables
from workbench.studies.survival import concordance, risks

DRAWS = 9


@pytest.fixture(scope="module")
def split():
    """All of miniacc."""
    return tables.split_of("miniacc", 1)


@pytest.fixture(scope="module")
def simple(split):
    """What simple ways make of it."""
    return tables.of_baselines(split, ["mean", "kNN"], DRAWS, ["protein from rna"])


def test_a_split_is_that_of_the_data_set_and_fewer_items_are_of_every_class_alike():
    whole, few = tables.split_of("mfeat", 0), tables.split_of("mfeat", 0, 100)
    assert len(whole.data.test) == len(few.data.test) == round(TEST["mfeat"] * 2000) and len(few.data.train) == 100
    assert np.bincount(few.tables.labels[~few.tested]).tolist() == [10] * 10
    assert np.array_equal(few.shown["pixels"], whole.shown["pixels"])
    assert {*few.tables.items} < {*whole.tables.items}
    ours, theirs = (part.train.labels for part in (whole.data, tables.split_of("mfeat", 1).data))
    assert len(ours) == len(theirs) and not np.array_equal(whole.tested, tables.split_of("mfeat", 1).tested)
    assert load_tables("mfeat", "train").labels.equal(ours)
    with pytest.raises(ValueError, match="leaves 1400 items to learn from: ask for no more than these, not 1401"):
        tables.split_of("mfeat", 0, 1401)


def test_what_is_given_and_imputed_is_there(split):
    found = {name: (target, given, truth) for name, target, given, truth in tables.cases(split, ["protein from rna"])}
    assert [*found] == [*split.tables.arrays, "protein from rna"]
    assert [*found["protein from rna"][1]] == ["rna"] and "protein" not in found["protein"][1]
    complete = np.all([~np.isnan(x).all(1) for x in split.shown.values()], 0)
    for target, given, truth in found.values():
        assert not any(np.isnan(x).all(1).any() for x in (truth, *given.values()))
        assert len(truth) == complete.sum() or len(given) == 1
        assert np.array_equal(truth[:1], split.shown[target][complete][:1])


def test_column_means_err_by_about_one_deviation_and_neighbours_less(split, simple):
    for name, target, _, truth in tables.cases(split, ["protein from rna"]):
        mean, scale = np.nanmean(split.learnt[target], 0), np.nanstd(split.learnt[target], 0)
        there = scale > 0
        error = np.sqrt(np.mean(((truth - mean)[:, there] / scale[there]) ** 2))
        assert simple["mean"][name]["rmse"] == pytest.approx(error, abs=0.02)  # of draws, whose mean is not quite it
    assert simple["kNN"]["rna"]["rmse"] < simple["mean"]["rna"]["rmse"]


def test_survival_is_told_by_all_columns_that_a_patient_has(split, simple):
    days, died = (split.tables.outcome[key].astype(float) for key in ("days", "died"))
    columns = np.hstack([*split.tables.arrays.values()])
    columns = np.where(np.isnan(columns), np.nanmean(columns[~split.tested], 0), columns)
    told = risks(columns[~split.tested], days[~split.tested], died[~split.tested], columns[split.tested], split.seed)
    wanted = concordance(told, days[split.tested], died[split.tested])
    assert simple["columns"]["survival"]["concordance"] == pytest.approx(wanted)


def test_a_model_is_judged_in_the_same_cases_and_its_numbers_are_rows(split, simple, tmp_path):
    config = Config.make("quick", data="miniacc", objective="mopoe", steps=40, device="cpu", latent_dim=4)
    run = tables.trained(split, config, tmp_path)
    found = tables.of_model(run, split, "mixture_of_products", DRAWS, ["protein from rna"])
    assert {*found} == {*simple["kNN"], *simple["columns"]}
    assert all(0 < found[name]["rmse"] < 1.5 and 0 < found[name]["held 80%"] <= 1 for name in simple["kNN"])
    rows = tables.rows_of(split, "MoPoE", found)
    assert len(rows) == sum(map(len, found.values()))
    assert rows[0] | {"value": 0} == {
        "data": "miniacc", "items": 69, "split": 1, "method": "MoPoE", "of": "rna", "measure": "rmse", "value": 0,
    }  # fmt: skip
    assert tables.trained(split, config, tmp_path).folder == run.folder  # which is not trained again
    assert read_tables("miniacc").labels.tolist()[:3] == split.tables.labels.tolist()[:3]
