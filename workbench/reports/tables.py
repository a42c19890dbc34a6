"""Tables of runs beside the paper's: `table`, `all_tables`, `markdown`, `write`, and which runs make one row.

Runs that differ in nothing but the seed make one row; a section that a run lacks leaves blank cells. Which tables there
are stands in `workbench.reports.specs`, how one looks in `workbench.reports.layout`.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pandas as pd

from workbench.data.sources import describe, is_known, is_rendered
from workbench.files import slugs
from workbench.inference import EVERY_SUBSET_OF
from workbench.reports import published
from workbench.reports.layout import KEYS, Key, Table
from workbench.reports.results import INTERVALS, Metrics, Number, flatten, over_seeds
from workbench.reports.specs import SPECS, Cells, Spec
from workbench.runs.naming import by_method, label, paper_key, steps_taken
from workbench.runs.run import Run

RENDERED = "images in part rendered by this project, NOT real ones"
MANY = "Columns by the number of given modalities are means over the evaluated subsets of that size."
SEVERAL = f"Where there are several seeds: mean ± {INTERVALS}."
NO_RUNS = "there is no run to tabulate: train one with `workbench train`"


def all_tables(runs: Sequence[Run]) -> list[Table]:
    """Make every table that has a number, data set by data set."""
    results = _results(runs)
    chosen = [[r for r in results if r.data == data] for data in sorted({r.data for r in results})]
    made = [_table(spec, group) for group in chosen for spec in SPECS.values()]
    return [table for table in made if table.seeds.to_numpy().any()]


def table(name: str, runs: Sequence[Run]) -> Table:
    """Make one table of runs on one data set; ValueError for an unknown name, no runs, or several data sets."""
    if name not in SPECS:
        raise ValueError(f"unknown table {name!r}: choose one of {', '.join(SPECS)}")
    results = _results(runs)
    data = sorted({result.data for result in results})
    if len(data) != 1:
        what = f"runs on {', '.join(data)} do not share a table: give those of one data set" if data else NO_RUNS
        raise ValueError(what)
    return _table(SPECS[name], results)


def markdown(runs: Sequence[Run]) -> str:
    """Write all tables of some runs as Markdown, below a heading for each data set that says what is real in it."""
    parts, data = [], None
    for shown in all_tables(runs):
        if shown.data != data:
            data = shown.data
            parts += [f"## {data}", *([f"Data: {describe(data)}."] if is_known(data) else [])]
        parts.append(shown.markdown())
    return "\n\n".join(parts)


def write(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write all tables as FOLDER/DATA/NAME.csv and .tex; returns the files."""
    files, made = [], all_tables(runs)
    names = slugs(shown.data for shown in made)
    for shown in made:
        files += [folder / names[shown.data] / f"{shown.spec.name}{suffix}" for suffix in (".csv", ".tex")]
        shown.to_csv(files[-2])
        shown.to_latex(files[-1])
    return files


# Which runs make one row


def held(run: Run) -> float:
    """For which share of a run's steps its styles were held back; 0 without styles."""
    return run.config.content_first if run.config.style_dim else 0.0


def held_back(shares: Iterable[tuple[str, float]]) -> str:
    """Say of which methods, by label, the styles were held back for a share of the steps; "" where of none."""
    named = ", ".join(f"{name} {share:g}" for name, share in dict.fromkeys(shares) if share)
    words = "Not as in the paper, betas of styles held higher at first (`content_first`, share of the steps)"
    return f"{words}: {named}." if named else ""


@dataclass(frozen=True)
class _Result:
    """What the tables need of one run."""

    data: str
    label: str
    method: str  # the label, and what sets it apart from others of the same label
    key: str  # in `published`
    steps: int  # 0: unknown
    metrics: Metrics
    many: bool  # whether there are more modalities than every subset is evaluated of
    held: float  # for which share of the steps the betas of styles were held higher


def _results(runs: Sequence[Run]) -> list[_Result]:
    """Runs in the paper's order of methods; a configuration that comes twice counts once."""
    groups: dict[tuple, list[Run]] = {}
    for run in {run.config.key(): run for run in runs}.values():
        groups.setdefault((run.config.data, steps_taken(run)), []).append(run)
    results = [
        _Result(data, label(run), method, paper_key(run), steps, metrics := run.metrics, _many(metrics), held(run))
        for (data, steps), group in groups.items()
        for method, several in by_method(group).items()
        for run in several
    ]
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
    pairs = [(result, _cells(spec, result)) for result in results]
    rows, finite, paper = _rows(spec, pairs), {}, {}
    for result, cells in pairs:
        for fusion, column, number in ((f, c, x) for f, row in cells.items() for c, x in row.items()):
            if number.value is not None:
                finite.setdefault(((result.method, fusion, result.steps), column), []).append(number)
        for fusion in [*cells][:1]:
            paper |= {((result.method, fusion, result.steps), c): x for c, x in _paper(spec, result).items()}
    columns = [*dict.fromkeys(column for _, column in finite)]
    means = {place: over_seeds([x.value for x in numbers]) for place, numbers in finite.items()}
    errors = {place: [x.error for x in numbers if x.error is not None] for place, numbers in finite.items()}
    beside, index = {key[0] for key, column in paper if column in columns}, pd.MultiIndex.from_tuples(rows, names=KEYS)

    def frame(values: Mapping[tuple[Key, str], float | int], blank: float | int = math.nan) -> pd.DataFrame:
        shown = [[values.get((row, column), blank) for column in columns] for row in rows]
        return pd.DataFrame(shown, index, columns, dtype=type(blank))

    return Table(
        spec,
        results[0].data,
        _caption(spec, results, bool(beside), any(mean.seeds > 1 for mean in means.values())),
        ours=frame({place: mean.mean for place, mean in means.items()}),
        halves=frame({place: mean.half for place, mean in means.items()}),
        seeds=frame({place: mean.seeds for place, mean in means.items()}, 0),
        paper=frame(paper),
        within=frame({place: fmean(known) for place, known in errors.items() if known}),
        paper_labels={r.method: _paper_label(spec, r) for r in results if r.method in beside},
        unjudged=spec.unjudged if _comparable(spec, results) else tuple(columns),
    )


