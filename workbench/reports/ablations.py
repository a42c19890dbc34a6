"""The paper's ablations, Figures 3, 5 and 6: curves over one setting, read from finished runs that differ in it alone.

`load` finds the runs, `curves` makes a tidy table of what the panels show, `summary` averages it over seeds;
`workbench.reports.ablation_figure` draws it and `workbench.reports.ablations_claims` puts the paper's words about
it to the test.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from workbench.paths import outputs_dir, project_root
from workbench.reports import report, results
from workbench.reports.contrasts import CONDITIONAL, PRIOR, Pick
from workbench.reports.estimates import RunNumbers, settings_of
from workbench.reports.specs import SPECS, Metrics
from workbench.runs.run import Run, find_runs

if TYPE_CHECKING:
    import pandas as pd

PROBES = ("linear_probe", "linear_probe_full")  # the paper's on 256 items, and the one on all items
MOST_LINES = 7  # subsets of three modalities
Lines = dict[str, float]  # name of a line -> its value in one run
Row = dict[str, float]  # column of a table -> number


@dataclass(frozen=True)
class Panel:
    """One aspect of a figure: which tables its lines come from, and how."""

    title: str
    ylabel: str
    tables: tuple[str, ...]
    lines: Callable[[Sequence[Row]], Lines]  # from the tables' rows
    chance: float | None = None


def _modalities(rows: Sequence[Row]) -> Lines:
    return dict(rows[0])


def _subsets(rows: Sequence[Row]) -> Lines:
    """Every subset of three modalities; of more, means over the subsets of one size, named "2 of 5"."""
    sizes = {subset: subset.count(",") + 1 for subset in rows[0]}
    if len(sizes) <= MOST_LINES:
        return dict(rows[0])
    numbers = {n: [rows[0][subset] for subset, size in sizes.items() if size == n] for n in sorted({*sizes.values()})}
    return {f"{n} of {max(numbers)}": fmean(values) for n, values in numbers.items()}


def _coherence(rows: Sequence[Row]) -> Lines:
    """Mean over what was given, by target; and how often random generations all agree."""
    conditional, random = rows
    return _by_target(conditional, CONDITIONAL) | ({"random": random["all agree"]} if "all agree" in random else {})


def _quality(rows: Sequence[Row]) -> Lines:
    """Mean over what was given, by target; and random generation."""
    return _by_target(rows[0], CONDITIONAL) | {column: rows[0][column] for column in PRIOR.of([*rows[0]])}


def _by_target(row: Row, pick: Pick) -> Lines:
    """Means of paths into each target, named "→ M"."""
    columns = pick.of([*row])
    targets = dict.fromkeys(column.partition(" → ")[2] for column in columns)
    return {f"→ {x}": fmean(row[c] for c in columns if c.endswith(f" → {x}")) for x in targets}


REPRESENTATION = Panel("Representation", "accuracy of a linear probe", ("linear_probe",), _subsets, chance=0.1)
COHERENCE = Panel("Coherence", "share of the given class", ("coherence", "random_coherence"), _coherence)
QUALITY = Panel("Quality of images", "average precision", ("quality",), _quality)
LEAK = Panel("Class in the styles", "accuracy of a linear probe", ("style_probe",), _modalities, chance=0.1)
RATE = Panel("Rate", "KL from p(z), nats per item", ("rate",), _subsets)
MARGINAL = Panel("Aggregate posterior", "KL from p(z), nats", ("marginal_kl",), _subsets)


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
SUBSPACE_SIZE = Ablation(
    "subspace_size",
    "Figure 5, section C.2.5",
    "style_dim",
    "dimensions of each modality-specific subspace",
    4.0,
    (*_PAPERS, LEAK),
)
PRIOR_WEIGHT = Ablation(
    "prior_weight",
    "Figure 6, section C.2.6",
    "prior_weight",
    "weight of p(z) in the dynamic prior",
    0.25,
    (*_PAPERS, MARGINAL),
)
BETA = Ablation("beta", "Figure 3, section C.2.2", "beta", "β", 5.0, (*_PAPERS, RATE), log=True)
ABLATIONS = {ablation.name: ablation for ablation in (SUBSPACE_SIZE, PRIOR_WEIGHT, BETA)}


def load(ablation: Ablation, place: str | Path | None = None) -> list[Run]:
    """The finished runs of an ablation, below a folder or in a collected file; None: the workbench's own reference.

    ValueError where there is none; it names the command that makes them.
    """
    path = Path(place) if place else ablation.reference
    runs = report.read(path) if path.is_file() else [*find_runs(path)]
    if not runs:
        shown = path.relative_to(project_root()) if path.is_relative_to(project_root()) else path
        what = f"no finished run of the ablation {ablation.name} in {shown.as_posix()}"
        raise ValueError(f"{what}: make them with `{ablation.command}`")
    return runs


def own(ablation: Ablation, preset: str) -> list[Run]:
    """The finished runs of one's own sweep at a preset; none where there was no such sweep."""
    return [*find_runs(outputs_dir() / preset / "sweeps" / ablation.name)]


