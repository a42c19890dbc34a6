"""What numpy, torch, pandas, Pillow and other libraries hand over, as numpy's arrays, pandas' frames and lists.

What only looks like numbers, texts or images is refused by `plain` or by the readers of entries, with what to give
instead; `tests/data/own/test_types.py` has the table. What is masked is missing. Nothing here imports pandas or Pillow:
where nobody has imported them, nothing is a frame or a picture.
"""

import datetime
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

SHOWN = 5  # indices in a message
TIMES = "holds times: give numbers, such as days since a first day"
PICTURES = ("L", "RGB", "RGBA", "F")  # Pillow's modes whose numbers are what is seen, in 0..255 or [0, 1]
ANNOTATED = ("X", "obs_names", "var_names")  # of AnnData, from anndata, a matrix whose rows and columns have names
GREY = ("1", "LA", "La")
# What int() or float() would take for numbers, or nobody knows what to do with, and the cure.
CURES = {
    (bytes, bytearray): "decode it, as np.char.decode(x) and x.decode() do",
    (complex, np.complexfloating): "give x.real and x.imag as columns",
    (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64): TIMES.partition(": ")[2],
}


def is_pandas(raw: Any) -> bool:
    """Return whether something is a DataFrame or a Series."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(raw, pandas.DataFrame | pandas.Series)


def is_frame(raw: Any) -> bool:
    """Return whether something is a DataFrame."""
    return is_pandas(raw) and raw.ndim == 2


def is_missing(value: Any) -> bool:
    """Return whether a single entry says that there is none: None, NaN, masked, or what pandas has in their place."""
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return not getattr(value, "ndim", 0) and bool(value != value)


def cure_of(value: Any) -> str | None:
    """Return what to do with an entry of a type that is neither a number nor a string; None for all others."""
    return next((cure for types, cure in CURES.items() if isinstance(value, types)), None)


def is_whole(value: Any) -> bool:
    """Return whether a single entry is a whole number that an int64 holds, whatever its type."""
    try:
        whole = int(value) if cure_of(value) is None else None
    except (TypeError, ValueError, OverflowError):  # a word, infinity
        return False
    return whole is not None and abs(whole) < 2**63 and bool(whole == value)


def entries(raw: Any) -> list[Any]:
    """Return entries one by one, as Python's own objects; times stay times, which numpy's nanoseconds would not."""
    array = raw if hasattr(raw, "tolist") else as_array(raw)
    times = isinstance(array, np.ndarray) and array.dtype.kind in "mM"
    return (array.astype(f"{array.dtype.kind}8[us]") if times else array).tolist()


def order_of(column: Any) -> list[Any] | None:
    """Return the levels of an ordered categorical, in its order; None of everything else."""
    kind = getattr(column, "dtype", None)
    return list(kind.categories) if getattr(kind, "ordered", False) else None


def as_array(raw: Any) -> np.ndarray:
    """Make a numpy array of what is given, a view where that can be; ValueError on a list of arrays of several shapes.

    What is masked becomes NaN, or None beside what has none. What is missing in a list of arrays lacks every entry,
    each of them None.
    """
    if not isinstance(raw, list | np.ndarray):
        raw = plain(raw)
    if isinstance(raw, np.ma.MaskedArray):
        if not raw.mask.any() or raw.dtype.kind in "mM":
            return raw.data
        return raw.filled(np.nan) if raw.dtype.kind == "f" else np.where(raw.mask, None, raw.data.astype(object))
    if isinstance(raw, np.ndarray):
        return raw
    if is_pandas(raw):
        return raw.to_numpy()
    raw = [as_array(value) if isinstance(value, torch.Tensor) else _item(value) for value in raw]
    sizes = {np.shape(value) for value in raw if not is_missing(value)}
    if len(sizes) > 1:
        shown = " and ".join(str(size) for size in sorted(sizes, key=str)[:SHOWN])
        raise ValueError(f"its items have several shapes, {shown}: bring them to one, for example by resizing")
    if size := next(iter(sizes), ()):
        raw = [np.full(size, None) if is_missing(value) else value for value in raw]
    array = np.asarray(raw)
    # beside strings numpy makes the string "nan" of NaN
    return np.array(raw, dtype=object) if array.dtype.kind == "U" else array


def plain(raw: Any) -> Any:
    """Bring raw data into one of numpy's arrays, which may be masked, pandas' frames and lists.

    ValueError, in one sentence with the cure, on what is none of them or would be read as something else.
    """
    if isinstance(raw, torch.Tensor):
        return _of_torch(raw)
    if isinstance(raw, np.ndarray):
        return _of_numpy(raw)
    if isinstance(raw, list | tuple):
        return [_item(value) for value in raw]
    kind = type(raw).__name__
    if hasattr(raw, "toarray"):  # scipy's sparse matrices: what is not stored is zero
        return _of_numpy(raw.toarray())
    if all(hasattr(raw, name) for name in ANNOTATED):
        return _of_annotated(raw)
    if is_pandas(raw):
        return raw
    if hasattr(type(raw), "columns"):
        return _of_frame(raw)
    if isinstance(raw, str | bytes | bytearray) or not isinstance(raw, Iterable):
        raise ValueError(f"{kind} is no array: give an array, a DataFrame or a list of strings")
    return _of_numpy(np.asarray(raw)) if hasattr(raw, "__array__") else raw  # columns of polars, arrays of xarray


def _of_torch(raw: torch.Tensor) -> np.ndarray:
    kind = type(raw).__name__
    if kind == "MaskedTensor":  # whose mask says what is there
        return np.ma.masked_array(_of_torch(raw.get_data()), ~_of_torch(raw.get_mask()))
    if raw.is_nested:
        raise ValueError(f"{kind} is nested: make it dense, by torch.nested.to_padded_tensor()")
    raw = raw if raw.layout == torch.strided else raw.to_dense()
    if raw.is_quantized or raw.is_meta:
        raise ValueError(f"{kind} is {'quantized: give x.dequantize()' if raw.is_quantized else 'without data (meta)'}")
    raw = raw.detach().cpu().resolve_conj().resolve_neg()
    if raw.is_floating_point() and raw.dtype not in (torch.float16, torch.float32, torch.float64):
        raw = raw.float()  # numpy knows no bfloat16
    return raw.numpy()


def _of_annotated(raw: Any) -> Any:
    """The matrix of an AnnData as a frame, its rows called as its observations, which pandas brings with it."""
    if raw.X is None:
        raise ValueError(f"{type(raw).__name__} has no matrix X: give one of its layers, such as x.layers['counts']")
    names = {"index": raw.obs_names, "columns": raw.var_names}
    return sys.modules["pandas"].DataFrame(np.asarray(plain(raw.X)), **names)


def side_by_side(raw: Any) -> Any:
    """Return the tables of a MuData by name, each with a row for every observation, NaN where it lacks it.

    What is no such container stays.
    """
    if not (hasattr(raw, "mod") and hasattr(raw, "obs_names")):
        return raw
    return {name: _of_annotated(table).reindex(raw.obs_names) for name, table in raw.mod.items()}


def _of_numpy(raw: np.ndarray) -> np.ndarray:
    if raw.dtype.kind == "V":
        raise ValueError(f"an array of fields {raw.dtype.names} is no array of numbers: give pandas.DataFrame(x)")
    if raw.dtype.kind == "T":  # numpy's StringDType, whose missing entries are what it says
        raw = raw.astype(object)
    return raw if isinstance(raw, np.ma.MaskedArray) else np.asarray(raw)  # a matrix has two dimensions for ever


def _item(value: Any) -> Any:
    """An item of a list: pictures as arrays, what is masked as missing."""
    if isinstance(value, np.ma.MaskedArray):
        return None if value.mask.all() else as_array(value)
    pillow = sys.modules.get("PIL.Image")
    if pillow is None or not isinstance(value, pillow.Image):
        return value
    if value.mode not in PICTURES:
        cure = "np.asarray(x) / its largest possible number" if value.mode[0] == "I" else "x.convert('RGB')"
        cure = "x.convert('L')" if value.mode in GREY else cure
        raise ValueError(f"pictures of mode {value.mode!r} are not what they show, pixel by pixel: give {cure}")
    return np.asarray(value)


def _of_frame(raw: Any) -> Any:
    """A frame of another library by way of Arrow, where pandas and pyarrow are there; ValueError where not."""
    try:
        import pandas

        return pandas.DataFrame.from_arrow(raw)
    except (ImportError, AttributeError, TypeError, ValueError):
        library = type(raw).__module__.partition(".")[0]
        raise ValueError(
            f"{type(raw).__name__} of {library} is no DataFrame of pandas: give it by its to_pandas() or to_numpy()"
        ) from None
