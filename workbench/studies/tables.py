"""Methods on real tables over random splits: what they impute, what their codes tell, beside simpler ways.

A split trains on some items and tests on the others, every class alike. Each number is a row, a dictionary that says
what it is of: `pandas.DataFrame(rows)` is a tidy frame, `over_splits` gives means with corrected errors.
"""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from workbench.config import Config
from workbench.data.dataset import Splits
from workbench.data.own.arrays import from_arrays, read_labels, test_rows
from workbench.data.tables import TEST, Tables, read_tables
from workbench.metrics.encode import encode_rows, posterior_of
from workbench.runs.run import Run
from workbench.studies.imputation import impute, quality
from workbench.studies.imputation_baselines import baselines
from workbench.studies.subset_information import code_scores, column_scores
from workbench.studies.survival import concordance, risks
from workbench.training.loop import fit

LEVEL = 0.8  # that intervals promise to hold
Found = dict[str, dict[str, float]]  # numbers by what they are of and what they measure


class Split(NamedTuple):
    """Tables of items, of which some are `tested`; those that are neither learnt from nor tested are left out."""

    name: str
    seed: int
    tables: Tables
    tested: np.ndarray

    @property
    def learnt(self) -> dict[str, np.ndarray]:
        """What is learnt from."""
        return {name: table[~self.tested] for name, table in self.tables.arrays.items()}

    @property
    def shown(self) -> dict[str, np.ndarray]:
        """What is tested on."""
        return {name: table[self.tested] for name, table in self.tables.arrays.items()}

    @property
    def data(self) -> Splits:
        """Both parts as data sets."""
        tables = self.tables
        return from_arrays(tables.arrays, tables.labels, split=self.tested, name="tables", kinds=tables.kinds)


def split_of(name: str, seed: int, items: int | None = None) -> Split:
    """Draw a split of tables that come with the project, with all items to learn from or so many, every class alike."""
    tables = read_tables(name)
    tested = _drawn(tables.labels, TEST[name], seed)
    if items is None:
        return Split(name, seed, tables, tested)
    left = np.flatnonzero(~tested)
    if items > len(left):
        raise ValueError(f"{name} leaves {len(left)} items to learn from: ask for no more than these, not {items}")
    kept = np.union1d(left[_drawn(tables.labels[left], items / len(left), seed)], np.flatnonzero(tested))
    chosen = tables._replace(
        arrays={m: table[kept] for m, table in tables.arrays.items()},
        labels=tables.labels[kept],
        items=[tables.items[i] for i in kept],
        outcome={key: x[kept] for key, x in tables.outcome.items()},
    )
    return Split(name, seed, chosen, tested[kept])


def _drawn(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    return test_rows(share, read_labels(labels, len(labels)), len(labels), seed)


def trained(split: Split, config: Config, folder: str | Path) -> Run:
    """Train a configuration on a split, in a folder of its own below the one that is given."""
    train, items = split.data.train, (~split.tested).sum()
    config = config.replace(data=train.name, seed=split.seed)
    return fit(config, Path(folder) / f"{split.name}-{items}-{config.key()}", train, progress=False)


def cases(split: Split, pairs: Sequence[str] = ()) -> Iterator[tuple[str, str, dict[str, np.ndarray], np.ndarray]]:
    """What is imputed: each table from all others, and pairs such as "zernike from pixels".

    Yields what a case is called, its target, and of the test items that have all it needs what is given, and the truth.
    """
    shown = split.shown
    for name in (*shown, *pairs):
        target, _, source = name.partition(" from ")
        given = [source] if source else [other for other in shown if other != target]
        there = np.all([~np.isnan(shown[m]).all(1) for m in (target, *given)], axis=0)
        if there.any():
            yield name, target, {m: shown[m][there] for m in given}, shown[target][there]


def judged(split: Split, target: str, truth: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    """RMSE and CRPS in standard deviations of the training items, and what intervals of LEVEL hold.

    Columns that do not vary among these have no deviation and are left out.
    """
    scale = np.nanstd(split.learnt[target], axis=0)
    return quality(draws.astype(float), truth, np.where(scale > 0, scale, np.nan), [LEVEL])


def of_model(run: Run, split: Split, fusion: str, draws: int, pairs: Sequence[str] = ()) -> Found:
    """What a trained model imputes, what its codes tell of the classes, and of how long patients live."""
    model, generator, found = run.model, torch.Generator().manual_seed(split.seed), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is imputed no better than by column means: here the numbers tell
        for name, target, given, truth in cases(split, pairs):
            found[name] = judged(split, target, truth, impute(model, given, target, draws, generator, fusion))
    parts, everything = split.data, range(len(model.modalities))
    found |= {name: score._asdict() for name, score in code_scores(model, *parts, fusion).items()}
    if split.tables.outcome:
        rows = [encode_rows(model, part, torch.arange(len(part)), generator) for part in parts]
        found["survival"] = _survival(split, *(posterior_of(model, x, everything, fusion).mean.numpy() for x in rows))
    return found


def of_baselines(split: Split, names: Sequence[str], draws: int, pairs: Sequence[str] = ()) -> dict[str, Found]:
    """The same by simpler ways, by their names: imputers of `imputation_baselines`, then regressions on columns."""
    found: dict[str, Found] = {name: {} for name in names}
    for case, target, given, truth in cases(split, pairs):
        learnt = {m: split.learnt[m] for m in (*given, target)}
        for (name, _), drawn in baselines(learnt, given, [target], draws, split.seed, names).items():
            found[name][case] = judged(split, target, truth, drawn)
    found["columns"] = {name: score._asdict() for name, score in column_scores(*split.data).items()}
    if split.tables.outcome:
        columns = [np.hstack([*arrays.values()]) for arrays in (split.learnt, split.shown)]
        means = np.nanmean(columns[0], axis=0)
        found["columns"]["survival"] = _survival(split, *(np.where(np.isnan(x), means, x) for x in columns))
    return found


def _survival(split: Split, learnt: np.ndarray, shown: np.ndarray) -> dict[str, float]:
    """The C-index of risks that features of the items tell."""
    days, died = (split.tables.outcome[key].astype(float) for key in ("days", "died"))
    seen, tested = ~split.tested & ~np.isnan(days), split.tested
    risk = risks(learnt[seen[~tested]], days[seen], died[seen], shown, split.seed)
    return {"concordance": concordance(risk, days[tested], died[tested])}


def rows_of(split: Split, method: str, found: Found) -> list[dict[str, Any]]:
    """Make a row of everything that was found, by what it is of and what it measures."""
    about = {"data": split.name, "items": int((~split.tested).sum()), "split": split.seed, "method": method}
    return [about | {"of": of, "measure": name, "value": x} for of, all_ in found.items() for name, x in all_.items()]
