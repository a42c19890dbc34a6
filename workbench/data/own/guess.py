"""Which kind of data an array looks like, by its type and shape; what it must not be guessed of is refused."""

from typing import Any

import numpy as np

from workbench.data.own.raw import TIMES, as_array, is_frame, is_missing, is_pandas


def guess(raw: Any) -> str:
    """The kind that raw data looks like; ValueError where it looks like none, with what to do."""
    if isinstance(raw, list | tuple):
        there = [value for value in raw if not is_missing(value)]
        if there and all(isinstance(value, str) for value in there):
            return "text"
        if not there or np.ndim(there[0]) >= 2:
            return "image" if there else "text"
    array = None if hasattr(raw, "iloc") else as_array(raw)
    if array is None or array.ndim <= 2:
        return guess_table(raw)
    if array.dtype == np.uint8 or array.dtype.kind == "f":
        return "image"
    raise ValueError(
        f"{array.dtype} of shape {array.shape} is no kind of data: give images as uint8 in 0..255 or floats in [0, 1] "
        "(for yes and no: floats, and the likelihood 'bernoulli')"
    )


def guess_table(raw: Any) -> str:
    """The kind of a table by the types of its columns; ValueError, by column, on several kinds or times."""
    if not is_pandas(raw):
        array = as_array(raw)
        of_strings = array.dtype.kind == "U" or (array.dtype.kind == "O" and _holds_strings(array.ravel().tolist()))
        return ("text" if array.ndim == 1 else "categories") if of_strings else _kind(array, "it")
    columns = {name: raw.iloc[:, k] for k, name in enumerate(raw.columns)} if is_frame(raw) else {raw.name: raw}
    kinds = {name: _kind(column, f"column {name!r}") for name, column in columns.items()}
    numeric = {"vector", "binary"}
    if {*kinds.values()} <= numeric:
        return "binary" if {*kinds.values()} == {"binary"} else "vector"
    if odd := [name for name, kind in kinds.items() if kind in numeric]:
        other = next(name for name, kind in kinds.items() if kind not in numeric)
        raise ValueError(
            f"column {odd[0]!r} holds numbers and column {other!r} categories: make two modalities of them, or say "
            "kinds={...: 'categories'}"
        )
    return "categories"


def _kind(column: Any, told: str) -> str:
    kind = column.dtype.kind
    if kind in "mM":
        raise ValueError(f"{told} {TIMES}")
    if kind == "b":
        return "binary"
    strings = kind in "OU" and (
        str(column.dtype) == "category"
        or _holds_strings(column.ravel().tolist() if isinstance(column, np.ndarray) else column.tolist())
    )
    if strings or kind != "O":
        return "categories" if strings else "vector"
    # True and False stay so beside None, which makes a column of objects of them
    there = [value for value in column.tolist() if not is_missing(value)]
    return "binary" if there and all(isinstance(value, bool | np.bool_) for value in there) else "vector"


def _holds_strings(values: list[Any]) -> bool:
    return any(isinstance(value, str) for value in values)
