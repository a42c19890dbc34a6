"""Tables of runs beside the paper's: `table`, `all_tables`, `markdown`, `write`, and which runs make one row.

Runs that differ in nothing but the seed make one row; a section that a run lacks leaves blank cells. Which tables there
are stands in `workbench.reports.specs`, how one looks in `workbench.reports.layout`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pandas.api.typing import SeriesGroupBy

from workbench.data.sources import describe, is_known, is_rendered
from workbench.reports import published, report
from workbench.reports.layout import KEYS, Table
from workbench.reports.specs import SPECS, Metrics, Numbers, Spec
from workbench.reports.tables_many import NOTE, by_size, many
from workbench.runs.run import Run

RENDERED = "images in part rendered by this project, NOT real ones"
NO_RUNS = "there is no run to tabulate: train one with `workbench train`"


def all_tables(runs: Sequence[Run]) -> list[Table]:
    """Every table that has a number, data set by data set."""
    results = _results(runs)
    chosen = [[r for r in results if r.data == data] for data in sorted({r.data for r in results})]
    made = [_table(spec, group) for group in chosen for spec in SPECS.values()]
    return [table for table in made if table.seeds.to_numpy().any()]


def table(name: str, runs: Sequence[Run]) -> Table:
    """One table of runs on one data set; ValueError for an unknown name, without runs, or with several data sets."""
    if name not in SPECS:
        raise ValueError(f"unknown table {name!r}: choose one of {', '.join(SPECS)}")
    results = _results(runs)
    found = sorted({result.data for result in results})
    if len(found) != 1:
        what = f"runs on {', '.join(found)} do not share a table: give those of one data set" if found else NO_RUNS
        raise ValueError(what)
    return _table(SPECS[name], results)


def markdown(runs: Sequence[Run]) -> str:
    """All tables of some runs as Markdown, below a heading for each data set that says what is real in it."""
    parts, data = [], None
    for shown in all_tables(runs):
        if shown.data != data:
            data = shown.data
            parts += [f"## {data}", *([f"Data: {describe(data)}."] if is_known(data) else [])]
        parts.append(shown.markdown())
    return "\n\n".join(parts)


def write(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write all tables as FOLDER/DATA/NAME.csv and .tex; returns the files."""
    files = []
    for shown in all_tables(runs):
        stem = folder / shown.data / shown.name
        shown.to_csv(stem.with_suffix(".csv"))
        shown.to_latex(stem.with_suffix(".tex"))
        files += [stem.with_suffix(".csv"), stem.with_suffix(".tex")]
    return files


# Which runs make one row


@dataclass(frozen=True)
class _Result:
    """What the tables need of one run."""

    data: str
    label: str
    method: str  # the label, and what sets it apart from others of the same label
    key: str  # in `published`
    steps: int  # 0: unknown
    metrics: Metrics


def _results(runs: Sequence[Run]) -> list[_Result]:
    """Runs in the paper's order of methods; a configuration that comes twice counts once."""
    unique = list({run.config.key(): run for run in runs}.values())
    groups: dict[tuple, list[Run]] = {}
    for run in unique:
        groups.setdefault((run.config.data, report.label(run), report.steps_taken(run)), []).append(run)
    results = []
    for (data, label, steps), group in groups.items():
        for run, apart in zip(group, report.apart(group), strict=True):
            results.append(_Result(data, label, f"{label}{apart}", report.paper_key(run), steps, run.metrics))
    return sorted(results, key=_place)


def _place(result: _Result) -> tuple:
    known = [*published.METHODS]
    order = known.index(result.key) if result.key in known else len(known)
    words = re.split(r"(\d+(?:\.\d+)?)", result.method)  # beta 2.5 comes before beta 10.0
    named = [float(word) if place % 2 else word for place, word in enumerate(words)]
    return (result.data, result.key.endswith("-ms"), order, named, result.steps)


# From results to frames


