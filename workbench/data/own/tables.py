"""Encodings of tables, one row an item: measurements, yes or no, counts, categories.

NaN (None, pandas' NA) is a missing entry; a row of nothing else says that the item lacks the modality.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.data.own.encodings import ABSENT, Encoding, Present
from workbench.data.own.foreign import cure_of, entries, is_missing, is_whole, order_of
from workbench.data.own.raw import Layout, Name, as_ordered

Level = str | int
LARGEST = 1e18  # of values: the squares of a few hundred of them add up to a float32
FAR = 100.0  # standard deviations from the mean, or times the largest count, that are named in a warning


class Columns(Encoding):
    """What has `columns`, their names in a DataFrame, and is `flat` where one was given without a second dimension."""

    @property
    def layout(self) -> Layout:
        """The form in which the table was given."""
        return Layout(*self.shape, self.columns, self.flat)


@dataclass(frozen=True)
class Table(Columns):
    """A table of numbers; its form is kept so that it can be given back."""

    size: int
    columns: tuple[Name, ...] | None
    flat: bool

    @classmethod
    def fit(cls, raw: Any) -> "Table":
        """Fit the columns."""
        return cls(*read_table(raw)[0])

    @property
    def shape(self) -> tuple[int]:
        """Columns of the table."""
        return (self.size,)

    def numbers(self, raw: Any) -> np.ndarray:
        """Return the entries as float64 `[n, size]`, those of this kind; ValueError on others."""
        return self.layout.numbers(raw)

    def stored(self, raw: Any) -> tuple[Float[Tensor, "n size"], Present]:
        """Keep float32, NaN where an entry is missing."""
        table = self.numbers(raw)
        return torch.from_numpy(table.astype(np.float32)), torch.from_numpy(~np.isnan(table).all(1))

    def original(self, values: Tensor, present: Present | None = None) -> Any:
        """Return numbers in the user's units, in the form that was given."""
        table = values.detach().cpu().double().numpy().copy()
        if present is not None:
            table[~present.cpu().numpy()] = np.nan
        return self.layout.give_back(self.in_units(table))

    def in_units(self, table: np.ndarray) -> np.ndarray:
        """Return values as the user has them."""
        return table

    def far_out(self, stored: Float[Tensor, "n size"], factors: Float[Tensor, "n size"], of: str) -> str | None:
        """Name the entry that is farthest out, by more than FAR of something of the training part."""
        far = factors.abs().nan_to_num()
        if not far.numel() or far.max() <= FAR:
            return None
        row, k = divmod(int(far.argmax()), self.size)
        value = self.in_units(stored[row].double().numpy())[k]
        return (
            f"{self.layout.column(k)} holds {value:g} in row {row}, {far.max():.3g} {of} of the training part (more "
            f"than {FAR:g} are far outside): what a model makes of it means nothing"
        )


def read_table(raw: Any) -> tuple[Layout, np.ndarray]:
    """Read a training part and its form; ValueError, which names the column, on columns without any entry."""
    layout = Layout.of(raw)
    table = layout.numbers(raw)
    empty = np.isnan(table).all(0)
    if empty.all():
        raise ValueError(ABSENT)
    if empty.any():
        columns = ", ".join(layout.column(k) for k in np.flatnonzero(empty))
        raise ValueError(f"{columns} holds no entry in the training part, only NaN: leave it out")
    return layout, table


def check_entries(layout: Layout, table: np.ndarray, right: np.ndarray, wrong: str, cure: str) -> None:
    """Raise ValueError, which names the first column and its value, where an entry is there and not right."""
    places = np.argwhere(~right & ~np.isnan(table))
    if len(places):
        row, k = places[0]
        raise ValueError(f"{layout.column(k)} holds {table[row, k]:g} in row {row}, {wrong}: {cure}")


