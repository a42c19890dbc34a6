"""Data sets from a user's own arrays: splits, labels, what is missing, names, and what is refused."""

import inspect
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from workbench import MultimodalDataset
from workbench.data.dataset import Splits
from workbench.data.own.raw import items_in

N = 40
CPU = torch.device("cpu")


def arrays(n: int = N, seed: int = 0) -> dict:
    """Three modalities of one kind each: images, a frame with holes, strings."""
    rng = np.random.default_rng(seed)
    labs = pd.DataFrame(rng.normal(3.0, 2.0, (n, 3)), columns=["na", "k", "ca"])
    labs.iloc[::5, 1] = np.nan
    labs.iloc[4] = np.nan
    reports = [None if i % 7 == 3 else f"case {i}" for i in range(n)]
    return {"ct": rng.integers(0, 256, (n, 9, 8), dtype=np.uint8), "labs": labs, "report": reports}


def made(**changes) -> Splits:
    """A data set of them; a change of a modality's name replaces its array, other changes are arguments."""
    given = arrays()
    options = {name: changes.pop(name) for name in list(changes) if name not in given}
    return MultimodalDataset.from_arrays({**given, **changes}, **{"name": "hospital", **options})


def rows_of(data: MultimodalDataset):
    return data.batch(torch.arange(len(data)), torch.Generator())


def test_a_data_set_of_arrays():
    train, test = made(split=np.arange(N) >= 30)
    assert (len(train), len(test), train.split, test.split) == (30, 10, "train", "test")
    assert train.modalities == ("ct", "labs", "report") and train.shapes == ((1, 9, 8), (3,), (7,))
    assert train.own and not train.labelled and train.classes is None and train.labels.tolist() == [0] * 30
    assert train.name == test.name and train.name.startswith("hospital-") and len(train.name) == len("hospital-") + 8
    batch, given = rows_of(test), {name: array[30:] for name, array in arrays().items()}
    np.testing.assert_allclose(batch.values[0][:, 0], given["ct"] / 255, rtol=1e-6)
    scaler = StandardScaler().fit(arrays()["labs"][:30])
    np.testing.assert_allclose(batch.values[1], scaler.transform(given["labs"]), atol=1e-5)
    assert train.encodings[2].original(batch.values[2], batch.present[2]) == given["report"]
    assert batch.present.tolist() == [[True] * 10, [True] * 10, [report is not None for report in given["report"]]]


def test_statistics_are_those_of_the_training_part_that_is_present():
    test, told = np.arange(N) % 4 == 0, np.arange(N) % 3 != 0
    train, _ = made(split=test, present={"labs": told})
    scaler = StandardScaler().fit(arrays()["labs"].to_numpy()[~test & told])
    np.testing.assert_allclose(train.encodings[1].mean, scaler.mean_)
    np.testing.assert_allclose(train.encodings[1].scale, scaler.scale_)


def test_missing_patterns_are_kept():
    told = np.ones((N, 3), dtype=bool)
    told[10:20, 0] = False
    train, test = made(present=told, split=np.arange(N) % 2 == 0)
    expected = told.copy()
    expected[4, 1] = False
    expected[[i for i in range(N) if i % 7 == 3], 2] = False
    assert np.array_equal(train.present, expected[1::2]) and np.array_equal(test.present, expected[::2])
    labs = arrays()["labs"].to_numpy()
    assert np.array_equal(rows_of(test).values[1].isnan(), np.isnan(labs[::2])), "single entries, too"
    whole = MultimodalDataset.from_arrays({"a": np.arange(6.0), "b": np.arange(6.0)})
    assert whole.train.present is None and whole.test.present is None


def test_frames_say_by_name_what_is_present():
    told = pd.DataFrame({"report": np.arange(N) % 3 > 0, "ct": np.arange(N) % 5 > 0})
    train, _ = made(present=told)
    by_name, _ = made(present={name: told[name].to_numpy() for name in told})
    assert train.name == by_name.name and torch.equal(train.present, by_name.present)


