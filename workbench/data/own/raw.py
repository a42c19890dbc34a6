"""Raw arrays as users have them: numpy, torch, pandas, lists. What they are, their rows, and their columns as numbers.

Nothing here imports pandas: a frame is known by what it can do, and made again only where one was given.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

Name = str | int  # of a column
SHOWN = 5  # indices in a message
TIMES = "holds times: give numbers, such as days since a first day"


def is_pandas(raw: Any) -> bool:
    """Whether something is a DataFrame or a Series."""
    return hasattr(raw, "iloc") and hasattr(raw, "index")


def is_frame(raw: Any) -> bool:
    """Whether something is a DataFrame."""
    return is_pandas(raw) and hasattr(raw, "columns")


def is_missing(value: Any) -> bool:
    """Whether a single entry says that there is none: None, NaN, or what pandas has in their place."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return not getattr(value, "ndim", 0) and bool(value != value)


def is_whole(value: Any) -> bool:
    """Whether a single entry is a whole number that an int64 holds, whatever its type."""
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):  # a date, a word, infinity
        return False
    return abs(whole) < 2**63 and bool(whole == value)


def as_array(raw: Any) -> np.ndarray:
    """A numpy array of what is given, a view where that can be; ValueError on a list of arrays of several shapes.

    What is missing in a list of arrays lacks every entry, each of them None.
    """
    if isinstance(raw, torch.Tensor):
        raw = raw.detach().cpu()
        return (raw.float() if raw.dtype == torch.bfloat16 else raw).numpy()  # numpy knows no bfloat16
    if isinstance(raw, np.ndarray):
        return raw
    if is_pandas(raw):
        return raw.to_numpy()
    if not isinstance(raw, Iterable):
        raise ValueError(f"{type(raw).__name__} is no array")
    raw = [as_array(value) if isinstance(value, torch.Tensor) else value for value in raw]
    sizes = {np.shape(value) for value in raw if not is_missing(value)}
    if len(sizes) > 1:
        told = " and ".join(str(size) for size in sorted(sizes, key=str)[:SHOWN])
        raise ValueError(f"its items have several shapes, {told}: bring them to one, for example by resizing")
    if size := next(iter(sizes), ()):
        raw = [np.full(size, None) if is_missing(value) else value for value in raw]
    array = np.asarray(raw)
    # beside strings numpy makes the string "nan" of NaN
    return np.array(raw, dtype=object) if array.dtype.kind == "U" else array


def length(raw: Any) -> int:
    """Items of raw data; ValueError on what has none."""
    if hasattr(raw, "toarray") or (isinstance(raw, torch.Tensor) and raw.layout != torch.strided):
        raise ValueError(f"{type(raw).__name__} is sparse: make it dense, by toarray() or to_dense()")
    unordered = isinstance(raw, str | Mapping | Set) or not hasattr(raw, "__len__")
    if unordered or (hasattr(raw, "ndim") and raw.ndim == 0):
        raise ValueError(f"{type(raw).__name__} is no array: give an array, a DataFrame or a list of strings")
    return len(raw)