def entrants(runs: Sequence[Run], ablation: Ablation) -> dict[float, list[RunNumbers]]:
    """Runs by the value of the field, in order; a configuration that comes twice counts once.

    ValueError without runs, on several data sets, or when they differ in more than the field, the seed and their steps.
    """
    if not runs:
        raise ValueError(f"there is no run of the ablation {ablation.name}: make them with `{ablation.command}`")
    if apart := _apart(runs, ablation):
        what = ", ".join(f"{field} {' and '.join(map(str, values))}" for field, values in apart.items())
        raise ValueError(f"the runs differ in more than {ablation.field}: {what}; give those of one setting")
    found: dict[float, dict[int, RunNumbers]] = {}
    for run in runs:
        entrant = RunNumbers(run.config.seed, settings_of(run), run.metrics)
        found.setdefault(ablation.setting(run), {}).setdefault(run.config.seed, entrant)
    return {x: [*found[x].values()] for x in sorted(found)}


def _apart(runs: Sequence[Run], ablation: Ablation) -> dict[str, list[Any]]:
    """Fields beside the ablation's in which runs differ, with their values."""
    return report.differing([_others(run, ablation) for run in runs])


def series(runs: Sequence[Run], ablation: Ablation) -> dict[str, list[Run]]:
    """The curves that some runs make, by what sets them apart: "content_first 0.75", or "" where there is one.

    A curve has at least three values of the field; nothing else differs in it but the seed and the steps. Runs in a
    shared space have no settings of styles, so they belong to every curve with their other settings.
    """
    settings = [_others(run, ablation) for run in runs]
    found: list[tuple[dict[str, Any], list[Run]]] = []
    for whole in settings:
        group = [run for run, s in zip(runs, settings, strict=True) if s.items() <= whole.items()]
        part = any(whole.items() < s.items() for s in settings) or whole in [other for other, _ in found]
        if not part and len({ablation.setting(run) for run in group}) > 2:
            found.append((whole, group))
    telling = report.differing([whole for whole, _ in found])
    return {", ".join(f"{field} {whole[field]}" for field in telling): group for whole, group in found}


def _others(run: Run, ablation: Ablation) -> dict[str, Any]:
    """What must not differ along a curve."""
    return {field: x for field, x in settings_of(run).items() if field not in {ablation.field, "steps"}}


def curves(
    runs: Sequence[Run], ablation: Ablation, posterior: str | None = None, probe: str = "linear_probe"
) -> "pd.DataFrame":
    """What the panels show, tidy: columns panel, line, x (the field's value), seed, value; no rows for what runs lack.

    `posterior` is how subsets are fused, None: as in the paper; `probe` "linear_probe_full" reads the one on all items.
    ValueError on another probe, and as `entrants`.
    """
    import pandas as pd

    if probe not in PROBES:
        raise ValueError(f"unknown probe {probe!r}: choose one of {', '.join(PROBES)}")
    rows = [
        (panel.title, line, x, entrant.seed, value)
        for panel in ablation.panels
        for x, group in entrants(runs, ablation).items()
        for entrant in group
        for line, value in _lines(panel, entrant.metrics, posterior, probe).items()
    ]
    return pd.DataFrame(rows, columns=["panel", "line", "x", "seed", "value"])


def _lines(panel: Panel, metrics: Metrics, posterior: str | None, probe: str) -> Lines:
    rows = [_row(probe if table == "linear_probe" else table, metrics, posterior) for table in panel.tables]
    return panel.lines(rows) if rows[0] else {}


def _row(table: str, metrics: Metrics, posterior: str | None) -> Row:
    """The numbers of a table at one posterior, the first where the table has no such posterior."""
    numbers = SPECS[table].read(metrics)
    fusion = posterior if posterior in numbers else next(iter(numbers), "")
    return {column: x for column, x in numbers.get(fusion, {}).items() if x is not None}


def summary(found: "pd.DataFrame") -> "pd.DataFrame":
    """Columns panel, line, x, mean over seeds, its standard error (NaN for one seed), seeds; in the order of rows."""
    grouped = found.groupby(["panel", "line", "x"], sort=False)["value"]
    return grouped.agg(mean="mean", error="sem", seeds="count").reset_index()


def means(found: "pd.DataFrame", panel: str) -> "pd.DataFrame":
    """Means over seeds in one panel: a row for each value of the field, a column for each line."""
    chosen = summary(found[found["panel"] == panel])
    wide = chosen.pivot(index="x", columns="line", values="mean")[[*chosen["line"].unique()]]
    return wide.rename_axis(index="setting", columns=None)
