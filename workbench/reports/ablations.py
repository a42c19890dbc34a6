"""The paper's ablations, Figures 3, 5 and 6: curves over one setting, read from finished runs that differ in it alone.

`load` finds the runs, `curves` makes a tidy table of what the panels show, `summary` averages over seeds;
`workbench.reports.ablation_figure` draws the table and `workbench.reports.ablations_claims` puts the paper's words
about an ablation to the test.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from workbench.paths import project_root
from workbench.reports import results
from workbench.reports.estimates import RunNumbers, in_words, numbers_of
from workbench.reports.published import RANDOM
from workbench.reports.results import Mean, Metrics, along
from workbench.reports.specs import SPECS
from workbench.runs import collected
from workbench.runs.naming import differing
from workbench.runs.run import Run, find_runs

MOST_LINES = 7  # subsets of three modalities


@dataclass(frozen=True)
class Panel:
    """One aspect of a figure: which tables its lines come from, and to which line a column of them belongs."""

    title: str
    ylabel: str
    tables: tuple[str, ...]
    line: Callable[[str, Sequence[str]], str]  # of a column and all columns; "" leaves it out
    chance: float | None = None


def _subset(column: str, columns: Sequence[str]) -> str:
    """Every subset of three modalities; of more, means over the subsets of one size, named "2 of 5"."""
    most = max(other.count(",") for other in columns) + 1
    return column if len(columns) <= MOST_LINES else f"{column.count(',') + 1} of {most}"


def _target(column: str, columns: Sequence[str]) -> str:
    """Means of paths into each target, "→ M"; random generation apart, how often all of it agrees as "random"."""
    given, arrow, target = column.partition(" → ")
    return (column if given == RANDOM else f"→ {target}") if arrow else RANDOM if column == "all agree" else ""


REPRESENTATION = Panel("Representation", "accuracy of a linear probe", ("linear_probe",), _subset, 0.1)
COHERENCE = Panel("Coherence", "share of the given class", ("coherence", "random_coherence"), _target)
QUALITY = Panel("Quality of images", "average precision", ("quality",), _target)
LEAK = Panel("Class in the styles", "accuracy of a linear probe", ("style_probe",), lambda column, columns: column, 0.1)
RATE = Panel("Rate", "KL from p(z), nats per item", ("rate",), _subset)
MARGINAL = Panel("Aggregate posterior", "KL from p(z), nats", ("marginal_kl",), _subset)


@dataclass(frozen=True)
class Ablation:
    """One of the paper's ablations: a field of the configuration, its figure, and what its panels show."""

    name: str  # of its sweep
    where: str  # figure and section of the paper
    field: str
    label: str  # in words
    papers: float  # the paper's choice for all else
    panels: tuple[Panel, ...]
    log: bool = False  # whether the field lives on a logarithmic scale

    @property
    def command(self) -> str:
        """What makes its runs."""
        return f"workbench sweep notebooks/sweeps/{self.name}.toml"

    @property
    def reference(self) -> Path:
        """The collected runs that come with the workbench."""
        return project_root() / "outputs" / "reference" / f"{self.name}.json"

    def setting(self, run: Run) -> float:
        """The value of its field in a run."""
        value = getattr(run.config, self.field)
        if value is None:  # the weight of p(z) when it is not given, Appendix C.2.2
            probed = {letter for x in results.numbers(run.metrics, "linear_probe") for letter in x.given.split(",")}
            return 1 / (len(probed or run.config.data.split("-")) + 1)
        return float(value)


_PAPERS = (REPRESENTATION, COHERENCE, QUALITY)  # each of its figures has these three
_SIZE, _WEIGHT = "dimensions of each modality-specific subspace", "weight of p(z) in the dynamic prior"
_ROWS = (
    ("subspace_size", "Figure 5, section C.2.5", "style_dim", _SIZE, 4.0, (*_PAPERS, LEAK)),
    ("prior_weight", "Figure 6, section C.2.6", "prior_weight", _WEIGHT, 0.25, (*_PAPERS, MARGINAL)),
    ("beta", "Figure 3, section C.2.2", "beta", "β", 5.0, (*_PAPERS, RATE), True),
)
ABLATIONS = {name: Ablation(name, *fields) for name, *fields in _ROWS}
SUBSPACE_SIZE, PRIOR_WEIGHT, BETA = ABLATIONS.values()