@contextmanager
def about(name: str) -> Iterator[None]:
    """Begin the message of a ValueError with the name of the modality that it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def items_in(arrays: Mapping[str, Any]) -> int:
    """How many items arrays by the name of their modality have; ValueError where they, or rows of frames, differ."""
    if not isinstance(arrays, Mapping):
        raise ValueError(f"{type(arrays).__name__} does not name its modalities: give arrays as in {{'labs': table}}")
    if not arrays:
        raise ValueError("no modality is given: name at least one array, as in {'labs': table}")
    counts = {}
    for key, raw in arrays.items():
        with about(key):
            counts[key] = length(raw)
    if len({*counts.values()}) > 1:
        told = ", ".join(f"{key} has {count}" for key, count in counts.items())
        raise ValueError(
            f"modalities differ in their numbers of items ({told}): give each a row for every item, NaN or None where "
            "it is missing"
        )
    check_rows(arrays.items())
    return next(iter(counts.values()))


def check_rows(named: Iterable[tuple[str, Any]]) -> None:
    """ValueError where frames are indexed differently: a row would be put beside that of another item."""
    indexed = [(name, raw.index) for name, raw in named if is_pandas(raw)]
    if other := [name for name, index in indexed[1:] if not index.equals(indexed[0][1])]:
        raise ValueError(
            f"the rows of {indexed[0][0]} and {other[0]} are indexed differently, so they may be of different items: "
            "bring them into one order, or drop the index by reset_index(drop=True)"
        )


def take(raw: Any, rows: np.ndarray) -> Any:
    """Those rows of raw data whose place in a Boolean array is True."""
    if is_pandas(raw):
        return raw.iloc[np.flatnonzero(rows)]
    if isinstance(raw, torch.Tensor):
        return raw[torch.from_numpy(rows).to(raw.device)]
    if isinstance(raw, np.ndarray):
        return raw[rows]
    return [raw[i] for i in np.flatnonzero(rows)]


def some(indices: Sequence[int] | np.ndarray) -> str:
    """Indices in a message: "3, 7 and 12", or the first few and how many more."""
    indices = [str(int(i)) for i in indices]
    if len(indices) > SHOWN:
        return f"{', '.join(indices[:SHOWN])} and {len(indices) - SHOWN} more"
    return " and ".join([", ".join(indices[:-1]), indices[-1]] if len(indices) > 1 else indices)


class Layout(NamedTuple):
    """How a table was given, and so how one is given back."""

    columns: tuple[Name, ...] | None  # of a DataFrame
    flat: bool  # one column, given without a second dimension

    def column(self, k: int | np.integer) -> str:
        """The k-th column in a message."""
        return f"column {self.columns[k]!r}" if self.columns else "it" if self.flat else f"column {k}"

    def give_back(self, table: np.ndarray) -> Any:
        """A table `[n, k]` in the form that was given."""
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


def layout_of(raw: Any) -> Layout:
    """How a table was given; ValueError on more than two dimensions or no column."""
    if is_frame(raw):
        columns = tuple(name.item() if isinstance(name, np.generic) else name for name in raw.columns)
        if odd := [name for name in columns if not isinstance(name, Name)]:
            raise ValueError(f"column {odd[0]!r} is named by neither a string nor an integer: rename it")
        if twice := [name for name in columns if columns.count(name) > 1]:
            raise ValueError(f"two columns are named {twice[0]!r}: rename one")
        if not columns:
            raise ValueError("it has no column: leave it out")
        return Layout(columns, False)
    if is_pandas(raw):
        return Layout((raw.name,) if isinstance(raw.name, Name) else None, True)
    shape = np.shape(as_array(raw))
    if len(shape) > 2 or (len(shape) == 2 and shape[1] == 0):
        raise ValueError(f"an array of shape {shape} is no table: give it as [items, columns]")
    return Layout(None, len(shape) == 1)


def columns_of(raw: Any, layout: Layout, size: int) -> list[Any]:
    """The columns of a table in the order of a layout; columns of a frame go by their names.

    ValueError on another number of columns, or other names, than there were in training.
    """
    if is_frame(raw) and layout.columns is not None:
        missing, other = [
            [name for name in names if name not in others]
            for names, others in ((layout.columns, list(raw.columns)), (list(raw.columns), layout.columns))
        ]
        if missing or other:
            lacks = f"lacks {', '.join(map(repr, missing))}" if missing else ""
            more = f"has {', '.join(map(repr, other))} too many" if other else ""
            raise ValueError(f"the table {' and '.join(filter(None, (lacks, more)))}: give the columns of the training")
        return [raw[name] for name in layout.columns]
    if is_frame(raw):
        columns = [raw.iloc[:, k] for k in range(raw.shape[1])]
    elif is_pandas(raw):
        columns = [raw]
    else:
        array = as_array(raw)
        if array.ndim > 2:
            raise ValueError(f"an array of shape {array.shape} is no table: give it as [items, columns]")
        columns = [array] if array.ndim == 1 else list(array.T)
    if len(columns) != size:
        raise ValueError(f"the table has {len(columns)} columns where the training had {size}: give the same ones")
    return columns


def numbers(raw: Any, layout: Layout, size: int) -> np.ndarray:
    """A table as float64 `[n, size]`, NaN where an entry is missing; ValueError on what is no finite number."""
    columns = columns_of(raw, layout, size)
    table = np.empty((len(columns[0]), size))
    for k, column in enumerate(columns):
        table[:, k] = _floats(column, layout.column(k))
        if np.isinf(table[:, k]).any():
            raise ValueError(f"{layout.column(k)} holds infinite values: put NaN where a value is missing")
    return table


def _floats(column: Any, told: str) -> np.ndarray:
    if column.dtype.kind in "mM":
        raise ValueError(f"{told} {TIMES}")
    if is_pandas(column):
        column = column.to_numpy(dtype=object, na_value=np.nan) if column.dtype.kind not in "fiub" else column
    column = np.asarray(column)
    if column.dtype.kind in "fiub":
        return column.astype(np.float64)
    values = [np.nan if is_missing(value) else value for value in column.tolist()]
    if not (odd := [value for value in values if not _is_number(value)]):
        return np.array(values, dtype=np.float64)
    if isinstance(odd[0], list | tuple) or getattr(odd[0], "ndim", 0):
        raise ValueError(f"{told} holds entries of several values: give them as a list, by tolist(), or in columns")
    raise ValueError(
        f"{told} holds {odd[0]!r}, which is no number: make a modality of kind 'categories' or 'text' of it"
    )


def _is_number(value: Any) -> bool:
    """Whether a single entry can be read as a number; an array never is one."""
    try:
        return not getattr(value, "ndim", 0) and isinstance(float(value), float)
    except (TypeError, ValueError, OverflowError):
        return False


def strings_of(raw: Any) -> list[str | None]:
    """Texts as strings, None where one is missing; ValueError on what is no string."""
    if is_frame(raw):
        raise ValueError("texts stand in one column: give it alone, as in frame['report']")
    values = raw.tolist() if hasattr(raw, "tolist") else list(raw)
    strings = [None if is_missing(value) else value for value in values]
    if odd := [i for i, value in enumerate(strings) if not isinstance(value, str | None)]:
        raise ValueError(f"item {odd[0]} is {strings[odd[0]]!r}, no string: give a list of strings, None where missing")
    return strings
