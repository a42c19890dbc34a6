"""Comparisons that ordinal claims make: weighted sums of cells of one table, positive where they support the claim.

A `Pick` says which columns are meant, `Above` and `BeyondParts` how the numbers in them are compared. Both work on the
paper's numbers as on ours.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple, Protocol, runtime_checkable

from workbench.reports.published import RANDOM

Numbers = Mapping[str, Mapping[str, float]]  # method's key in `published` -> column of the table -> number
Contrast = dict[tuple[str, str], float]  # (method's key, column) -> weight; empty where there is nothing to compare


def value(contrast: Contrast, numbers: Numbers) -> float:
    """The difference: the weighted sum, rounded to 1e-9 so that decimals of a table meet a margin exactly."""
    return round(sum(weight * numbers[key][column] for (key, column), weight in contrast.items()), 9)


# Which columns of a table


class Pick(NamedTuple):
    """A choice of columns, and in words what data have none of when it chooses none."""

    words: str
    of: Callable[[Sequence[str]], list[str]]


def given(column: str) -> str:
    """What a column's numbers are inferred or generated from: "M,S" of "M,S" and of "M,S → T"."""
    return column.partition(" → ")[0]


def parts(column: str) -> list[str]:
    """The columns of each given modality alone: "M → T" and "S → T" of "M,S → T"."""
    return [letter + column.removeprefix(given(column)) for letter in given(column).split(",")]


def _where(words: str, chosen: Callable[[str], bool]) -> Pick:
    return Pick(words, lambda columns: [column for column in columns if chosen(column)])


JOINT = Pick(
    "joint posterior of several modalities", lambda columns: sorted((c for c in columns if "," in c), key=len)[-1:]
)
SEVERAL = _where("input of several modalities", lambda c: "," in c)
SINGLE = _where("single input", lambda c: "," not in c and given(c) != RANDOM)
CONDITIONAL = _where("modality generated from others", lambda c: given(c) != RANDOM)
STREET = _where("street numbers (S) generated from others", lambda c: c.endswith(" → S") and given(c) != RANDOM)
PRIOR = _where("images generated at random", lambda c: c.startswith(f"{RANDOM} → "))
ANY = _where("number", lambda c: c != RANDOM)  # in "coherence" that is a count in which more is not better
WHOLE = _where("ln p(X)", lambda c: c == "X")


# How the numbers in them are compared


@runtime_checkable
class Comparison(Protocol):
    """From numbers and a choice of columns to the contrast that a claim is about."""

    @property
    def methods(self) -> tuple[str, ...]:
        """Keys of the methods whose numbers it needs."""

    def __call__(self, numbers: Numbers, pick: Pick) -> Contrast:
        """Weights of cells; none where there is nothing to compare."""


@dataclass(frozen=True)
class Above:
    """The lowest of some methods minus the highest of others, each by its mean over the columns."""

    highs: tuple[str, ...]
    lows: tuple[str, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """Keys of the methods whose numbers it needs."""
        return self.highs + self.lows

    def suffixed(self, suffix: str) -> "Above":
        """The same comparison of methods with this suffix."""
        return Above(*(tuple(key + suffix for key in keys) for keys in (self.highs, self.lows)))

    def __call__(self, numbers: Numbers, pick: Pick) -> Contrast:
        columns = pick.of([c for c in numbers[self.highs[0]] if all(c in numbers[key] for key in self.methods)])
        if not columns:
            return {}
        means = {key: fmean(numbers[key][column] for column in columns) for key in self.methods}
        high, low = min(self.highs, key=means.__getitem__), max(self.lows, key=means.__getitem__)
        return {(key, c): sign / len(columns) for key, sign in ((high, 1), (low, -1)) for c in columns}


@dataclass(frozen=True)
class BeyondParts:
    """A method given several modalities minus the mean of what it reaches given each of them alone."""

    method: str

    @property
    def methods(self) -> tuple[str, ...]:
        """Keys of the methods whose numbers it needs."""
        return (self.method,)

    def suffixed(self, suffix: str) -> "BeyondParts":
        """The same comparison of the method with this suffix."""
        return BeyondParts(self.method + suffix)

    def __call__(self, numbers: Numbers, pick: Pick) -> Contrast:
        row = numbers[self.method]
        columns = [column for column in pick.of([*row]) if all(part in row for part in parts(column))]
        weights: defaultdict[tuple[str, str], float] = defaultdict(float)
        for column in columns:
            weights[self.method, column] += 1 / len(columns)
            for part in parts(column):
                weights[self.method, part] -= 1 / len(columns) / len(parts(column))
        return dict(weights)
