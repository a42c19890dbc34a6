"""Comparisons that ordinal claims make: weighted sums of cells of one table, positive where they support the claim.

A `Pick` says which columns are meant, `Above` and `BeyondParts` how the numbers in them are compared. Both work on the
paper's numbers as on ours.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from statistics import fmean
from typing import NamedTuple

# method's key in `published`, or a setting -> column of the table -> number
Numbers = Mapping[str, Mapping[str, float]]
Contrast = dict[tuple[str, str], float]  # (method's key, column) -> weight; empty where there is nothing to compare


def value(contrast: Contrast, numbers: Numbers) -> float:
    """Sum the weighted numbers, rounded to 1e-9 so that decimals of a table meet a margin exactly."""
    return round(sum(weight * numbers[key][column] for (key, column), weight in contrast.items()), 9)


# Which columns of a table


class Pick(NamedTuple):
    """A choice of columns, and in words what data have none of when it chooses none."""

    words: str
    of: Callable[[Sequence[str]], list[str]]


def given(column: str) -> str:
    """Say what a column's numbers are inferred or generated from: "M,S" of "M,S" and of "M,S → T"."""
    return column.partition(" → ")[0]


def parts(column: str) -> list[str]:
    """Name the columns of each given modality alone: "M → T" and "S → T" of "M,S → T"."""
    return [letter + column.removeprefix(given(column)) for letter in given(column).split(",")]


# How the numbers in them are compared


class Comparison:
    """From numbers and a choice of columns to the contrast that a claim is about."""

    methods: tuple[str, ...] = ()  # keys of the methods whose numbers are needed; none for settings of one method

    def __call__(self, numbers: Numbers, pick: Pick) -> Contrast:
        """Give weights of cells; none where there is nothing to compare."""
        raise NotImplementedError

    def others(self, numbers: Numbers, pick: Pick) -> list[Contrast]:
        """Give further contrasts, no nearer to zero, that must support what the first one does."""
        return []

    def remarks(self, contrast: Contrast) -> list[str]:
        """Say what a contrast must not be read without."""
        return []


def means(numbers: Numbers, pick: Pick) -> tuple[dict[str, float], list[str]]:
    """Average each row over the picked columns that all rows have; returns these columns, too."""
    first, *others = numbers.values()
    columns = pick.of([column for column in first if all(column in row for row in others)])
    return {key: fmean(row[c] for c in columns) for key, row in numbers.items() if columns}, columns


def of_means(weights: Mapping[str, float], columns: Sequence[str]) -> Contrast:
    """Make the contrast of weighted means over columns."""
    return {(key, column): weight / len(columns) for key, weight in weights.items() for column in columns}


class OfMethods(Comparison):
    """A comparison of one group of methods or several, by their keys in `published`."""

    def __init__(self, *groups: tuple[str, ...]) -> None:
        self.groups, self.methods = groups, sum(groups, ())

    def suffixed(self, suffix: str) -> "OfMethods":
        """Compare the methods with this suffix."""
        return type(self)(*(tuple(key + suffix for key in keys) for keys in self.groups))


class Above(OfMethods):
    """The lowest of some methods minus the highest of others, each by its mean over the columns."""

    def __call__(self, numbers: Numbers, pick: Pick) -> Contrast:
        highs, lows = self.groups
        mean, columns = means({key: numbers[key] for key in self.methods}, pick)
        return of_means({min(highs, key=mean.get): 1.0, max(lows, key=mean.get): -1.0}, columns) if columns else {}

    def others(self, numbers: Numbers, pick: Pick) -> list[Contrast]:
        """Every other pair: methods further away may have seeds further apart."""
        columns = means({key: numbers[key] for key in self.methods}, pick)[1]
        pairs = (of_means({high: 1.0, low: -1.0}, columns) for high, low in product(*self.groups))
        return [pair for pair in pairs if pair != self(numbers, pick)]


class BeyondParts(OfMethods):
    """A method given several modalities minus the mean of what it reaches given each of them alone."""

    def __call__(self, numbers: Numbers, pick: Pick) -> Contrast:
        (method,) = self.methods
        row = numbers[method]
        columns = [column for column in pick.of([*row]) if all(part in row for part in parts(column))]
        weights: defaultdict[tuple[str, str], float] = defaultdict(float)
        for column in columns:
            weights[method, column] += 1 / len(columns)
            for part in parts(column):
                weights[method, part] -= 1 / len(columns) / len(parts(column))
        return dict(weights)
