"""What a look at a table says of its kind."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workbench.data.own.arrays import from_arrays
from workbench.data.own.looks import advice, skewness

DICE = np.random.default_rng(0)
MADE = {  # tables by what should be said of them
    "kind 'binary'": DICE.integers(0, 2, (90, 3)).astype(float),
    "kind 'counts'": DICE.negative_binomial(1, 0.05, (90, 3)).astype(float),
    "3 of 3 columns .* fit np.log1p": DICE.lognormal(0, 2, (200, 3)),
    "30% of all entries are 0": np.where(np.arange(200)[:, None] < 60, 0, DICE.lognormal(0, 2, (200, 3))),
    "nothing": DICE.normal(5, 1, (200, 3)),
    "nothing of scores": DICE.integers(1, 6, (90, 3)).astype(float),
    "nothing of ages": DICE.integers(18, 90, (90, 3)).astype(float),
    "nothing of what may be negative": DICE.lognormal(0, 2, (200, 3)) - 1,
}


@pytest.mark.parametrize("said", MADE)
def test_what_it_says(said):
    holes = np.where(DICE.random(MADE[said].shape) < 0.1, np.nan, MADE[said])
    for raw in (MADE[said], pd.DataFrame(MADE[said], columns=list("abc"))):
        found = advice(raw)
        assert found is None if said.startswith("nothing") else pd.Series([found]).str.contains(said).all()
    if "30%" not in said:
        assert (advice(holes) is None) == said.startswith("nothing")


def test_whoever_names_the_kind_is_told_nothing():
    table, other = MADE["kind 'counts'"], MADE["nothing"][:90]
    with pytest.warns(UserWarning, match=r"^seen: holds whole numbers .* \(kinds=\{'seen': 'vector'\}"):
        from_arrays({"seen": table, "other": other})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_arrays({"seen": table, "other": other}, kinds={"seen": "vector"})
        from_arrays({"seen": table, "other": other}, kinds={"seen": "counts"})


@given(st.integers(0, 1000), st.floats(0, 0.4))
def test_skewness_is_scipys(seed, missing):
    dice = np.random.default_rng(seed)
    table = dice.exponential(size=(30, 4)) * [1, 10, -3, 0]
    table[dice.random(table.shape) < missing] = np.nan
    wanted = np.nan_to_num(stats.skew(table[:, :3], nan_policy="omit", axis=0))
    assert skewness(table) == pytest.approx([*wanted, 0.0], abs=1e-9)