@dataclass(frozen=True)
class Vector(Table):
    """Measurements: columns standardised by mean and standard deviation of the training part's entries."""

    kind: ClassVar[str] = "vector"
    mean: tuple[float, ...]
    scale: tuple[float, ...]  # 1 for a column that never varies

    @classmethod
    def fit(cls, raw: Any) -> "Vector":
        """Fit mean and standard deviation of every column."""
        from sklearn.preprocessing import StandardScaler  # takes a second to import

        layout, table = read_table(raw)
        # the square of what is larger would be infinite, and with it all of its column missing
        check_entries(layout, table, np.abs(table) < 1e150, "too large to be squared", "take a smaller unit")
        scaler = StandardScaler().fit(table)
        return cls(*layout, tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist()))

    def numbers(self, raw: Any) -> np.ndarray:
        """Return standardised entries; ValueError on those whose squares are infinite as float32."""
        table = super().numbers(raw)
        values = (table - np.array(self.mean)) / np.array(self.scale)
        wrong, cure = "too far from the training part", "correct it, or put NaN where a value is missing"
        check_entries(self.layout, table, np.abs(values) < LARGEST, wrong, cure)
        return values

    def remark(self, stored: Tensor) -> str | None:
        """Name the entry that is farthest from the training part's mean, by more than FAR standard deviations."""
        return self.far_out(stored, stored, "standard deviations from the mean")

    def in_units(self, table: np.ndarray) -> np.ndarray:
        """Take the standardisation back."""
        return table * np.array(self.scale) + np.array(self.mean)


@dataclass(frozen=True)
class Binary(Table):
    """Yes or no in every column: True and False, or 1 and 0."""

    kind: ClassVar[str] = "binary"
    boolean: bool = True  # whether the table was given as such, and not as numbers

    @classmethod
    def fit(cls, raw: Any) -> "Binary":
        """Fit the columns, and whether all of them are Boolean."""
        layout, _ = read_table(raw)
        return cls(*layout, {column.dtype.kind for column in layout.columns_of(raw)} == {"b"})

    def numbers(self, raw: Any) -> np.ndarray:
        """Return zeros and ones."""
        table = super().numbers(raw)
        check_entries(self.layout, table, (table == 0) | (table == 1), "neither 0 nor 1", "take another kind")
        return table

    def in_units(self, table: np.ndarray) -> np.ndarray:
        """Return the likelier of both; as numbers where an entry is missing, which a Boolean cannot say."""
        missing = np.isnan(table)
        likelier = table >= 0.5
        return likelier if self.boolean and not missing.any() else np.where(missing, np.nan, likelier)


@dataclass(frozen=True)
class Counts(Table):
    """Counts: whole numbers from zero on, as they are."""

    kind: ClassVar[str] = "counts"
    largest: tuple[float, ...] = field(default=(), compare=False)  # of each column; of versions that kept none: empty

    @classmethod
    def fit(cls, raw: Any) -> "Counts":
        """Fit the columns, and the largest count of each."""
        layout, table = read_table(raw)
        return cls(*layout, tuple(np.nanmax(table, axis=0).tolist()))

    def numbers(self, raw: Any) -> np.ndarray:
        """Return whole numbers."""
        table = super().numbers(raw)
        whole = (table >= 0) & (table == np.floor(table)) & (table < 2**24)
        check_entries(
            self.layout, table, whole, "no count, which is a whole number from 0 to 2^24", "take kind 'vector'"
        )
        return table

    def remark(self, stored: Tensor) -> str | None:
        """Name the count that is farthest above the largest of the training part, by more than FAR times."""
        if not self.largest:
            return None
        return self.far_out(stored, stored / torch.tensor(self.largest).clamp(min=1), "times the largest count")


