"""Raw arrays as users have them: numpy, torch, pandas, lists. Their kind, their rows, and their columns as numbers."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from workbench.data.own.foreign import (
    SHOWN,
    TIMES,
    as_array,
    cure_of,
    entries,
    is_frame,
    is_missing,
    is_pandas,
    plain,
    side_by_side,
)

Name = str | int  # of a column


@contextmanager
def about(name: str) -> Iterator[None]:
    """Begin the message of a ValueError with the name of the modality that it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def warn(name: str, remark: str | None) -> None:
    """Warn of something odd about a modality."""
    if remark:
        warnings.warn(f"{name}: {remark}", stacklevel=3)


def plain_arrays(arrays: Any) -> Any:
    """Bring arrays by the name of their modality into plain ones; what is no mapping stays, to be refused."""
    arrays = side_by_side(arrays)
    if not isinstance(arrays, Mapping):
        return arrays
    made = {}
    for key, raw in arrays.items():
        with about(str(key)):
            made[key] = plain(raw)
    return made


def some(indices: Sequence[int] | np.ndarray) -> str:
    """Write indices in a message: "3, 7 and 12", or the first few and how many more."""
    indices = [str(int(i)) for i in indices]
    if len(indices) > SHOWN:
        return f"{', '.join(indices[:SHOWN])} and {len(indices) - SHOWN} more"
    return " and ".join([", ".join(indices[:-1]), indices[-1]] if len(indices) > 1 else indices)


def length(raw: Any) -> int:
    """Count the items of raw data; ValueError on what has none."""
    kind = type(raw).__name__
    unordered = isinstance(raw, str | Mapping | Set) or not hasattr(raw, "__len__")
    if unordered or (hasattr(raw, "ndim") and raw.ndim == 0):
        raise ValueError(f"{kind} is no array: give an array, a DataFrame or a list of strings")
    return len(raw)


def items_in(arrays: Mapping[str, Any]) -> int:
    """Count the items of arrays by the name of their modality; ValueError where they, or rows of frames, differ."""
    if not isinstance(arrays, Mapping):
        raise ValueError(f"{type(arrays).__name__} does not name its modalities: give arrays as in {{'labs': table}}")
    if not arrays:
        raise ValueError("no modality is given: name at least one array, as in {'labs': table}")
    counts = {}
    for key, raw in arrays.items():
        with about(key):
            counts[key] = length(raw)
    if len({*counts.values()}) > 1:
        shown = ", ".join(f"{key} has {count}" for key, count in counts.items())
        raise ValueError(
            f"modalities differ in their numbers of items ({shown}): give each a row for every item, NaN or None where "
            "it is missing"
        )
    check_rows(arrays.items())
    return next(iter(counts.values()))


def check_rows(named: Iterable[tuple[str, Any]]) -> None:
    """Raise ValueError where frames are indexed differently: a row would be put beside that of another item."""
    indexed = [(name, raw.index) for name, raw in named if is_pandas(raw)]
    if other := [name for name, index in indexed[1:] if not index.equals(indexed[0][1])]:
        raise ValueError(
            f"the rows of {indexed[0][0]} and {other[0]} are indexed differently, so they may be of different items: "
            "bring them into one order, or drop the index by reset_index(drop=True)"
        )


def take(raw: Any, rows: np.ndarray) -> Any:
    """Take those rows of raw data whose place in a Boolean array is True."""
    if is_pandas(raw) or isinstance(raw, np.ndarray):
        return raw[rows]
    if isinstance(raw, list | tuple):
        return [raw[i] for i in np.flatnonzero(rows)]
    return as_array(raw)[rows]


def without(raw: Any, rows: np.ndarray) -> Any:
    """Make what stands in other rows than these missing, so that nobody looks at it; the same where there are none."""
    if rows.all():
        return raw
    if is_pandas(raw):
        return raw.astype(object).where(np.broadcast_to(rows.reshape(-1, *[1] * (raw.ndim - 1)), raw.shape), None)
    if isinstance(raw, list | tuple):
        return [value if has else None for value, has in zip(raw, rows, strict=True)]
    array = raw if isinstance(raw, np.ndarray) else as_array(raw)
    return np.ma.masked_array(array, np.broadcast_to(~rows.reshape(-1, *[1] * (array.ndim - 1)), array.shape))


