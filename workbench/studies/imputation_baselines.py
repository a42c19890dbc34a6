"""What an imputation by a model must be compared with: scikit-learn's imputers and a regression, with intervals.

    mean        the mean of the training items
    kNN         the mean of the nearest training items (`KNNImputer`)
    iterative   Bayesian ridge regressions of each column on all others, round after round (`IterativeImputer`, as in
                R's mice); its draws are from the posteriors of these regressions
    regression  one ridge regression of what is missing on what is given (`RidgeCV`)

All but `iterative` only guess: a draw is the guess plus the errors of one training item, made when a cross-validation
had left it out. Columns are standardised by the training items.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - without it there is no IterativeImputer
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from workbench.data.own.raw import is_frame

FOLDS = 5  # of the cross-validation
ROUNDS = 10  # of the iterative imputation: scikit-learn's default
PENALTIES = np.logspace(-3, 3, 13)  # of the ridge regression, which chooses by leaving one out


@dataclass(frozen=True)
class Tables:
    """Standardised columns of several tables side by side, of the items to learn from and of those to impute."""

    columns: dict[str, slice]  # of each table
    scaler: StandardScaler
    train: np.ndarray  # [n, d], NaN where something is missing
    rows: np.ndarray  # [k, d]

    @classmethod
    def of(cls, train: Mapping[str, Any], arrays: Mapping[str, Any]) -> "Tables":
        """From tables by name; one that `arrays` lacks is missing for all of its items."""
        ends = np.cumsum([0, *(np.shape(table)[1] for table in train.values())])
        columns = {name: slice(*ends[k : k + 2]) for k, name in enumerate(train)}
        count = len(next(iter(arrays.values())))
        blank = {name: np.full((count, np.shape(table)[1]), np.nan) for name, table in train.items()}
        arrays = {name: in_order(table, train[name]) for name, table in arrays.items()}
        learnt, rows = (np.hstack([np.asarray(t, float) for t in x.values()]) for x in (train, blank | {**arrays}))
        scaler = StandardScaler().fit(learnt)
        return cls(columns, scaler, scaler.transform(learnt), scaler.transform(rows))

    def mask(self, target: str) -> np.ndarray:
        """Which columns are the target's."""
        mask = np.zeros(self.train.shape[1], dtype=bool)
        mask[self.columns[target]] = True
        return mask

    def original(self, values: np.ndarray, target: str) -> np.ndarray:
        """Standardised values of a target in its user's units."""
        chosen = self.columns[target]
        return values * self.scaler.scale_[chosen] + self.scaler.mean_[chosen]


def in_order(table: Any, train: Any) -> Any:
    """A frame with its columns in the order of another; ValueError where they are not the same."""
    if not (is_frame(table) and is_frame(train)):
        return table
    if {*table.columns} != {*train.columns}:
        raise ValueError(f"columns are {', '.join(map(str, table.columns))}: give those of the training items")
    return table[list(train.columns)]


Guess = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # training items, items, mask -> [items, target]


def guess_mean(train: np.ndarray, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Means of the columns."""
    return SimpleImputer().fit(train).transform(hidden(rows, mask))[:, mask]


def guess_neighbours(train: np.ndarray, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Means of the columns over the five nearest training items that have them."""
    return KNNImputer().fit(train).transform(hidden(rows, mask))[:, mask]


def guess_regression(train: np.ndarray, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A linear map of the other columns, learnt from complete items; ValueError where they lack entries."""
    complete = train[~np.isnan(train).any(1)]
    if np.isnan(rows[:, ~mask]).any():
        raise ValueError("a regression needs every entry of what is given: leave it out, or give complete tables")
    return RidgeCV(PENALTIES).fit(complete[:, ~mask], complete[:, mask]).predict(rows[:, ~mask])


GUESSES: dict[str, Guess] = {"mean": guess_mean, "kNN": guess_neighbours, "regression": guess_regression}
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
    """Draws of each target given all other tables, `[draws, n, columns]`, as `imputation.impute` gives them.

    By (baseline, target). `train` and `arrays` hold tables of numbers by name, in their user's units, NaN where
    something is missing; of `arrays`, what is drawn is not looked at. `rounds` are those of the iterative imputation.
    Raises ValueError on an unknown baseline or target, and on a regression on entries that are missing.
    """
    if unknown := [name for name in names if name not in BASELINES]:
        raise ValueError(f"unknown baseline {unknown[0]!r}: choose one of {', '.join(BASELINES)}")
    if unknown := [name for name in (*targets, *arrays) if name not in train]:
        raise ValueError(f"unknown table {unknown[0]!r}: the training items have {', '.join(train)}")
    tables, found = Tables.of(train, arrays), {}
    for name in names:
        if name == "iterative":
            drawn = iterated(tables, targets, draws, seed, rounds)
        else:
            drawn = {target: guessed(GUESSES[name], tables, target, draws, seed) for target in targets}
        found |= {(name, target): tables.original(values, target) for target, values in drawn.items()}
    return found


def hidden(rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Items without what is to be imputed."""
    return np.where(mask, np.nan, rows)


def guessed(guess: Guess, tables: Tables, target: str, draws: int, seed: int) -> np.ndarray:
    """A guess, and round it errors of training items that it had not seen, less their mean."""
    mask, errors = tables.mask(target), left_out_errors(guess, tables, target, seed)
    chosen = errors[np.random.default_rng(seed).permutation(np.arange(draws) % len(errors))]
    return guess(tables.train, tables.rows, mask) + (chosen - chosen.mean(0))[:, None]


def left_out_errors(guess: Guess, tables: Tables, target: str, seed: int) -> np.ndarray:
    """Errors `[items, target]` of a cross-validation, in random order, for training items that lack nothing."""
    mask, train = tables.mask(target), tables.train
    complete = np.flatnonzero(~np.isnan(train).any(1))
    if len(complete) < FOLDS:
        raise ValueError(f"{len(complete)} training items are complete: a cross-validation needs {FOLDS}")
    errors = []
    for _, places in KFold(FOLDS, shuffle=True, random_state=seed).split(complete):
        left = complete[places]
        errors.append(train[left][:, mask] - guess(np.delete(train, left, axis=0), train[left], mask))
    return np.random.default_rng(seed).permutation(np.concatenate(errors))


def iterated(
    tables: Tables, targets: Sequence[str], draws: int, seed: int, rounds: int = ROUNDS
) -> dict[str, np.ndarray]:
    """Draws from the posteriors of the regressions, after so many rounds from the means of all columns."""
    imputer, found = IterativeImputer(max_iter=rounds, sample_posterior=True, random_state=seed), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # whether so many rounds are enough is to be seen
        imputer.fit(tables.train)
        for target in targets:
            mask = tables.mask(target)
            drawn = imputer.transform(np.tile(hidden(tables.rows, mask), (draws, 1)))
            found[target] = drawn.reshape(draws, *tables.rows.shape)[:, :, mask]
    return found
