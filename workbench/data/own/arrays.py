"""A data set from a user's own arrays: what each item has, which items are for testing, and every check on the way."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
import torch

from workbench.config import whole
from workbench.data.dataset import MultimodalDataset, Splits, Storage
from workbench.data.images import SPLITS, Labels
from workbench.data.letters import letters_of
from workbench.data.own import encoding_class
from workbench.data.own import raw as reading
from workbench.data.own.encodings import ABSENT, identity
from workbench.data.own.foreign import as_array, entries, is_missing, is_whole, order_of, plain
from workbench.data.own.looks import advice
from workbench.data.sources import is_known

NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,98}[a-z0-9])?")  # it becomes part of a folder's name
ODD = re.compile(r"[,\x00-\x08\n-\x1f\x85\u2028\u2029\ud800-\udfff]")  # what a table's head cannot hold


class Targets(NamedTuple):
    """Labels as they are kept: one class of several, or Boolean attributes, and what they are called."""

    labels: Labels
    labelled: bool
    classes: tuple[str | int, ...] | None


def from_arrays(
    arrays: Mapping[str, Any] | Any,
    labels: Any = None,
    present: Any = None,
    split: Any = 0.2,
    seed: SupportsIndex = 0,
    name: str = "own",
    kinds: Mapping[str, str] | None = None,
) -> Splits:
    """Make training and test part of one's own data: arrays by the name of the modality, one row for each item.

    Arrays are numpy's, torch's, scipy's, pandas' or lists, of the kinds in `workbench.data.own`, guessed where `kinds`
    does not say (with a warning where a table of numbers looks like counts, yes and no, or amounts), or AnnData; a
    MuData is all of them. NaN, None and what is masked are missing, and what is False in `present`, Boolean arrays by
    name, columns of a DataFrame or one `[n, M]`, at which nobody looks. `labels` are one class for each item, or
    Boolean attributes `[n, k]`. `split` is the share of items for testing, a Boolean array (True: test) or one of
    "train" and "test". The name gets eight digits of a digest of everything. Raises ValueError, in one sentence, on
    what cannot be trained on.
    """
    kinds = kinds or {}
    arrays, labels, present, split = reading.plain_arrays(arrays), *read_plain(labels, present, split)
    count = common_length(arrays, labels, present, split)
    check_names(name, arrays, kinds)
    has, targets = read_present(present, list(arrays), count), read_labels(labels, count)
    test = test_rows(split, targets, count, seed)
    encodings, stored = {}, {}
    for m, (key, raw) in enumerate(arrays.items()):
        with reading.about(key):
            if not (rows := has[:, m] & ~test).any():
                raise ValueError(ABSENT)
            kind = kinds.get(key) or reading.guess(reading.take(raw, has[:, m]))
            learnt = reading.take(raw, rows)
            encodings[key] = encoding_class(kind).fit(learnt)
            if kind == "vector" and key not in kinds and (seen := advice(learnt)):
                reading.warn(key, f"{seen} (kinds={{{key!r}: 'vector'}} says that it is meant as it is)")
            stored[key], in_array = encodings[key].stored(reading.without(raw, has[:, m]))
            encodings[key].check(stored[key])
            reading.warn(key, encodings[key].remark(stored[key]))
            has[:, m] &= in_array.numpy()
            if not has[~test, m].any():
                raise ValueError(ABSENT)
    if len(nothing := np.flatnonzero(~has.any(1))):
        raise ValueError(f"items {reading.some(nothing)} have no modality at all: leave them out of all arrays")
    content = [
        {key: identity(encoding.to_json()) for key, encoding in encodings.items()},
        targets.classes,
        targets.labelled,
    ]
    kept = *(x.numpy() for x in stored.values()), has, targets.labels.numpy(), test
    named = f"{name}-{digest_of(content, kept)}"

    def part(split: str, rows: np.ndarray) -> MultimodalDataset:
        """Make a data set of those rows of everything."""
        chosen, shown = torch.from_numpy(rows), torch.from_numpy(has[rows])
        labels = targets.labels[chosen]
        storages = tuple(
            Storage(key, f"{named} {key}", stored[key][chosen], labels, encoding) for key, encoding in encodings.items()
        )
        pairs = torch.arange(len(labels), dtype=torch.int32).unsqueeze(1).repeat(1, len(storages))
        return MultimodalDataset(
            named, split, storages, pairs, labels, None if shown.all() else shown,
            labelled=targets.labelled, classes=targets.classes, own=True,
        )  # fmt: skip

    return Splits(*(part(split, rows) for split, rows in zip(SPLITS, (~test, test), strict=True)))


def check_names(name: str, arrays: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
    """Raise ValueError on names that cannot be: of the data set, of its modalities, in `kinds`."""
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise ValueError(
            f"name {name!r} becomes part of a folder's: use small letters, digits, '-' and '_' in it, at most 100"
        )
    if is_known(name) or is_known(name.partition("-")[0]):
        raise ValueError(f"name {name!r} is that of a data set that comes with the package: choose another one")
    if unnamed := [key for key in arrays if not isinstance(key, str)]:
        raise ValueError(f"modality {unnamed[0]!r} needs a name, a string: rename it")
    if unnamed := [key for key in arrays if key.strip() != key or not key or ODD.search(key)]:
        raise ValueError(
            f"modality {unnamed[0]!r} needs a name without a comma or blanks around it, on one line: rename it"
        )
    letters_of(list(arrays))  # which must tell them apart
    if unknown := [key for key in kinds if key not in arrays]:
        raise ValueError(f"kinds names {unknown[0]!r}, which is no modality here: they are {', '.join(arrays)}")


def read_plain(labels: Any, present: Any, split: Any) -> Iterator[Any]:
    """Bring what says something of the items into plain arrays, as `raw.plain` does; what is no array stays."""
    for name, raw in (("labels", labels), ("present", present), ("split", split)):
        if isinstance(raw, Mapping):
            yield {key: next(read_plain(column, None, None)) for key, column in raw.items()}
        else:
            with reading.about(name):
                yield raw if raw is None or np.isscalar(raw) else plain(raw)


def common_length(arrays: Mapping[str, Any], labels: Any, present: Any, split: Any) -> int:
    """Count the items; ValueError where arrays, or the rows of frames, differ in that."""
    count = reading.items_in(arrays)
    if labels is not None:
        with reading.about("labels"):
            given = reading.length(labels)
        if given != count:
            raise ValueError(f"there are {given} labels for {count} items: give one for every item")
    by_name = isinstance(present, Mapping)
    columns = {f"present[{key!r}]": column for key, column in present.items()} if by_name else {"present": present}
    reading.check_rows([*arrays.items(), ("labels", labels), *columns.items(), ("split", split)])
    return count


def read_present(present: Any, names: Sequence[str], count: int) -> np.ndarray:
    """Read `present` as Boolean `[n, M]`, of a frame by its columns; ValueError on other shapes, types and names."""
    table = np.ones((count, len(names)), dtype=bool)
    if present is None:
        return table
    if not (isinstance(present, Mapping) or reading.is_frame(present)):
        return _boolean(present, table.shape, "present").copy()
    if unknown := [key for key in present if key not in names]:
        raise ValueError(f"present names {unknown[0]!r}, which is no modality here: they are {', '.join(names)}")
    for m, key in enumerate(names):
        if key in present:
            table[:, m] = _boolean(present[key], (count,), f"present[{key!r}]")
    return table


def _boolean(raw: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    with reading.about(name):
        reading.length(raw)
        array = booleans(as_array(raw))
    if array.dtype != bool or array.shape != shape:
        raise ValueError(
            f"{name} is {array.dtype} of shape {array.shape}: it must be Boolean of shape {shape}, True where there is "
            "something"
        )
    return array


def booleans(array: np.ndarray) -> np.ndarray:
    """Return the Booleans of an array of objects as such, as pandas' nullable columns have them; other arrays as is."""
    whole = array.dtype == object and all(isinstance(value, bool | np.bool_) for value in array.flat)
    return array.astype(bool) if whole else array