def _rows(spec: Spec, pairs: Sequence[tuple[_Result, Cells]]) -> list[Key]:
    """(method, posterior, steps) in order; a method none of whose runs has numbers keeps one blank row."""
    posteriors: dict[tuple[str, int], dict[str, None]] = {}
    for result, cells in pairs:
        posteriors.setdefault((result.method, result.steps), {}).update(dict.fromkeys(cells))
    if spec.sparse and any(posteriors.values()):
        posteriors = {row: fusions for row, fusions in posteriors.items() if fusions}
    return [(method, fusion, steps) for (method, steps), fusions in posteriors.items() for fusion in fusions or [""]]


def _paper(spec: Spec, result: _Result) -> Mapping[str, float]:
    """The paper's numbers of a run's method, none where another modality bears one of its letters."""
    letters = set(spec.source.letters)  # of the paper's modalities; a T of other data is another text
    fits = set(result.metrics.get("classifier_accuracy") or letters) <= letters
    return spec.paper.get(result.key, {}) if fits else {}


def _paper_label(spec: Spec, result: _Result) -> str:
    data = f"{spec.source.title}, " if _elsewhere(spec, [result]) else ""
    return f"{result.label}, paper ({data}{published.TRAINING[result.key].epochs} epochs)"


def _elsewhere(spec: Spec, results: Sequence[_Result]) -> bool:
    """Whether these runs saw other data than the paper's, or a part of them only."""
    parts = {result.metrics.get("train_items", spec.source.items) for result in results}
    return results[0].data != spec.source.data or parts != {spec.source.items}


def _comparable(spec: Spec, results: Sequence[_Result]) -> bool:
    """Whether the digits of these runs may be judged by the paper's: of the same data, measured in the same way."""
    return spec.comparable([result.metrics for result in results]) and not _elsewhere(spec, results)


def _caption(spec: Spec, results: Sequence[_Result], beside: bool, several: bool) -> str:
    """What the numbers are, on which data, and what may be compared with the paper's."""
    where, metrics = results[0].data, [result.metrics for result in results]
    where += f", {RENDERED}" if is_known(where) and is_rendered(where) else ""  # this version need not know the data
    seen = [f"{m['train_items']:,} training and {m['test_items']:,} test items" for m in metrics if "train_items" in m]
    where += f", {' or '.join(dict.fromkeys(seen))}" if seen else ""  # a folder may hold any part of some data
    if beside and _elsewhere(spec, results):
        where += f"; the paper's rows are {spec.source.title}, so compare orderings, not digits"
    parts = [part if isinstance(part, str) else part(metrics) for part in spec.note]
    parts += [
        held_back((result.label, result.held) for result in results),
        f"Data: {where}.",
        MANY if any(r.many for r in results) else "",
        SEVERAL if several else "",
    ]
    return " ".join(part for part in parts if part)


# Where modalities are many, a column for each number of given ones instead of one for each subset


def _many(metrics: Metrics) -> bool:
    letters = {name for number in flatten(metrics) if number.posterior for name in number.given.split(",")}
    return len(letters - {""}) > EVERY_SUBSET_OF


def _cells(spec: Spec, result: _Result) -> Cells:
    """The numbers of a run; rows without a posterior, of single modalities, stay as they are."""
    cells = spec.cells(result.metrics)
    return {fusion: _by_size(row) if fusion and result.many else row for fusion, row in cells.items()}


def _by_size(row: Mapping[str, Number]) -> dict[str, Number]:
    """Means over subsets of one size, what is predicted of itself apart; of standard errors they are upper bounds."""
    groups: dict[tuple[int, bool], list[Number]] = {}
    for number in row.values():
        given = [] if number.given == published.RANDOM else number.given.split(",")
        if number.value is not None:
            groups.setdefault((len(given), number.target in given), []).append(number)
    found = {}
    for (size, itself), numbers in sorted(groups.items()):
        errors = [x.error for x in numbers if x.error is not None]
        mean = numbers[0]._replace(value=fmean(x.value for x in numbers), error=fmean(errors) if errors else None)
        found[f"{size} given{', itself' * itself}" if size else published.RANDOM] = mean
    return found