def test_batches_go_round_as_those_of_any_data_set():
    train = made().train
    batches = train.batches(8, CPU, torch.Generator().manual_seed(0))
    seen = torch.cat([next(batches).values[0].flatten(1) for _ in range(batches.steps_per_epoch)])
    assert len(seen.unique(dim=0)) == len(train)
    assert train.to("meta").storages[0].values.device.type == "meta"


@given(st.integers(6, 60), st.floats(0.1, 0.7), st.integers(0, 3), st.integers(1, 3))
def test_a_share_is_drawn_of_every_class_alike(count, share, seed, classes):
    labels = np.arange(count) % classes
    options = {"split": share, "seed": seed, "kinds": {"x": "counts"}}
    parts = MultimodalDataset.from_arrays({"x": np.arange(count)}, labels, **options)
    shown = [rows_of(part).values[0].flatten().int().tolist() for part in parts]
    assert sorted(shown[0] + shown[1]) == list(range(count)) and len(shown[1]) == max(1, round(share * count))
    for label in range(classes):
        here = sum(labels[i] == label for i in shown[1])
        assert abs(here - share * (labels == label).sum()) <= 1.5
    again = MultimodalDataset.from_arrays({"x": np.arange(count)}, labels, **options)
    assert again.train.name == parts.train.name


def test_other_splits():
    words = np.where(np.arange(N) < 30, "train", "test")
    one, other, third = made(split=words), made(split=words.tolist()), made(split=pd.Series(words == "test"))
    assert [len(part) for part in one] == [30, 10] and one.train.name == other.train.name == third.train.name
    drawn = made(split=np.float32(0.25))
    assert [len(part) for part in drawn] == [30, 10], "numbers of numpy are numbers"
    everything = MultimodalDataset.from_arrays({"x": np.arange(5.0)}, split=np.zeros(5, dtype=bool))
    assert [len(part) for part in everything] == [5, 0]


def test_labels():
    train, test = made(labels=["ill" if i % 3 else "well" for i in range(N)], split=np.arange(N) >= 30)
    assert train.classes == ("ill", "well") and train.labelled
    assert test.labels.tolist() == [0 if i % 3 else 1 for i in range(30, N)]
    for classes in (np.arange(N) % 3 + 5, torch.arange(N) % 3 + 5.0, pd.Series(np.arange(N) % 3 + 5, dtype=object)):
        assert made(labels=classes).train.classes == (5, 6, 7)
    attributes = pd.DataFrame({"smokes": np.arange(N) % 2 == 0, "male": np.arange(N) % 3 == 0})
    found = made(labels=attributes).train
    assert found.classes == ("smokes", "male") and found.labels.dtype == torch.bool and found.labels.shape == (32, 2)


