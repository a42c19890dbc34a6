"""Everything that numpy, pandas, Pillow and torch can hand over: what is read, as which kind, and what is refused."""

import datetime
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Pillow
from scipy import sparse

from workbench import MultimodalDataset
from workbench.data.own.encodings import Image
from workbench.data.own.foreign import plain

N = 12
NUMBERS = np.arange(2.0 * N).reshape(N, 2)
HOLES = np.arange(N) % 3 == 1
WORDS = np.array(["a b", "c"] * 6)
DAYS = np.array(["2020-01-01", "2021-06-01"] * 6, dtype="datetime64[ns]")
BYTES = (np.arange(N * 20) * 7 % 256).astype(np.uint8).reshape(N, 4, 5)
ROWS = np.repeat(HOLES[:, None], 2, 1)
VEILED = np.ma.masked_array(BYTES, np.broadcast_to(HOLES[:, None, None], BYTES.shape))


def series(values, dtype=None) -> pd.Series:
    return pd.Series(values, dtype=dtype, name="x")


def pictures(mode: str) -> list:
    grey = [Pillow.fromarray(image) for image in BYTES]
    if mode == "F":
        return [Pillow.fromarray(image / np.float32(255)) for image in BYTES]
    if mode in ("I;16", "I;16B"):
        return [Pillow.fromarray(image.astype("uint16") * 257) for image in BYTES]
    return [x.convert("RGB").convert(mode) if mode in ("YCbCr", "HSV", "LAB") else x.convert(mode) for x in grey]


ACCEPTED = {
    **{f"numpy {kind}": (NUMBERS.astype(kind), "vector") for kind in ("f2", "f4", ">f8", "g", "i1", ">i4", "u8")},
    "numpy bool": (NUMBERS > 3, "binary"),
    "numpy matrix": (NUMBERS.view(np.matrix), "vector"),
    "numpy memory order": (np.asfortranarray(NUMBERS)[::-1], "vector"),
    "numpy masked": (np.ma.masked_array(NUMBERS, ROWS), "vector"),
    "numpy masked integers": (np.ma.masked_array(NUMBERS.astype(int), ROWS), "vector"),
    "numpy masked booleans": (np.ma.masked_array(NUMBERS > 3, ROWS), "binary"),
    "numpy masked words": (np.ma.masked_array(WORDS, HOLES), "text"),
    "numpy masked images": (VEILED, "image"),
    "numpy words": (WORDS, "text"),
    "numpy StringDType": (WORDS.astype(np.dtypes.StringDType()), "text"),
    "numpy StringDType missing": (
        np.array([None if hole else "a" for hole in HOLES], np.dtypes.StringDType(na_object=None)),
        "text",
    ),
    "numpy objects": (np.array([Decimal("1.5"), 2, None] * 4, dtype=object), "vector"),
    "pandas nullable": (pd.DataFrame({"a": [1, None] * 6, "b": [0.5, 1] * 6}).astype({"a": "Int64"}), "vector"),
    "pandas boolean": (pd.DataFrame({"a": [True, None] * 6}, dtype="boolean"), "binary"),
    "pandas string": (series(["a", None] * 6, "string"), "categories"),
    "pandas category": (series(["a", None] * 6, "category"), "categories"),
    "pandas sparse": (series([0.0, 1.0] * 6, "Sparse[float64]"), "vector"),
    "torch half": (torch.tensor(NUMBERS).half(), "vector"),
    "torch bfloat16": (torch.tensor(NUMBERS).bfloat16(), "vector"),
    "torch float8": (torch.tensor(NUMBERS / 8).to(torch.float8_e4m3fn), "vector"),
    "torch bool": (torch.tensor(NUMBERS > 3), "binary"),
    "torch uint8": (torch.tensor(BYTES), "image"),
    "torch sparse": (torch.tensor(NUMBERS).to_sparse(), "vector"),
    **{f"scipy {x}": (getattr(sparse, x)(NUMBERS), "vector") for x in ("csr_array", "csc_matrix", "coo_array")},
    "torch gradient": (torch.tensor(NUMBERS, requires_grad=True), "vector"),
    "torch parameter": (torch.nn.Parameter(torch.tensor(NUMBERS)), "vector"),
    "torch negated view": (torch.tensor(NUMBERS * 1j).conj().imag, "vector"),
    "list of numbers": (NUMBERS.tolist(), "vector"),
    "tuple of rows": (tuple(NUMBERS), "vector"),
    "list of tensors": (list(torch.tensor(NUMBERS)), "vector"),
    "list of words": (WORDS.tolist(), "text"),
    "list with masked": ([np.ma.masked if hole else 1.0 for hole in HOLES], "vector"),
    "list of masked rows": ([*np.ma.masked_array(NUMBERS.astype(int), ROWS * [True, False])], "vector"),
    "list of masked images": ([*VEILED], "image"),
    "range": (range(N), "vector"),
    **{f"pictures {mode}": (pictures(mode), "image") for mode in ("L", "RGB", "RGBA", "F")},
}  # fmt: skip
MASKED = [name for name in ACCEPTED if "masked" in name]

