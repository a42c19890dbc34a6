"""What an imputation by a model must be compared with: scikit-learn's imputers and a regression, with intervals.

    mean        the mean of the training items
    kNN         the mean of the five nearest training items (`KNNImputer`)
    iterative   Bayesian ridge regressions of each column on all others, round after round (`IterativeImputer`, as in
                R's mice); its draws are from the posteriors of these regressions
    regression  one ridge regression of what is missing on what is given (`RidgeCV`)

All but `iterative` only guess: a draw is the guess plus the errors of one training item, made when a cross-validation
had left it out. Columns are standardised by the training items.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - without it there is no IterativeImputer
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from workbench.data.own.foreign import as_array, is_frame

FOLDS = 5  # of the cross-validation
ROUNDS = 10  # of the iterative imputation: scikit-learn's default
PENALTIES = np.logspace(-3, 3, 13)  # of the ridge regression, which chooses by leaving one out
Guess = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # training items, items, mask -> [items, target]


def imputed(imputer: Any) -> Guess:
    """Guess as one of scikit-learn's imputers does, which has learnt from the training items."""
    return lambda train, rows, mask: imputer.fit(train).transform(hidden(rows, mask))[:, mask]


def regression(train: np.ndarray, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A linear map of the other columns, learnt from complete items; ValueError where they lack entries."""
    complete = train[~np.isnan(train).any(1)]
    if np.isnan(rows[:, ~mask]).any():
        raise ValueError("a regression needs every entry of what is given: leave it out, or give complete tables")
    return RidgeCV(PENALTIES).fit(complete[:, ~mask], complete[:, mask]).predict(rows[:, ~mask])


GUESSES: dict[str, Guess] = {"mean": imputed(SimpleImputer()), "kNN": imputed(KNNImputer()), "regression": regression}
BASELINES = ("mean", "kNN", "iterative", "regression")


def baselines(
    train: Mapping[str, Any],
    arrays: Mapping[str, Any],
    targets: Sequence[str],
    draws: int = 100,
    seed: int = 0,
    names: Sequence[str] = BASELINES,
    rounds: int = ROUNDS,
) -> dict[tuple[str, str], np.ndarray]:
    """Draw each target given all other tables, `[draws, n, columns]`, as `imputation.impute` does.

    By (baseline, target). `train` and `arrays` hold tables of numbers by name, in their user's units, NaN where
    something is missing; of `arrays`, what is drawn is not looked at, and a table that is not there is missing.
    `rounds` are those of the iterative imputation. Raises ValueError on an unknown baseline or target, and on a
    regression on entries that are missing.
    """
    if unknown := [name for name in names if name not in BASELINES]:
        raise ValueError(f"unknown baseline {unknown[0]!r}: choose one of {', '.join(BASELINES)}")
    if unknown := [name for name in (*targets, *arrays) if name not in train]:
        raise ValueError(f"unknown table {unknown[0]!r}: the training items have {', '.join(train)}")
    items = len(next(iter(arrays.values())))
    blank = {name: np.full((items, np.shape(table)[1]), np.nan) for name, table in train.items()}
    given = blank | {name: in_order(table, train[name]) for name, table in arrays.items()}
    learnt, rows = (np.hstack([np.asarray(as_array(table), float) for table in x.values()]) for x in (train, given))
    scaler, owners = StandardScaler().fit(learnt), np.repeat([*blank], [table.shape[1] for table in blank.values()])
    learnt, rows, masks = scaler.transform(learnt), scaler.transform(rows), {name: owners == name for name in targets}
    drawn: dict[tuple[str, str], np.ndarray] = {}
    for name in names:
        if guess := GUESSES.get(name):
            values = {t: guessed(guess, learnt, rows, mask, draws, seed) for t, mask in masks.items()}
        else:
            values = iterated(learnt, rows, masks, draws, seed, rounds)
        drawn |= {(name, t): values[t] * scaler.scale_[mask] + scaler.mean_[mask] for t, mask in masks.items()}
    return drawn


def in_order(table: Any, train: Any) -> Any:
    """Return a frame with its columns in the order of another; ValueError where they are not the same."""
    if not (is_frame(table) and is_frame(train)):
        return table
    if {*table.columns} != {*train.columns}:
        raise ValueError(f"columns are {', '.join(map(str, table.columns))}: give those of the training items")
    return table[list(train.columns)]


def hidden(rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return items without what is to be imputed."""
    return np.where(mask, np.nan, rows)


def guessed(guess: Guess, train: np.ndarray, rows: np.ndarray, mask: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Draw a guess, and round it errors of training items that it had not seen, less their mean."""
    errors = left_out_errors(guess, train, mask, seed)
    chosen = errors[np.random.default_rng(seed).permutation(np.arange(draws) % len(errors))]
    return guess(train, rows, mask) + (chosen - chosen.mean(0))[:, None]


def left_out_errors(guess: Guess, train: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
    """Return errors `[items, target]` of a cross-validation, in random order, for training items that lack nothing."""
    complete = np.flatnonzero(~np.isnan(train).any(1))
    if len(complete) < FOLDS:
        raise ValueError(f"{len(complete)} training items are complete: a cross-validation needs {FOLDS}")
    folds = [complete[places] for _, places in KFold(FOLDS, shuffle=True, random_state=seed).split(complete)]
    errors = [train[left][:, mask] - guess(np.delete(train, left, axis=0), train[left], mask) for left in folds]
    return np.random.default_rng(seed).permutation(np.concatenate(errors))


def iterated(
    train: np.ndarray, rows: np.ndarray, masks: Mapping[str, np.ndarray], draws: int, seed: int, rounds: int
) -> dict[str, np.ndarray]:
    """Draw from the posteriors of the regressions, after so many rounds from the means of all columns."""
    imputer, found = IterativeImputer(max_iter=rounds, sample_posterior=True, random_state=seed), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # whether so many rounds are enough is to be seen
        imputer.fit(train)
        for target, mask in masks.items():
            drawn = imputer.transform(np.tile(hidden(rows, mask), (draws, 1)))
            found[target] = drawn.reshape(draws, *rows.shape)[:, :, mask]
    return found