def guess(raw: Any) -> str:
    """Guess the kind that raw data looks like; ValueError where it looks like none, with what to do."""
    if isinstance(raw, list | tuple):
        present = [value for value in raw if not is_missing(value)]
        if all(isinstance(value, str) for value in present):
            return "text"
        if np.ndim(present[0]) >= 2:
            return "image"
    if is_pandas(raw):
        return _kind_of_columns(dict(raw.items()) if is_frame(raw) else {raw.name: raw})
    array = as_array(raw)
    if array.ndim <= 2:
        kind = _kind(array, "it")
        return "text" if kind == "categories" and array.ndim == 1 else kind
    if isinstance(raw, np.ma.MaskedArray):
        array = raw.data
    if array.dtype == np.uint8 or array.dtype.kind == "f":
        return "image"
    raise ValueError(
        f"{array.dtype} of shape {array.shape} is no kind of data: give images as uint8 in 0..255 or floats in [0, 1] "
        "(for yes and no: floats, and the likelihood 'bernoulli')"
    )


def _kind_of_columns(columns: Mapping[Any, Any]) -> str:
    """The kind of a table by the types of its columns; ValueError, by column, on several kinds or times."""
    kinds = {name: _kind(column, f"column {name!r}") for name, column in columns.items()}
    named = [name for name, kind in kinds.items() if kind == "categories"]
    if numeric := [name for name in kinds if name not in named]:
        for name in named:
            if mark := _mark(columns[name]):
                raise ValueError(f"column {name!r} holds {mark} beside numbers: make it NaN where it says missing")
        if named:
            raise ValueError(
                f"column {numeric[0]!r} holds numbers and column {named[0]!r} categories: make two modalities of them, "
                "or say kinds={...: 'categories'}"
            )
        return "binary" if {*kinds.values()} == {"binary"} else "vector"
    return "categories"


def _kind(column: Any, what: str) -> str:
    """vector, binary or categories, by the type of a column or of a whole array; ValueError on times."""
    kind = column.dtype.kind
    if kind in "mM":
        raise ValueError(f"{what} {TIMES}")
    if kind not in "OU":
        return "binary" if kind == "b" else "vector"
    if str(column.dtype) == "category" or any(isinstance(value, str) for value in np.ravel(column).tolist()):
        return "categories"
    # True and False stay so beside None, which makes a column of objects of them
    present = [value for value in np.ravel(column).tolist() if not is_missing(value)]
    return "binary" if present and all(isinstance(value, bool | np.bool_) for value in present) else "vector"


class Layout(NamedTuple):
    """How a table was given, and so how one is given back."""

    size: int  # columns
    columns: tuple[Name, ...] | None  # their names in a DataFrame
    flat: bool  # one column, given without a second dimension

    @classmethod
    def of(cls, raw: Any) -> "Layout":
        """Return how a table was given; ValueError on more than two dimensions or no column."""
        if is_frame(raw):
            columns = tuple(name.item() if isinstance(name, np.generic) else name for name in raw.columns)
            if strange := [name for name in columns if not isinstance(name, Name)]:
                raise ValueError(f"column {strange[0]!r} is named by neither a string nor an integer: rename it")
            if twice := [name for name in columns if columns.count(name) > 1]:
                raise ValueError(f"two columns are named {twice[0]!r}: rename one")
            if not columns:
                raise ValueError("it has no column: leave it out")
            return cls(len(columns), columns, False)
        if is_pandas(raw):
            return cls(1, (raw.name,) if isinstance(raw.name, Name) else None, True)
        return cls(len(_columns(raw)), None, as_array(raw).ndim == 1)

    def column(self, k: int | np.integer) -> str:
        """Name the k-th column in a message."""
        return f"column {self.columns[k]!r}" if self.columns else "it" if self.flat else f"column {k}"

    def columns_of(self, raw: Any) -> list[Any]:
        """Return the columns of a table in the order of this layout; columns of a frame go by their names.

        ValueError on another number of columns, or other names, than there were in training.
        """
        if is_frame(raw) and self.columns is not None:
            missing = ", ".join(repr(name) for name in self.columns if name not in raw.columns)
            other = ", ".join(repr(name) for name in raw.columns if name not in self.columns)
            differs = [f"lacks {missing}"] * bool(missing) + [f"has {other} too many"] * bool(other)
            if differs:
                raise ValueError(f"the table {' and '.join(differs)}: give the columns of the training")
            return [raw[name] for name in self.columns]
        columns = _columns(raw)
        if len(columns) != self.size:
            raise ValueError(
                f"the table has {len(columns)} columns where the training had {self.size}: give the same ones"
            )
        return columns

    def numbers(self, raw: Any) -> np.ndarray:
        """Read a table as float64 `[n, size]`, NaN where one is missing; ValueError on what is no finite number."""
        columns = self.columns_of(raw)
        table = np.empty((len(columns[0]), self.size))
        for k, column in enumerate(columns):
            table[:, k] = _floats(column, self.column(k))
            if np.isinf(table[:, k]).any():
                raise ValueError(f"{self.column(k)} holds infinite values: put NaN where a value is missing")
        return table

    def give_back(self, table: np.ndarray) -> Any:
        """Give a table `[n, size]` back in the form that was given."""
        if self.columns is None:
            return table[:, 0] if self.flat else table
        try:
            import pandas
        except ImportError:
            raise ValueError(
                "a DataFrame is given back where one was given, which needs pandas: pip install 'workbench[notebooks]'"
            ) from None
        frame = pandas.DataFrame(table, columns=list(self.columns)).infer_objects()
        return frame.iloc[:, 0] if self.flat else frame


