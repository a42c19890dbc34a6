"""Raw arrays to values and back: what was given comes back, and statistics are those of the training part alone."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.preprocessing import StandardScaler

from workbench.data.alphabet import ALPHABET
from workbench.data.load import load_dataset
from workbench.data.own import encoding_class, from_json
from workbench.data.own.encodings import ENCODINGS, Encoding, Image, Text
from workbench.data.own.raw import guess
from workbench.data.own.tables import Binary, Categories, Counts, Vector

NUMBERS = st.one_of(st.just(np.nan), st.integers(-(10**6), 10**6).map(lambda thousandths: thousandths / 1000))


def kept(encoding: Encoding) -> Encoding:
    """The encoding as it comes back from a file."""
    return from_json(json.loads(json.dumps(encoding.to_json())))


def round_trip(encoding: Encoding, raw):
    """What comes back of raw data, by an encoding that was written down and read."""
    values, present = encoding.values(raw)
    assert kept(encoding) == encoding and values.shape == (len(raw), *encoding.shape) and len(present) == len(raw)
    return kept(encoding).original(values, present)


@given(st.data(), st.sampled_from(["HW", "1HW", "3HW", "4HW", "HW1", "HW3", "HW4"]), st.booleans())
def test_images_come_back_as_they_were_given(data, layout, bytes_):
    sizes = {"H": data.draw(st.sampled_from([2, 5, 9])), "W": data.draw(st.sampled_from([2, 7]))}
    shape = (data.draw(st.integers(1, 4)), *(sizes.get(axis) or int(axis) for axis in layout))
    elements = st.integers(0, 255) if bytes_ else st.floats(0, 1, width=32)
    raw = data.draw(hnp.arrays(np.uint8 if bytes_ else np.float32, shape, elements=elements))
    encoding = Image.fit(raw)
    channels = int(layout.replace("H", "").replace("W", "") or 1)
    assert encoding.shape == (channels, sizes["H"], sizes["W"])
    back = round_trip(encoding, raw)
    assert back.dtype == raw.dtype and np.array_equal(back, raw)
    values, present = encoding.values(torch.from_numpy(raw))
    first = raw.reshape(len(raw), -1, channels).swapaxes(1, 2) if layout[0] == "H" else raw
    assert values.dtype == torch.float32 and present.all()
    np.testing.assert_allclose(values.flatten(), first.ravel() / (255 if bytes_ else 1), rtol=1e-6)


def test_missing_images():
    images = [np.full((3, 2), 7, np.uint8), None, np.zeros((3, 2), np.uint8)]
    values, present = Image.fit(images).values(images)
    assert present.tolist() == [True, False, True] and (values[1] == 0).all() and guess(images) == "image"
    images[1] = np.nan  # what pandas has in the place of None
    assert Image.fit(images).values(images)[1].tolist() == [True, False, True] and guess(images) == "image"
    floats = np.random.default_rng(0).random((3, 4, 5))
    floats[1] = np.nan
    assert Image.fit(floats).values(floats)[1].tolist() == [True, False, True]
    np.testing.assert_allclose(round_trip(Image.fit(floats), floats), floats, rtol=1e-6)


def test_what_is_taken_back_to_units_is_left_as_it_was():
    present, values = torch.tensor([True, False]), torch.rand(2, 1, 3, 4, dtype=torch.float64)
    kept_values = values.clone()
    back = Image.fit(np.zeros((2, 3, 4))).original(values, present)
    assert np.isnan(back[1]).all() and torch.equal(values, kept_values)


def test_a_trained_size_is_read_in_any_layout():
    encoding = Image.fit(np.zeros((2, 3, 5, 6), np.uint8))
    last = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    assert torch.equal(encoding.values(last)[0], encoding.values(np.moveaxis(last, -1, 1))[0])
    last.flags.writeable = False
    as_floats = encoding.values(last / 255)[0]
    torch.testing.assert_close(as_floats, encoding.values(last)[0])


@given(hnp.arrays(np.float64, st.tuples(st.integers(3, 12), st.integers(1, 4)), elements=NUMBERS))
def test_measurements_are_standardised_as_scikit_learn_does_and_come_back(table):
    if np.isnan(table[:-1]).all(0).any():
        return  # refused, see below
    encoding, scaler = Vector.fit(table[:-1]), StandardScaler().fit(table[:-1])
    values, present = encoding.values(table)
    np.testing.assert_allclose(values, scaler.transform(table), rtol=1e-5, atol=1e-6)
    assert np.array_equal(present, ~np.isnan(table).all(1))
    back = round_trip(encoding, table)
    assert np.array_equal(np.isnan(back), np.isnan(table))
    spread = np.abs(table - scaler.mean_) + np.abs(scaler.mean_) * 1e-8
    assert (np.nan_to_num(np.abs(back - table)) <= 1e-6 * np.nan_to_num(spread) + 1e-12).all()


def test_half_precision_is_read():
    table = torch.arange(6.0).view(3, 2)
    for half in (torch.float16, torch.bfloat16):
        given = table.to(half).requires_grad_()
        assert guess(given) == "vector" and torch.equal(*(Vector.fit(x).values(x)[0] for x in (given, table)))


def test_a_column_that_never_varies_keeps_its_scale():
    encoding = Vector.fit(np.array([[0.1, 1.0], [0.1, 3.0], [0.1, np.nan]]))
    assert encoding.scale == (1.0, 1.0) and encoding.mean[1] == 2.0


def test_frames_come_back_as_frames():
    frame = pd.DataFrame({"age": [31.0, np.nan, 45.0], 7: [1, 2, 4], "b": pd.array([1, None, 3], "Int64")})
    encoding = Vector.fit(frame)
    back = round_trip(encoding, frame)
    pd.testing.assert_frame_equal(back, frame.astype("float64"), atol=1e-6)
    assert torch.equal(encoding.values(frame[[7, "b", "age"]])[0].isnan(), encoding.values(frame)[0].isnan())
    torch.testing.assert_close(encoding.values(frame[[7, "b", "age"]])[0], encoding.values(frame)[0], equal_nan=True)
    series = round_trip(Vector.fit(frame["age"]), frame["age"])
    pd.testing.assert_series_equal(series, frame["age"], atol=1e-6)
    flat = round_trip(Vector.fit(np.arange(4)), np.arange(4))
    assert flat.shape == (4,) and np.allclose(flat, np.arange(4), atol=1e-6)


def test_a_list_of_vectors_may_lack_some():
    table = np.random.default_rng(0).normal(size=(5, 3))
    for missing in (None, np.nan):
        rows = [missing if i == 2 else row for i, row in enumerate(table)]
        assert guess(rows) == "vector"
        values, present = Vector.fit(rows).values(rows)
        holed = np.where(np.arange(5)[:, None] == 2, np.nan, table)
        assert present.tolist() == [True, True, False, True, True]
        torch.testing.assert_close(values, Vector.fit(holed).values(holed)[0], equal_nan=True)


@given(hnp.arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 3))))
def test_yes_and_no_come_back(table):
    back = round_trip(Binary.fit(table), table)
    assert back.dtype == bool and np.array_equal(back, table)
    numbers = table.astype(float)
    numbers[0, 0] = np.nan
    if not np.isnan(numbers).all(0).any():
        np.testing.assert_array_equal(round_trip(Binary.fit(numbers), numbers), numbers)
    assert (Binary.fit(table).original(torch.full((2, table.shape[1]), 0.7)) == 1).all(), "the likelier of both"


@given(hnp.arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 3)), elements=st.integers(0, 2**24 - 1)))
def test_counts_come_back(table):
    encoding = Counts.fit(table)
    assert np.array_equal(round_trip(encoding, table), table)
    assert np.array_equal(encoding.values(table)[0].numpy(), table), "they are not standardised"


LEVELS = st.one_of(st.lists(st.text(max_size=4), min_size=1), st.lists(st.integers(-9, 9), min_size=1))


@given(LEVELS, LEVELS, st.data())
def test_categories_come_back(one, other, data):
    count = min(len(one), len(other))
    frame = pd.DataFrame({"one": one[:count], "other": other[:count]}, dtype=object)
    frame.loc[data.draw(st.integers(0, count - 1)), "other"] = None
    if frame["other"].isna().all():
        return  # refused, see below
    encoding = Categories.fit(frame)
    values, present = encoding.values(frame)
    assert present.all() and np.array_equal((values < 0)[:, 1], frame["other"].isna())
    assert encoding.levels[0] == tuple(sorted({*one[:count]})) and encoding.alphabet == max(map(len, encoding.levels))
    back = round_trip(encoding, frame)
    assert [[None if pd.isna(x) else x for x in row] for row in back.to_numpy().tolist()] == frame.to_numpy().tolist()


def test_nan_in_a_list_is_no_level():
    for strings in (["a", np.nan, "b"], [["a", "x"], [np.nan, "y"], ["b", np.nan]]):
        encoding = Categories.fit(strings)
        assert encoding.levels[0] == ("a", "b") and "nan" not in encoding.levels[-1]
        assert encoding.values(strings)[0][1, 0] == -1


def test_probabilities_of_a_column_reach_its_own_levels_alone():
    encoding = Categories.fit(pd.DataFrame({"sex": ["f", "m", "f"], "site": ["A", "B", "C"]}))
    probabilities = torch.tensor([[[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]]])
    assert encoding.original(probabilities).to_numpy().tolist() == [["m", "C"]]
    as_integers = Categories.fit(np.array([[3], [1], [3]]))
    assert as_integers.original(torch.tensor([[1], [0]])).dtype == np.int64
    of_numpy = Categories.fit(pd.Series([np.int64(3), None, np.int16(1), np.True_], dtype=object))
    assert of_numpy.levels == ((1, 3),), "numbers of numpy are numbers in a column of objects"


@given(st.lists(st.one_of(st.none(), st.text(ALPHABET, max_size=12)), min_size=1))
def test_strings_come_back_but_for_blanks_at_the_end(strings):
    if all(string is None for string in strings):
        return  # refused, see below
    encoding = Text.fit(strings)
    assert encoding.length == max(1, *(len(string or "") for string in strings), 1)
    assert round_trip(encoding, strings) == [string if string is None else string.rstrip(" ") for string in strings]
    values, present = encoding.values(strings)
    assert values.dtype == torch.int64 and present.tolist() == [string is not None for string in strings]
    one_hot = torch.nn.functional.one_hot(values, len(ALPHABET)).float()
    assert encoding.original(one_hot) == encoding.original(values)


def test_kinds_are_guessed():
    strings = pd.DataFrame({"site": ["A", None, "B"], "sex": pd.Categorical(["f", "m", "f"])})
    cases = {
        "text": [["a", None], np.array(["a", "b"])],
        "image": [np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 4, 5), np.float32), torch.zeros(2, 3, 4)],
        "vector": [np.zeros((2, 3)), np.arange(4), pd.DataFrame({"a": [1, 2], "b": [True, False]}), [[1.0], [2.0]]],
        "binary": [np.zeros((2, 3), bool), pd.DataFrame({"a": [True, False]}), torch.zeros(2, dtype=torch.bool)],
        "categories": [strings, strings["sex"], strings["site"], np.array([["a"], ["b"]])],
    }
    assert [(kind, i) for kind, raws in cases.items() for i, raw in enumerate(raws) if guess(raw) != kind] == []
    assert guess(pd.Series([1.0, None], dtype=object)) == "vector", "numbers are numbers in a column of objects"
    assert guess(pd.DataFrame({"smokes": [True, None, False]})) == guess([True, None]) == "binary", "so are yes and no"


def test_the_package_s_own_data_are_read_by_encodings_too(tiny_root):
    data = load_dataset("uci-plain-text", "test", repeats=1)
    batch = data.batch(torch.arange(6), torch.Generator().manual_seed(0))
    for encoding, shape, values in zip(data.encodings, data.shapes, batch.values, strict=True):
        assert encoding.shape == shape and kept(encoding) == encoding
        again, present = encoding.values(encoding.original(values))
        assert present.all() and again.dtype == values.dtype and torch.equal(again, values)


def test_a_new_kind_is_known_once_it_is_defined():
    class Angle(Vector):
        kind = "angle"

    try:
        assert encoding_class("angle") is Angle and isinstance(kept(Angle.fit(np.arange(4))), Angle)
    finally:
        del ENCODINGS["angle"]
    with pytest.raises(ValueError, match="unknown kind 'angle': choose one of image, text, vector, binary, count"):
        encoding_class("angle")


TRAINED = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [0.5, 1.0, 2.0]})
SITES = pd.DataFrame({"site": ["A", "B", "A"]})
TWO = np.array([[0], [2]])
TALL, WIDE = np.zeros((1, 4, 4), np.uint8), np.zeros((1, 3, 4), np.uint8)
REFUSED = [
    (lambda: Vector.fit(TRAINED.assign(c=np.nan)), "column 'c' holds no entry in the training part, only NaN"),
    (lambda: Vector.fit(np.full((3, 2), np.nan)), "is absent in every item of the training part"),
    (lambda: Vector.fit(np.array([[1.0, 2.0], [3.0, -np.inf]])), "column 1 holds infinite values: put NaN"),
    (lambda: Vector.fit(pd.DataFrame({"sex": ["f", "m"]})), "column 'sex' holds 'f', which is no number"),
    (lambda: Vector.fit(np.array([1e200, -1e200])), "it holds 1e.200 in row 0, too large to be squared: take"),
    (lambda: Vector.fit(TRAINED).values(TRAINED.assign(b=1e60)), "'b' holds 1e.60 in row 0, too far from the training"),
    (lambda: Vector.fit(np.zeros((3, 2, 2))), r"an array of shape \(3, 2, 2\) is no table"),
    (lambda: Vector.fit(pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"])), "two columns are named 'a': rename one"),
    (lambda: Vector.fit(TRAINED).values(TRAINED[["a"]]), "lacks 'b': give the columns of the training"),
    (lambda: Vector.fit(TRAINED).values(TRAINED.assign(c=1.0)), "has 'c' too many: give the columns"),
    (lambda: Vector.fit(TRAINED).values(np.zeros((2, 3))), "has 3 columns where the training had 2"),
    (lambda: Binary.fit(TWO).values(TWO), "column 0 holds 2 in row 1, neither 0 nor 1"),
    (lambda: Counts.fit(TRAINED).values(TRAINED), "column 'b' holds 0.5 in row 0, no count"),
    (lambda: Categories.fit(SITES).values(pd.DataFrame({"site": ["A", "D"]})), "'site' holds the level 'D' in row 1"),
    (lambda: Categories.fit(SITES).values(pd.DataFrame({"site": [3]})), "column 'site' holds the level 3 in row 0"),
    (lambda: Categories.fit(pd.DataFrame({"site": ["A", 3]})), "column 'site' mixes strings and numbers"),
    (lambda: Categories.fit(np.array([0.5])), "holds 0.5: levels are strings or whole numbers"),
    (lambda: Categories.fit(np.array([1, np.inf])), "holds inf: levels are strings or whole numbers"),
    (lambda: Categories.fit(pd.DataFrame({"id": [10**20, 1]})), "'id' holds 1000.*: levels are strings or whole num"),
    (lambda: Categories.fit(SITES.assign(x=None)), "column 'x' holds no entry in the training part: leave it out"),
    (lambda: Text.fit([None, None]), "is absent in every item of the training part"),
    (lambda: Text.fit(pd.DataFrame({"report": ["a", "b"]})), "texts stand in one column: give it alone, as in frame"),
    (lambda: Text.fit(["a", 3]), "item 1 is 3, no string"),
    (lambda: Text.fit(["ab"]).values(["a", "abc"]), r"string 1 \('abc'\) has 3 characters, at most 2 were there in"),
    (lambda: Text.fit(["abc"]).values(["a", "xYz"]), r"string 1 \('xYz'\) holds 'Y', which the alphabet lacks"),
    (lambda: Text.fit(["abc"]).values(["é"]), "holds 'é', which the alphabet lacks"),
    (lambda: Text.fit(["abc"]).values(["\0"]), "which the alphabet lacks"),
    (lambda: Image.fit([TALL[0], WIDE[0]]), r"several shapes, \(3, 4\) and \(4, 4"),
    (lambda: Image.fit(np.full((2, 3, 3), 200.0)), "these run from 200 to 200: divide by 255"),
    (lambda: Image.fit(np.full((2, 3, 3), -1.0)), r"these run from -1 to -1: use \(x - low\) / \(high - low\)"),
    (lambda: Image.fit(np.zeros((2, 0, 3))), r"images of shape \(0, 3\) have no pixels: leave this modality out"),
    (lambda: Image.fit(np.array([[[np.inf, 0.5]]])), "some images have pixels that are infinite: fill them"),
    (lambda: Image.fit(np.zeros((2, 3, 3), np.int64)), "images are int64: give uint8 in 0..255, or floats"),
    (lambda: Image.fit(np.zeros((2, 2, 3, 5), np.uint8)), r"items of shape \(2, 3, 5\) are no images"),
    (lambda: Image.fit(np.array([[[np.nan, 0.5]]])), "some images have pixels that are NaN and others: fill them"),
    (lambda: Image.fit(WIDE).values(TALL), r"\(4, 4\) where \(3, 4\) is"),
    (lambda: guess(np.zeros((2, 3, 3), bool)), "is no kind of data: give images as uint8"),
    (lambda: guess(SITES.assign(age=3)), "column 'age' holds numbers and column 'site' categories: make two modal"),
    (lambda: guess(pd.DataFrame({"day": pd.to_datetime(["2020-01-01"])})), "column 'day' holds times: give num"),
    (lambda: Vector.fit(np.array(["2020-01-01"], "datetime64[ns]")), "it holds times: give numbers"),
    (lambda: Vector.fit(pd.DataFrame({"a": [1, "1", "<2"]})), "column 'a' holds '<2', which is no number"),
    (lambda: Vector.fit(np.array([1 + 1j])), r"it holds \(1\+1j\), which is no number"),
    (lambda: Vector.fit([b"ab", b"c"]), "it holds b'ab', which is no number"),
    (lambda: Vector.fit(pd.DataFrame({"a": [10**400, 1]})), "column 'a' holds 1000.*, which is no number"),
    (lambda: Vector.fit(pd.Series([np.zeros(3), None], name="ecg")), "column 'ecg' holds entries of several values: "),
    (lambda: Vector.fit(pd.DataFrame({"a": [[1, 2], [3, 4]]})), "column 'a' holds entries of several values"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_cannot_be_encoded_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value).replace(repr(ALPHABET), "")
