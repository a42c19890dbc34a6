"""A look at tables whose kind nobody said: would another kind, or another scale, suit their likelihood better?"""

from typing import Any

import numpy as np

from workbench.data.own.raw import Layout

FEWEST = 50  # items from which on a look tells anything
MANY = 0.5  # a share of the columns from which on something is said of all
SKEWED = 2.0  # skewness of an exponential distribution
FEW = 10  # largest number of what may be a score


def advice(raw: Any) -> str | None:
    """Say in one line what a table of measurements looks like, of which a normal distribution is a poor model.

    Zeros and ones, counts, or amounts whose logarithms are more alike; None where none of it is so.
    """
    layout = Layout.of(raw)
    table = layout.numbers(raw)
    known = table[~np.isnan(table)]
    if len(table) < FEWEST or known.min() < 0:
        return None
    if np.isin(known, (0, 1)).all():
        return "holds zeros and ones alone: kind 'binary' takes them as yes and no"
    whole = (known == np.floor(known)).all() and known.max() < 2**24
    if whole and _like_counts(table).sum() >= max(3, MANY * layout.size):
        return f"holds whole numbers from 0 to {known.max():g}: if they are counts, say kind 'counts'"
    skewed = int((skewness(table) > SKEWED).sum())
    if skewed < MANY * layout.size:
        return None
    zeros = f", and {share:.0%} of all entries are 0" if (share := (known == 0).mean()) >= 0.01 else ""
    return (
        f"{skewed} of {layout.size} columns have a long tail to the right (skewness above {SKEWED:g}){zeros}: a normal "
        "distribution may fit np.log1p of them, in a small unit, better"
    )


def _like_counts(table: np.ndarray) -> np.ndarray:
    """Which columns of whole numbers hold zeros and vary as counts do: ages, years and pressures do not."""
    varies = np.nanvar(table, 0) > np.nanmean(table, 0)
    return varies & (np.nanmin(table, 0) == 0) & (np.nanmax(table, 0) > FEW)


def skewness(table: np.ndarray) -> np.ndarray:
    """Third standardised moment of each column `[n, d]`, whose NaN are left out; 0 where it does not vary."""
    centred = table - np.nanmean(table, axis=0)
    spread = np.sqrt(np.nanmean(centred**2, axis=0))
    return np.nanmean((centred / np.where(spread > 0, spread, np.inf)) ** 3, axis=0)
