"""Columns of tables where modalities are many: means over subsets of one size instead of one column for each subset."""

from collections.abc import Collection
from statistics import fmean
from typing import Any

from workbench.inference import EVERY_SUBSET_OF
from workbench.reports import results
from workbench.reports.published import RANDOM
from workbench.reports.results import Metrics
from workbench.reports.specs import Numbers

NOTE = "Columns by the number of given modalities are means over the evaluated subsets of that size."


def many(metrics: Metrics) -> bool:
    """Whether metrics are those of more modalities than every subset is evaluated of."""
    return len(_letters(metrics)) > EVERY_SUBSET_OF


def by_size(numbers: Numbers, metrics: Metrics) -> Numbers:
    """Means over subsets of one size where modalities are many; columns that name no subset stay as they are.

    Of standard errors the means are upper bounds. Numbers of single modalities, without a posterior, stay, too.
    """
    if not many(metrics):
        return numbers
    letters = _letters(metrics)
    return {fusion: _condensed(row, letters) if fusion else row for fusion, row in numbers.items()}


def _condensed(row: dict[str, Any], letters: Collection[str]) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for column, value in row.items():
        if value is not None:
            groups.setdefault(_heading(column, letters), []).append(value)
    return {heading: fmean(groups[heading]) for heading in sorted(groups, key=_order)}


def _order(heading: str) -> tuple[int, bool]:
    """Columns of other things first, then by the number of given modalities, what is predicted of itself after it."""
    number = heading.partition(" ")[0]
    return int(number) if number.isdecimal() else 0, heading.endswith("itself")


def _heading(column: str, letters: Collection[str]) -> str:
    """Where a column belongs: "A,B", "A,B → C" and "X|A,B" to "2 given", what is predicted of itself apart."""
    if column == "X":
        return f"{len(letters)} given"
    given, arrow, target = column.removeprefix("X|").partition(" → ")
    names = given.split(",")
    if arrow and given == RANDOM:
        return RANDOM
    if not {*names} <= {*letters}:
        return column
    return f"{len(names)} given" + (", itself" if target in names else "")


def _letters(metrics: Metrics) -> set[str]:
    """The modalities that some number of an evaluation is given."""
    return {name for number in results.flatten(metrics) for name in number.given.split(",")} - {"", RANDOM}