@dataclass(frozen=True)
class Categories(Columns):
    """One of several levels in every column, strings or integers: tokens are their places, -1 where one is missing."""

    kind: ClassVar[str] = "categories"
    levels: tuple[tuple[Level, ...], ...]  # of each column, those of the training part, in its order or sorted
    columns: tuple[Name, ...] | None
    flat: bool
    ordered: tuple[bool, ...] = ()  # which columns were ordered categoricals; empty: none

    @classmethod
    def fit(cls, raw: Any) -> "Categories":
        """Fit the levels of every column."""
        layout = Layout.of(raw)
        columns = layout.columns_of(raw)
        levels = tuple(_levels(column, layout.column(k)) for k, column in enumerate(columns))
        ordered = tuple(order_of(column) is not None for column in columns)
        if not any(levels):
            raise ValueError(ABSENT)
        if empty := [layout.column(k) for k, of_column in enumerate(levels) if not of_column]:
            raise ValueError(f"{', '.join(empty)} holds no entry in the training part: leave it out")
        return cls(levels, layout.columns, layout.flat, ordered if any(ordered) else ())

    def to_json(self) -> dict[str, Any]:
        """Return its kind and fields; without ordered columns those that it had before there were any."""
        return {name: value for name, value in super().to_json().items() if name != "ordered" or value}

    @property
    def shape(self) -> tuple[int]:
        """Columns of the table."""
        return (len(self.levels),)

    @property
    def alphabet(self) -> int:
        """Levels of the column that has most of them."""
        return max(len(levels) for levels in self.levels)

    def stored(self, raw: Any) -> tuple[Int[Tensor, "n columns"], Present]:
        """Keep tokens as int32."""
        columns = self.layout.columns_of(raw)
        tokens = np.stack([self._tokens(column, k) for k, column in enumerate(columns)], axis=1)
        return torch.from_numpy(tokens), torch.from_numpy((tokens >= 0).any(1))

    def _tokens(self, column: Any, k: int) -> np.ndarray:
        levels, name = np.array(self.levels[k]), self.layout.column(k)
        values, present = _entries(column, name)
        tokens = np.full(len(values), -1, dtype=np.int32)
        if not present.any():
            return tokens
        known, order = levels.dtype.kind == values.dtype.kind, np.argsort(levels)
        places = order[np.searchsorted(levels, values[present], sorter=order).clip(max=len(levels) - 1)] if known else 0
        unseen = np.flatnonzero(levels[places] != values[present]) if known else [0]
        if len(unseen):
            row = np.flatnonzero(present)[unseen[0]]
            raise ValueError(
                f"{name} holds the level {values[row].item()!r} in row {row}, which the training part never shows: "
                f"merge it with one of {', '.join(map(repr, self.levels[k][:10]))}, or make it missing (None); free "
                "text is of kind 'text'"
            )
        tokens[present] = places
        return tokens

    def read(self, stored: Tensor) -> Int[Tensor, "n columns"]:
        """Read tokens as int64."""
        return stored.long()

    def original(self, values: Tensor, present: Present | None = None) -> Any:
        """Return levels, of tokens or the most probable ones, in the form that was given; None where one is missing."""
        table = np.full((len(values), len(self.levels)), None, dtype=object)
        for k, levels in enumerate(self.levels):
            # tokens beyond the column's own levels are there for the sake of longer columns
            own = values[:, k, : len(levels)].argmax(-1) if values.dim() == 3 else values[:, k]
            tokens = own.cpu().numpy()
            shown = tokens >= 0 if present is None else (tokens >= 0) & present.cpu().numpy()
            table[shown, k] = np.array(levels, dtype=object)[tokens[shown]]
        whole = all(isinstance(value, int) for value in table.ravel())
        given = self.layout.give_back(table.astype(np.int64) if whole else table)
        for k, levels in enumerate(self.levels):
            if self.ordered and self.ordered[k]:
                given = as_ordered(given, self.columns[k], levels)
        return given


def _entries(column: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Entries of a column as strings or int64, and which of them are there; ValueError where they are neither."""
    values = entries(column)
    present = np.array([not is_missing(value) for value in values], dtype=bool)
    shown = [value for value, is_present in zip(values, present, strict=True) if is_present]
    strings = sum(isinstance(value, str) for value in shown)
    if 0 < strings < len(shown):
        row = next(i for i, value in enumerate(values) if isinstance(value, str))
        what = f"mixes strings and numbers, such as {values[row]!r} in row {row}"
        raise ValueError(f"{name} {what}: make it NaN where it says missing, or make all of them strings")
    if not strings and (wrong := [value for value in shown if not is_whole(value)]):
        cure = cure_of(wrong[0])
        raise ValueError(f"{name} holds {wrong[0]!r}: levels are strings or whole numbers{f', {cure}' if cure else ''}")
    read = np.zeros(len(values), dtype=np.array(shown, dtype=str).dtype if strings else np.int64)
    read[present] = shown
    return read, present


def _levels(column: Any, name: str) -> tuple[Level, ...]:
    """Levels that a column shows, sorted, or in the order of an ordered categorical."""
    values, present = _entries(column, name)
    shown = np.unique(values[present]).tolist()
    return tuple(shown if (order := order_of(column)) is None else sorted(shown, key=order.index))
