"""The C-index, against pairs that are counted one by one."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from workbench.data.tables import read_tables
from workbench.studies.survival import concordance, hazards, risks

PATIENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5), st.booleans()), min_size=2, max_size=9)


def counted(risk, days, died):
    """Pair by pair; None where no order is known."""
    score = []
    for i, j in permutations(range(len(days)), 2):
        if died[i] and (days[i] < days[j] or (days[i] == days[j] and not died[j])):
            score.append(1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0)
    return np.mean(score) if score else None


@given(PATIENTS)
def test_it_counts_pairs(patients):
    risk, days, died = zip(*patients, strict=True)
    wanted = counted(*zip(*patients, strict=True))
    if wanted is None:
        with pytest.raises(ValueError, match="no pair"):
            concordance(risk, days, died)
    else:
        assert concordance(risk, days, died) == pytest.approx(wanted)
        assert concordance([-x for x in risk], days, died) == pytest.approx(1 - wanted)


def test_where_the_others_outlive_it_is_the_area_under_the_curve():
    dice = np.random.default_rng(0)
    died = dice.random(60) < 0.4
    risk = dice.normal(size=60) + died
    days = np.where(died, 10, 100)  # all deaths on one day, before anybody was last seen
    assert concordance(risk, days, died) == pytest.approx(roc_auc_score(died, risk))


def test_who_is_unknown_is_left_out_and_what_does_not_fit_refused():
    risk, days, died = [1.0, 2.0, np.nan, 0.0], [5.0, 3.0, 1.0, np.nan], [True, True, True, False]
    assert concordance(pd.Series(risk), days, died) == concordance(risk[:2], days[:2], died[:2]) == 1.0
    with pytest.raises(ValueError, match="shapes"):
        concordance(risk, days[:3], died)


def test_the_stage_of_real_patients_tells_something():
    """RNA of proliferation, of which TOP2A and CCNB1 are known to go with bad outcome in this cancer."""
    found = read_tables("miniacc")
    names = [name for name in ("CCNB1", "CDK1", "CCNE1") if name in found.columns["rna"]]
    assert names
    risk = found.arrays["rna"][:, [found.columns["rna"].index(name) for name in names]].mean(1)
    assert concordance(risk, found.outcome["days"], found.outcome["died"]) > 0.65


def partial(w, x, days, died, penalty):
    """The penalised log partial likelihood, a death after the other."""
    total = -penalty / 2 * np.sum(w**2)
    for i in np.flatnonzero(died):
        total += x[i] @ w - np.log(sum(np.exp(x[j] @ w) for j in range(len(x)) if days[j] >= days[i]))
    return total


@given(st.integers(0, 50), st.sampled_from([0.1, 1.0, 30.0]))
def test_no_weights_are_likelier_than_those_of_the_hazards(seed, penalty):
    dice = np.random.default_rng(seed)
    x, days, died = dice.normal(size=(14, 3)), dice.integers(1, 9, 14), dice.random(14) < 0.6
    died[0] = True
    w = hazards(x, days, died, penalty)
    best = partial(w, x, days, died, penalty)
    for axis in np.eye(3):
        slope = (
            partial(w + 1e-5 * axis, x, days, died, penalty) - partial(w - 1e-5 * axis, x, days, died, penalty)
        ) / 2e-5
        assert abs(slope) < 1e-3
        assert partial(w + 0.3 * axis, x, days, died, penalty) < best


def test_hazards_and_risks_find_what_patients_were_made_with():
    dice = np.random.default_rng(0)
    x, true = dice.normal(size=(600, 5)), np.array([1.0, -0.5, 0, 0, 0.25])
    days, seen = dice.exponential(np.exp(-x @ true)), dice.exponential(3.0, 600)  # who is seen for a shorter time lives
    died, days = days <= seen, np.minimum(days, seen)
    assert hazards(x[:400], days[:400], died[:400], 0.1) == pytest.approx(true, abs=0.2)
    noise = dice.normal(size=(600, 40))  # which the penalty must keep down
    told = risks(np.hstack([x, noise])[:400] * 7 + 3, days[:400], died[:400], np.hstack([x, noise])[400:] * 7 + 3)
    assert concordance(told, days[400:], died[400:]) > concordance(x[400:] @ true, days[400:], died[400:]) - 0.03