REFUSED = {
    "numpy complex": (NUMBERS + 1j, "which is no number, in row 0: give x.real and x.imag as columns"),
    "numpy fields": (np.zeros(N, dtype=[("a", float)]), r"fields \('a',\) .*: give pandas.DataFrame"),
    "numpy bytes": (WORDS.astype("S"), "b'a b', .*: decode it"),
    **{f"numpy times {x}": (DAYS.astype(f"M8[{x}]"), "it holds times: give numbers") for x in ("D", "us", "ns")},
    "numpy durations": (DAYS - DAYS[0], "it holds times: give numbers"),
    "numpy masked times": (np.ma.masked_array(DAYS, HOLES), "it holds times: give numbers"),
    "numpy fields masked": (np.ma.masked_array(np.zeros(N, dtype=[("a", float)])), "give pandas.DataFrame"),
    "numpy mask in images": (np.ma.masked_array(BYTES, BYTES == 7), "some images have pixels that are NaN and others"),
    "numpy bytes of 0 and 1": (BYTES % 2, r"hold only 0 and 1 as uint8.*: give them as floats"),
    "numpy bool images": (BYTES > 3, "give images as uint8"),
    "numpy objects of times": (np.array([datetime.date(2020, 1, 1)] * N, dtype=object), "no number, .*: give numbers"),
    "numpy objects of durations": (np.array([np.timedelta64(5, "D")] * N, dtype=object), ": give numbers"),
    "pandas times": (series(DAYS), "column 'x' holds times: give numbers"),
    "pandas times of a zone": (series(DAYS).dt.tz_localize("UTC"), "holds times: give numbers"),
    "pandas period": (series(pd.period_range("2020-01", periods=N)), "Period.* is no number"),
    "pandas interval": (series(pd.interval_range(0, N)), "Interval.* is no number|entries of several values"),
    "pandas category of times": (series(DAYS).astype("category"), "levels are strings or whole numbers, give numbers"),
    "pandas marks": (pd.DataFrame({"a": [1, 2] * 6, "b": ["5", "?"] * 6}), "'b' holds '.' in row 1 beside numbers"),
    "numpy marks": (np.array([[1, 2], [3, "?"]] * 6, dtype=object), "such as '.' in row 1: make it NaN"),
    "torch complex": (torch.tensor(NUMBERS) + 1j, "x.real and x.imag"),
    "torch nested": (lambda: torch.nested.nested_tensor([torch.zeros(2)] * N), "is nested: make it dense"),
    "torch quantized": (lambda: torch.quantize_per_tensor(torch.ones(N), 1, 0, torch.quint8), "quantized: give x.deq"),
    "torch meta": (torch.zeros(N, 2, device="meta"), "without data"),
    "bytes": (b"abcdefghijkl", "bytes is no array"),
    "string": ("abcdefghijkl", "str is no array"),
    "list of bytes": ([b"a"] * N, "b'a', .*: decode it"),
    "list of dictionaries": ([{"a": 1}] * N, "is no number"),
    "list of times": ([datetime.datetime(2020, 1, 1)] * N, "give numbers, such as days"),
    "list of half-masked images": (list(np.ma.masked_array(BYTES, BYTES == 7)), "lack some of their pixels"),
    **{f"pictures {mode}": (pictures(mode), r"give x.convert\('L'\)") for mode in ("1", "LA")},
    **{f"pictures {x}": (pictures(x), r"give x.convert\('RGB'\)") for x in ("P", "CMYK", "YCbCr", "HSV", "LAB")},
    "pictures I;16": (pictures("I;16"), "give np.asarray"),
}  # fmt: skip