def read_labels(labels: Any, count: int) -> Targets:
    """Read classes, coded from 0 on, or attributes; zeros where there are no labels. ValueError on missing ones."""
    if labels is None:
        return Targets(torch.zeros(count, dtype=torch.long), False, None)
    array = as_array(labels)
    if array.ndim == 2:
        array = booleans(array)
        if array.dtype != bool:
            raise ValueError(
                f"labels of several columns are attributes and must be Boolean, not {array.dtype} of shape "
                f"{array.shape}: give classes in one column, such as frame['class']"
            )
        if not array.shape[1]:
            raise ValueError("labels have no column: give one for each attribute, or labels=None")
        names = labels.columns if reading.is_frame(labels) else range(array.shape[1])
        return Targets(torch.from_numpy(array.copy()), True, tuple(map(str, names)))
    values = entries(array)
    if missing := [i for i, value in enumerate(values) if is_missing(value)]:
        raise ValueError(f"items {reading.some(missing)} have no label: give every item one, or labels=None")
    strings = any(isinstance(value, str) for value in values)
    if not strings and (wrong := [value for value in values if not is_whole(value)]):
        raise ValueError(f"labels are classes, {wrong[0]!r} is none: give whole numbers or strings")
    names, codes = np.unique([str(v) for v in values] if strings else [int(v) for v in values], return_inverse=True)
    classes = names.tolist()
    if order := order_of(labels):
        order = [name for name in map(str if strings else int, order) if name in classes]
        codes, classes = np.array([order.index(name) for name in classes])[codes], order
    return Targets(torch.from_numpy(codes.astype(np.int64)), True, tuple(classes))