def test_other_content_has_another_name():
    raw, both = arrays(), {"report": ["a", "b"] * 20}
    contents = [{"ct": raw["ct"] // 2}, {"labs": raw["labs"] * 2}, {"report": [f"case {i}" for i in range(N)]}, both]
    contents += [{"labels": np.arange(N) % 2}, {"present": {"ct": np.arange(N) % 2 == 0}}, {"seed": 1}]
    contents += [both | {"kinds": {"report": "categories"}}, {"name": "clinic"}, {}]
    assert len({made(**changes).train.name for changes in contents}) == 10


def calls(function) -> int:
    """How many Python functions a function calls."""
    seen = 0

    def count(frame, event, argument):
        nonlocal seen
        seen += event == "call"

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return seen


def test_nothing_is_done_item_by_item():
    """Of 100,000 rows, no more functions are called than of a few."""
    table = np.random.default_rng(0).normal(size=(100_000, 30))
    images = np.zeros((100_000, 2, 2), np.uint8)

    def build(n):
        return MultimodalDataset.from_arrays({"a": table[:n, :10], "b": table[:n, 10:], "ct": images[:n]})

    build(50)  # brings what is imported later
    few = calls(lambda: build(50))
    assert calls(lambda: build(100_000)) < few + 100
    assert [len(part) for part in build(100_000)] == [80_000, 20_000]


class Column(Sequence):
    """A column as polars has one: numpy reads it, but its numbers do not pick entries of it."""

    def __init__(self, entries):
        self.entries = entries

    def __len__(self):
        return len(self.entries)

    def __getitem__(self, i):
        if isinstance(i, np.generic):
            raise TypeError(f"cannot select elements using key of type {type(i)}")
        return self.entries[i]

    def __array__(self, dtype=None, copy=None):
        return np.array([np.nan if x is None else x for x in self.entries], dtype)


class Frame:
    """A frame that is not pandas'."""

    columns = ("na", "k")

    def __len__(self):
        return N


def test_columns_of_other_libraries_are_read():
    numbers = [None if i % 7 == 3 else i / 2 for i in range(N)]
    ours, theirs = (made(labs=labs).train for labs in (pd.Series(numbers, dtype=float), Column(numbers)))
    assert torch.equal(rows_of(ours).values[1].isnan(), rows_of(theirs).values[1].isnan())
    torch.testing.assert_close(rows_of(ours).values[1], rows_of(theirs).values[1], equal_nan=True)


CT, LABS = arrays()["ct"], arrays()["labs"]
ABSENT = np.arange(N) < 0
REFUSED = [
    (dict(labs=LABS[:-1]), r"numbers of items \(ct has 40, labs has 39, report has 40\): give each a row for"),
    (dict(labels=[0] * 39), "there are 39 labels for 40 items: give one for every item"),
    (dict(labels=[0, None] * 20), "items 1, 3, 5, 7, 9 and 15 more have no label: give every item one, or labels=None"),
    (dict(labels=["ill", np.nan] * 20), "items 1, 3, 5, 7, 9 and 15 more have no label: give every item one"),
    (dict(labels=np.linspace(0, 1, N)), "labels are classes, 0.02.* is none: give whole numbers or strings"),
    (dict(labels=pd.Series([0, 1.5] * 20, dtype=object)), "labels are classes, 1.5 is none"),
    (dict(labels=[0.0, np.inf] * 20), "labels are classes, inf is none"),
    (dict(labels=pd.Series(pd.date_range("2020-01-01", periods=N))), r"labels are classes, .*2020, 1, 1.* is none"),
    (dict(labels=np.zeros((N, 2))), r"labels of several columns .* Boolean, not float64 of shape \(40, 2\): give"),
    (dict(labs=LABS.assign(k=np.nan)), "^labs: column 'k' holds no entry in the training part, only NaN: leave it out"),
    (dict(labs=LABS * np.nan), "^labs: is absent in every item of the training part: leave this modality out"),
    (dict(present={"ct": ABSENT}), "^ct: is absent in every item of the training part"),
    (dict(report=[None] * N), "^report: is absent in every item of the training part"),
    (dict(report=["a"] * 39 + ["Ä"], split=np.arange(N) > 30), "^report: string 39 .'Ä'. holds .Ä., which the"),
    (dict(report=["a"] * 39 + ["abc"], split=np.arange(N) > 30), "^report: string 39 .'abc'. has 3 characters, at mo"),
    (dict(ct=[*CT[:-1], CT[0, :4]]), r"^ct: its items have several shapes, \(4, 8\) and \(9, 8\)"),
    (dict(ct=CT * 1.0), r"^ct: images are uint8 or lie in \[0, 1\], these run from 0 to 255: divide by 255"),
    (dict(ct=CT.astype(int)), "^ct: int64 of shape .* is no kind of data: give images as uint8"),
    (dict(labs=LABS.replace(LABS.iloc[3, 0], np.inf)), "^labs: column 'na' holds infinite values: put NaN"),
    (dict(present=np.arange(N * 3).reshape(N, 3) >= 9), "items 0, 1 and 2 have no modality at all: leave them out"),
    (dict(present=np.ones((N, 2), dtype=bool)), r"present is bool of shape \(40, 2\): it must be Boolean of shape"),
    (dict(present={"ct": np.ones(N)}), r"present\['ct'\] is float64 of shape \(40,\): it must be Boolean"),
    (dict(present={"mri": ABSENT}), "present names 'mri', which is no modality here: they are ct, labs, report"),
    (dict(kinds={"mri": "image"}), "kinds names 'mri', which is no modality here"),
    (dict(kinds={"labs": "numbers"}), "^labs: unknown kind 'numbers': choose one of image, text, vector"),
    (dict(kinds={"labs": "counts"}), "^labs: column 'na' holds .* no count"),
    (dict(split=0.0), "split 0.0 is no share of the items for testing: choose one between 0 and 1, such as 0.2"),
    (dict(split=0.99), "0 of 40 items are left to train on: at least 2 are needed"),
    (dict(split=np.arange(N) > 0), "1 of 40 items is left to train on: at least 2 are needed"),
    (dict(split=["train"] * 39 + ["dev"]), "split holds 'dev': its entries are 'train' or 'test'"),
    (dict(split=np.ones(3, dtype=bool)), r"split has shape \(3,\): give a fraction, or one entry for each of 40 items"),
    (dict(name="My Data"), "name 'My Data' becomes part of a folder's: use small letters"),
    (dict(name="faces"), "name 'faces' is that of a data set that comes with the package: choose another one"),
    (dict(name="mnist-svhn"), "name 'mnist-svhn' is that of a data set"),
    (dict(labs=LABS.set_index("na"), labels=pd.Series([0] * N)), "rows of labs and labels are indexed differently"),
    (dict(split=pd.Series(np.arange(N) > 30, LABS.index[::-1])), "rows of labs and split are indexed differently"),
    (dict(present={"ct": pd.Series(~ABSENT, LABS.index[::-1])}), r"rows of labs and present\['ct'\] are indexed"),
    (dict(present=pd.DataFrame({"mri": ABSENT})), "present names 'mri', which is no modality here: they are ct, labs"),
    (dict(labs=pd.concat([LABS, LABS], axis=1)), "^labs: two columns are named 'na': rename one"),
    (dict(report="abc"), "^report: str is no array: give an array, a DataFrame or a list of strings"),
    (dict(labs={"na": [1.0], "k": [2.0]}), "^labs: dict is no array: give an array, a DataFrame or a list of strings"),
    (dict(labs={*range(N)}), "^labs: set is no array"),
    (dict(labs=Frame()), r"^labs: Frame of .* is no DataFrame of pandas: give it by its to_pandas\(\) or to_numpy\(\)"),
    (dict(present=Frame()), "^present: Frame of .* is no DataFrame of pandas"),
    (dict(labels=(i for i in range(N))), "^labels: generator is no array: give an array"),
    (dict(split=None), "^split: NoneType is no array"),
    (dict(split=np.float32(1.5)), "split 1.5 is no share of the items for testing"),
    (dict(present=True), "^present: bool is no array"),
    (dict(present={"ct": True}), r"^present\['ct'\]: bool is no array"),
    (dict(labs=LABS.assign(site="A")), "^labs: column 'na' holds numbers and column 'site' categories"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_cannot_be_a_data_set_is_refused_in_one_line(changes, message):
    with pytest.raises(ValueError, match=message) as error:
        made(**changes)
    assert "\n" not in str(error.value)


def test_names_of_modalities():
    for odd in ({}, {"": [1.0]}, {"a,b": [1.0]}):
        with pytest.raises(ValueError, match=r"no modality is given|needs a name without a comma"):
            MultimodalDataset.from_arrays(odd)
    for odd in (LABS, CT, None):  # past the tests' own check of types, which users do without
        with pytest.raises(ValueError, match=r"(DataFrame|ndarray|NoneType) does not name its modalities: give"):
            inspect.unwrap(items_in)(odd)
    with pytest.raises(ValueError, match="two modalities cannot be told apart by the name 'L': rename one"):
        MultimodalDataset.from_arrays({"labs": LABS, "L": LABS})
    with pytest.raises(ValueError, match="site: column 0 holds the level 'D' in row 5"):
        table = np.array([["A"], ["B"], ["A"], ["B"], ["A"], ["D"]])
        MultimodalDataset.from_arrays({"site": table}, split=np.arange(6) > 3)