def as_ordered(given: Any, name: Name | None, levels: Sequence[Any]) -> Any:
    """Make an ordered categorical again of a column of a DataFrame, or of a Series."""
    import pandas

    ordered = pandas.CategoricalDtype(list(levels), ordered=True)
    return given.astype({name: ordered} if is_frame(given) else ordered)


def _columns(raw: Any) -> list[Any]:
    """Columns by their places; ValueError on more than two dimensions or no column."""
    if is_pandas(raw):
        return [column for _, column in raw.items()] if is_frame(raw) else [raw]
    array = as_array(raw)
    if array.ndim > 2 or 0 in array.shape[1:]:
        raise ValueError(f"an array of shape {array.shape} is no table: give it as [items, columns]")
    return [array] if array.ndim == 1 else list(array.T)


def _floats(column: Any, what: str) -> np.ndarray:
    """A column as float64, NaN where an entry is missing; ValueError on what is no number."""
    if column.dtype.kind in "mM":
        raise ValueError(f"{what} {TIMES}")
    array = as_array(column)
    if array.dtype.kind in "fiub":
        return array.astype(np.float64)
    values = [np.nan if is_missing(value) else value for value in entries(array)]
    if not (wrong := [value for value in values if not _is_number(value)]):
        return np.array(values, dtype=np.float64)
    if isinstance(wrong[0], list | tuple) or getattr(wrong[0], "ndim", 0):
        raise ValueError(f"{what} holds entries of several values: give them as a list, by tolist(), or in columns")
    row = next(i for i, value in enumerate(values) if value is wrong[0])
    other = "make it NaN where it says missing, or a modality of kind 'categories' or 'text' of the column"
    raise ValueError(f"{what} holds {wrong[0]!r}, which is no number, in row {row}: {cure_of(wrong[0]) or other}")


def _mark(column: Any) -> str | None:
    """The first string that is no number in a column where others are, with its row: '?' for what is missing."""
    is_number = [None if is_missing(value) else _is_number(value) for value in entries(column)]
    if True not in is_number or False not in is_number:
        return None
    row = is_number.index(False)
    return f"{entries(column)[row]!r} in row {row}"


def _is_number(value: Any) -> bool:
    """Whether a single entry can be read as a number; an array never is one."""
    try:
        return not getattr(value, "ndim", 0) and cure_of(value) is None and isinstance(float(value), float)
    except (TypeError, ValueError, OverflowError):
        return False


def strings_of(raw: Any) -> list[str | None]:
    """Read texts as strings, None where one is missing; ValueError on what is no string."""
    if is_frame(raw):
        raise ValueError("texts stand in one column: give it alone, as in frame['report']")
    values = list(raw) if isinstance(raw, list | tuple) else entries(raw)
    strings = [None if is_missing(value) else value for value in values]
    if wrong := [i for i, value in enumerate(strings) if not isinstance(value, str | None)]:
        cure = cure_of(strings[wrong[0]]) or "give a list of strings, None where missing"
        raise ValueError(f"item {wrong[0]} is {strings[wrong[0]]!r}, no string: {cure}")
    return strings