def made(raw, **options):
    raw = raw() if callable(raw) else raw
    options.setdefault("split", np.arange(N) >= N - 2)
    return MultimodalDataset.from_arrays({"x": raw, "other": NUMBERS}, **options)


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_read(name):
    raw, kind = ACCEPTED[name]
    train, test = made(raw)
    assert train.encodings[0].kind == kind
    found = [part.batch(torch.arange(len(part)), torch.Generator()) for part in (train, test)]
    values, present = torch.cat([x.values[0] for x in found]), torch.cat([x.present[0] for x in found])
    missing = values.isnan().flatten(1).any(1) if values.is_floating_point() else torch.zeros(N, dtype=torch.bool)
    assert ((missing | ~present).numpy() == HOLES).all() == (name in MASKED or "StringDType missing" in name)


@pytest.mark.filterwarnings("ignore:.*(nested|quantize)")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match=f"^x: .*{REFUSED[name][1]}") as error:
        made(REFUSED[name][0])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [n for n in REFUSED if "images" not in n and "pictures" not in n and "marks" not in n])
@pytest.mark.parametrize("kind", ["text", "categories", "counts"])
@pytest.mark.filterwarnings("ignore:.*(nested|quantize)")
def test_no_kind_takes_it_for_something_else(name, kind):
    with pytest.raises(ValueError, match=r"^x: "):
        made(REFUSED[name][0], kinds={"x": kind})


@pytest.mark.parametrize(
    "labels", [DAYS, DAYS - DAYS[0], series(DAYS), DAYS.tolist(), WORDS.astype("S"), NUMBERS[:, 0] + 1j]
)
def test_labels_are_classes(labels):
    if isinstance(labels, list):  # of nanoseconds they are whole numbers that nobody can tell from others
        labels = [datetime.datetime(2020, 1, 1)] * N
    with pytest.raises(ValueError, match=r"labels are classes, .* is none"):
        made(NUMBERS, labels=labels)


def test_masked_labels_and_presence_are_no_values():
    with pytest.raises(ValueError, match="items 1, 4, 7 and 10 have no label"):
        made(NUMBERS, labels=np.ma.masked_array(np.zeros(N, int), HOLES))
    with pytest.raises(ValueError, match="must be Boolean"):
        made(NUMBERS, present={"x": np.ma.masked_array(~HOLES, HOLES)})


def test_nullable_booleans_are_booleans():
    frame = pd.DataFrame({"smoker": [True, False] * 6, "male": [True] * N}).astype("boolean")
    train, _ = made(NUMBERS, labels=frame, present={"x": series(~HOLES, "boolean")})
    assert train.labels.dtype == torch.bool and train.classes == ("smoker", "male")
    assert train.present[:, 0].tolist() == (~HOLES[:10]).tolist()


def test_a_masked_tensor_keeps_its_mask():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls it a prototype
        read = plain(torch.masked.masked_tensor(torch.tensor(NUMBERS), torch.from_numpy(~ROWS)))
    assert np.array_equal(np.ma.getmaskarray(read), ROWS)


class Frame:
    """A frame of another library, which gives its columns by Arrow."""

    columns = ("a",)


def test_other_frames_come_by_arrow_where_pandas_reads_it(monkeypatch):
    monkeypatch.setattr(pd.DataFrame, "from_arrow", lambda raw: pd.DataFrame({"a": NUMBERS[:, 0]}), raising=False)
    assert made(Frame()).train.encodings[0].columns == ("a",)


def test_ranges_of_images_and_what_to_do():
    for low, high, cure in (
        (-0.07, 1.07, "clip"),
        (0, 1.0000001, "clip"),
        (0.0, 255.0, "divide by 255"),
        (-1.0, 1.0, r"\(x - l"),
    ):
        with pytest.raises(ValueError, match=cure):
            Image.fit(np.array([[[low, high]]], dtype=float))


def test_bytes_of_0_and_1_are_no_images_of_a_model_of_floats():
    encoding = Image.fit(BYTES / 255.0)
    with pytest.raises(ValueError, match="hold only 0 and 1"):
        encoding.values(BYTES % 2)
    assert encoding.values(np.zeros_like(BYTES))[1].all(), "black ones are"


FILLER = [
    (np.where(HOLES[:, None], np.inf, NUMBERS), "vector"),
    (np.where(HOLES[:, None], -9, NUMBERS.astype(int)), "counts"),
    (np.where(HOLES, "?", "a").tolist(), "categories"),
    (np.where(HOLES, "Ä" * 99, "a").tolist(), "text"),
    (np.where(HOLES[:, None, None], np.nan, BYTES / 255), "image"),
    (np.where(HOLES[:, None, None], 300.0, BYTES / 255), "image"),
    (pd.DataFrame(np.where(HOLES[:, None], np.inf, NUMBERS), columns=["a", "b"]), "vector"),
    (series(np.where(HOLES, "?", "7")), "categories"),
    (["x" if hole else image for hole, image in zip(HOLES, BYTES, strict=True)], "image"),
    (np.ma.masked_array(np.where(HOLES[:, None], np.inf, NUMBERS), NUMBERS == 0), "vector"),
]