def load(ablation: Ablation, place: str | Path | None = None) -> list[Run]:
    """Find the finished runs of an ablation, below a folder or in a collected file; None: the workbench's reference.

    ValueError where there is none; it names the command that makes them.
    """
    path = Path(place) if place else ablation.reference
    runs = collected.read(path) if path.is_file() else [*collected.sound(find_runs(path))]
    if not runs:
        shown = path.relative_to(project_root()) if path.is_relative_to(project_root()) else path
        what = f"no finished run of the ablation {ablation.name} in {shown.as_posix()}"
        raise ValueError(f"{what}: make them with `{ablation.command}`")
    return runs


def entrants(runs: Sequence[Run], ablation: Ablation) -> dict[float, list[RunNumbers]]:
    """Sort runs by the value of the field, in order; a configuration that comes twice counts once.

    ValueError without runs, on several data sets, or when they differ in more than the field, the seed and their steps.
    """
    if not runs:
        raise ValueError(f"there is no run of the ablation {ablation.name}: make them with `{ablation.command}`")
    read = [(ablation.setting(run), numbers_of(run)) for run in runs]
    if what := in_words(differing([_others(entrant, ablation) for _, entrant in read])):
        raise ValueError(f"the runs differ in more than {ablation.field}: {what}; give those of one setting")
    several: dict[float, dict[int, RunNumbers]] = {}
    for x, entrant in read:
        several.setdefault(x, {}).setdefault(entrant.seed, entrant)
    return {x: [*several[x].values()] for x in sorted(several)}


def series(runs: Sequence[Run], ablation: Ablation) -> dict[str, list[Run]]:
    """Find the curves that some runs make, by what sets them apart: "content_first 0.75", or "" where there is one.

    A curve has at least three values of the field; nothing else differs in it but the seed and the steps. Runs in a
    shared space have no settings of styles, so they belong to every curve with their other settings.
    """
    settings = [_others(numbers_of(run), ablation) for run in runs]
    curves: list[tuple[dict[str, Any], list[Run]]] = []
    for whole in settings:
        group = [run for run, s in zip(runs, settings, strict=True) if s.items() <= whole.items()]
        part = any(whole.items() < s.items() for s in settings) or whole in [other for other, _ in curves]
        if not part and len({ablation.setting(run) for run in group}) > 2:
            curves.append((whole, group))
    telling = differing([whole for whole, _ in curves])
    return {", ".join(f"{field} {whole[field]}" for field in telling): group for whole, group in curves}


def _others(entrant: RunNumbers, ablation: Ablation) -> dict[str, Any]:
    """What must not differ along a curve."""
    return {field: x for field, x in entrant.settings.items() if field not in {ablation.field, "steps"}}


def curves(runs: Sequence[Run], ablation: Ablation, posterior: str | None = None) -> pd.DataFrame:
    """Make a tidy table of what the panels show: columns panel, line, x (the field's value), seed, value.

    No rows for what runs lack. `posterior` is how subsets are fused, None: as in the paper. ValueError as `entrants`.
    """
    by_setting = entrants(runs, ablation).items()
    rows = [
        (panel.title, line, x, entrant.seed, value)
        for panel in ablation.panels
        for x, group in by_setting
        for entrant in group
        for line, value in _lines(panel, entrant.metrics, posterior).items()
    ]
    return pd.DataFrame(rows, columns=["panel", "line", "x", "seed", "value"])


def _lines(panel: Panel, metrics: Metrics, posterior: str | None) -> dict[str, float]:
    """Means over the columns of each line, those of random generation last; none without the first table."""
    first, *others = [SPECS[table].row(metrics, posterior) for table in panel.tables]
    cells = dict(item for row in (first, *others) for item in row.items()) if first else {}
    lines: dict[str, list[float]] = {}
    for column in sorted(cells, key=lambda column: column.count(",")):
        lines.setdefault(panel.line(column, [*first]), []).append(cells[column].value)
    return {name: fmean(lines[name]) for name in sorted(lines, key=lambda name: name.startswith(RANDOM)) if name}


def summary(found: pd.DataFrame, keys: Sequence[str] = ("panel", "line")) -> pd.DataFrame:
    """Average curves over seeds: columns `keys`, x, and the fields of `results.Mean`; intervals as in `along`."""
    rows = []
    for key, line in found.groupby([*keys], sort=False):
        points = {x: [*values] for x, values in line.groupby("x")["value"]}
        rows += [(*key, x, *mean) for x, mean in zip(points, along(points.values()), strict=True)]
    return pd.DataFrame(rows, columns=[*keys, "x", *Mean._fields])


def means(found: pd.DataFrame, panel: str) -> pd.DataFrame:
    """Average over seeds in one panel: a row for each value of the field, a column for each line."""
    chosen = summary(found[found["panel"] == panel])
    wide = chosen.pivot(index="x", columns="line", values="mean")[[*chosen["line"].unique()]]
    return wide.rename_axis(index="setting", columns=None)