def test_rows(split: Any, targets: Targets, count: int, seed: SupportsIndex) -> np.ndarray:
    """Say which items are for testing, as Boolean `[n]`; a fraction is drawn, of every class alike.

    ValueError on an impossible split, or one that leaves fewer than 2 items to train on.
    """
    if isinstance(split, Real):
        rows = _drawn(split.item() if isinstance(split, np.generic) else split, targets, count, seed)
    else:
        rows = _given(split, count)
    if (left := int((~rows).sum())) < 2:
        raise ValueError(
            f"{left} of {count} items {'is' if left == 1 else 'are'} left to train on: at least 2 are needed"
        )
    return rows


def _given(split: Any, count: int) -> np.ndarray:
    with reading.about("split"):
        array = as_array(split)
    if array.shape != (count,):
        raise ValueError(f"split has shape {array.shape}: give a fraction, or one entry for each of {count} items")
    if array.dtype == bool:
        return array.copy()
    if other := sorted({str(value) for value in array.tolist()} - {*SPLITS}):
        raise ValueError(f"split holds {other[0]!r}: its entries are 'train' or 'test', or True for test")
    return np.array([value == "test" for value in array.tolist()], dtype=bool)


def _drawn(split: float, targets: Targets, count: int, seed: SupportsIndex) -> np.ndarray:
    if not 0 < split < 1 or isinstance(split, bool):
        raise ValueError(f"split {split} is no share of the items for testing: choose one between 0 and 1, such as 0.2")
    generator = torch.Generator().manual_seed(whole("seed", seed))
    order = torch.randperm(count, generator=generator).numpy()
    if targets.labelled and targets.labels.dim() == 1:
        # every class evenly spread over the order: an item stands where its rank within its class says
        codes = targets.labels.numpy()[order]
        rank = np.empty(count)
        for code in np.unique(codes):
            members = np.flatnonzero(codes == code)
            rank[members] = (np.arange(len(members)) + 0.5) / len(members)
        order = order[np.argsort(rank, kind="stable")]
    rows = np.zeros(count, dtype=bool)
    rows[order[: max(1, round(split * count))]] = True
    return rows


def digest_of(content: Any, arrays: Iterable[np.ndarray]) -> str:
    """Return eight hexadecimal digits of JSON values and arrays."""
    digest = hashlib.sha256(json.dumps(content).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()[:8]