@pytest.mark.parametrize(("raw", "kind"), FILLER)
def test_nobody_looks_at_what_is_absent(raw, kind):
    train, test = made(raw, present={"x": ~HOLES}, kinds={"x": kind})
    assert (~torch.cat([train.present, test.present])[:, 0]).tolist() == HOLES.tolist()


def test_ordered_categoricals_stay_ordered():
    levels = ["low", "mid", "high"]
    raw = pd.DataFrame(
        {"dose": pd.Categorical(["high", "low", None, "mid"] * 3, levels, ordered=True), "sex": ["f", "m"] * 6}
    )
    train, _ = made(raw, labels=raw["dose"].fillna("low"))
    encoding = train.encodings[0]
    assert train.classes == ("low", "mid", "high") and encoding.levels == (("low", "mid", "high"), ("f", "m"))
    values, present = encoding.values(raw)
    assert values[:4].tolist() == [[2, 0], [0, 1], [-1, 0], [1, 1]]
    back = encoding.original(values, present)
    assert back["dose"].dtype == raw["dose"].dtype and back["dose"].equals(raw["dose"])
    plain_json = made(raw.astype(object)).train.encodings[0].to_json()
    assert "ordered" not in plain_json, "as it was kept before"


@pytest.mark.parametrize("value", [1e3, 1e17, -1e17])
def test_what_is_far_from_the_training_part_is_named(value):
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(N, 2)), columns=["na", "k"])
    table.loc[N - 1, "k"] = value
    with pytest.warns(UserWarning, match=r"^x: column 'k' holds .* in row 11, .*e\+.* standard .* \(more than 100"):
        made(table)
    with pytest.raises(ValueError, match="too far from the training part"):
        made(table.assign(k=[*table["k"][:-1], 1e20]))


# containers of single-cell packages


class Annotated:
    """What is asked of an AnnData."""

    def __init__(self, X, rows, columns):
        self.X, self.obs_names, self.var_names = X, pd.Index(rows), pd.Index(columns)


class Several:
    """What is asked of a MuData."""

    def __init__(self, mod):
        self.mod = mod
        self.obs_names = pd.Index(dict.fromkeys(name for table in mod.values() for name in table.obs_names))


def cells(make, several):
    """Six cells: five with amounts of genes, which are stored sparsely, five with proteins; four with both."""
    genes = make(sparse.csr_array(np.arange(15.0).reshape(5, 3)), [f"cell {k}" for k in range(5)], ["x", "y", "z"])
    return several({"rna": genes, "adt": make(np.ones((5, 2)), [f"cell {k}" for k in (5, 1, 2, 3, 4)], ["p", "q"])})


def check_cells(container):
    train, _ = MultimodalDataset.from_arrays(container, split=np.zeros(6, dtype=bool), seed=0)
    assert train.modalities == ("rna", "adt")
    assert train.present.tolist() == [[True, False], *[[True, True]] * 4, [False, True]]
    frame = train.encodings[0].original(train.storages[0].values, train.present[:, 0])
    assert frame.columns.tolist() == ["x", "y", "z"]
    np.testing.assert_allclose(frame.to_numpy()[:5], np.arange(15.0).reshape(5, 3), atol=1e-5)
    alone, _ = MultimodalDataset.from_arrays({"rna": container.mod["rna"]}, split=np.zeros(5, dtype=bool))
    assert len(alone) == 5 and alone.present is None


def test_cells_stand_beside_each_other_by_their_names():
    check_cells(cells(Annotated, Several))
    with pytest.raises(ValueError, match="rna: Annotated has no matrix X"):
        MultimodalDataset.from_arrays({"rna": Annotated(None, range(3), ["a", "b"])})


def test_the_real_containers_are_read():
    anndata, mudata = pytest.importorskip("anndata"), pytest.importorskip("mudata")

    def make(X, rows, columns):
        return anndata.AnnData(X, obs=pd.DataFrame(index=rows), var=pd.DataFrame(index=columns))

    check_cells(cells(make, mudata.MuData))