def _table(spec: Spec, results: Sequence[_Result]) -> Table:
    """Means over seeds, their errors and counts, and the paper's numbers, all in one shape."""
    numbers = [by_size(spec.read(result.metrics), result.metrics) for result in results]
    rows = pd.MultiIndex.from_tuples(_rows(spec, results, numbers), names=KEYS)
    shape = {"index": rows, "columns": _columns(numbers)}
    cells = _cells(results, numbers)
    seeds = _wide(cells.count(), shape).fillna(0).astype(int)
    within = _cells(results, [by_size(spec.error(result.metrics), result.metrics) for result in results])
    paper = _wide(_cells(results, [_paper(spec, *pair) for pair in zip(results, numbers, strict=True)]).first(), shape)
    beside = {key[0] for key in paper.dropna(how="all").index}
    labels = {result.method: _paper_label(result, spec) for result in results if result.method in beside}
    return Table(
        name=spec.name,
        heading=spec.heading,
        data=results[0].data,
        caption=_caption(spec, results, bool(labels), bool((seeds > 1).to_numpy().any())),
        ours=_wide(cells.mean(), shape),
        errors=_wide(cells.sem(), shape),
        seeds=seeds,
        paper=paper,
        within=_wide(within.mean(), shape),
        paper_labels=labels,
        digits=spec.digits,
        higher_is_better=spec.higher_is_better,
        unjudged=spec.unjudged if spec.comparable([r.metrics for r in results]) else tuple(shape["columns"]),
    )


def _rows(spec: Spec, results: Sequence[_Result], numbers: Sequence[Numbers]) -> list[tuple[str, str, int]]:
    """(method, posterior, steps) in order; a method none of whose runs has numbers keeps one blank row."""
    found: dict[tuple[str, int], dict[str, None]] = {}
    for result, number in zip(results, numbers, strict=True):
        found.setdefault((result.method, result.steps), {}).update(dict.fromkeys(number))
    if spec.sparse and any(found.values()):
        found = {row: fusions for row, fusions in found.items() if fusions}
    return [(method, fusion, steps) for (method, steps), fusions in found.items() for fusion in fusions or [""]]


def _columns(numbers: Sequence[Numbers]) -> list[str]:
    """Columns that any run has a number for, in order."""
    return [*dict.fromkeys(c for found in numbers for row in found.values() for c, x in row.items() if x is not None)]


def _cells(results: Sequence[_Result], numbers: Sequence[Numbers]) -> SeriesGroupBy:
    """All numbers, grouped by row and column: each group holds one per seed."""
    cells = [
        (result.method, fusion, result.steps, column, value)
        for result, found in zip(results, numbers, strict=True)
        for fusion, row in found.items()
        for column, value in row.items()
    ]
    frame = pd.DataFrame(cells, columns=[*KEYS, "column", "value"]).astype({"value": float})
    return frame.groupby([*KEYS, "column"], sort=False)["value"]


def _wide(values: pd.Series, shape: dict) -> pd.DataFrame:
    return values.unstack("column").reindex(**shape) if len(values) else pd.DataFrame(dtype=float, **shape)


def _paper(spec: Spec, result: _Result, numbers: Numbers) -> Numbers:
    """The paper's numbers of a run's method, at the posterior that the paper shows."""
    letters = set(spec.source.letters)  # of the paper's modalities; a T of other data is another text
    fits = set(result.metrics.get("classifier_accuracy") or letters) <= letters
    return {fusion: spec.paper.get(result.key, {}) for fusion in list(numbers)[:1] if fits}


def _paper_label(result: _Result, spec: Spec) -> str:
    data = f"{spec.source.title}, " if _elsewhere(spec, [result]) else ""
    return f"{result.label}, paper ({data}{published.TRAINING[result.key].epochs} epochs)"


def _elsewhere(spec: Spec, results: Sequence[_Result]) -> bool:
    """Whether these runs saw other data than the paper's, or a part of them only."""
    parts = {result.metrics.get("train_items", spec.source.items) for result in results}
    return results[0].data != spec.source.data or parts != {spec.source.items}


def _caption(spec: Spec, results: Sequence[_Result], beside: bool, several: bool) -> str:
    """What the numbers are, on which data, and what may be compared with the paper's."""
    data = results[0].data
    where = (f"{data}, {RENDERED}" if _rendered(data) else data) + _counted([r.metrics for r in results])
    parts = [spec.note([result.metrics for result in results])]
    if beside and _elsewhere(spec, results):
        paper = f"the paper's rows are {spec.source.title}"
        parts.append(f"Data: {where}; {paper}, so compare orderings, not digits.")
    else:
        parts.append(f"Data: {where}.")
    parts.append(NOTE if any(many(result.metrics) for result in results) else "")
    parts.append("Where there are several seeds: mean ± standard error over them." if several else "")
    return " ".join(part for part in parts if part)


def _counted(metrics: Sequence[Metrics]) -> str:
    """How many items runs saw, where they know: a folder may hold any part of some data."""
    seen = [f"{m['train_items']:,} training and {m['test_items']:,} test items" for m in metrics if "train_items" in m]
    return f", {' or '.join(dict.fromkeys(seen))}" if seen else ""


def _rendered(data: str) -> bool:
    """Whether images of the data were drawn by this project; False for data that this version does not know."""
    return is_known(data) and is_rendered(data)
