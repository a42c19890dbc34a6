"""Every number of finished runs as one tidy table: a row for each run and metric. Here alone metrics.json is flattened.

    metric                        posterior   given              target
    rate, marginal_kl,
    linear_probe (_full)          of subsets  the subset         -
    style_probe                   -           -                  the modality whose style is read
    classifier_accuracy           -           -                  the modality whose judge it is
    coherence                     of subsets  the subset         what was generated
    random_coherence              -           random             all_agree | agreement_pattern
    quality.SCORE                 of subsets  subset or random   the images; average_precision, f_8, f_1_8, fid
    written.MEASURE               of subsets  the subset         the descriptions that name attributes
    METRIC.ATTRIBUTE              as METRIC, one attribute's own; base_rate.ATTRIBUTE: its share of the test items
    log_likelihood.X              of subsets  proposal's subset  -
    log_likelihood.given          of subsets  the subset         the model's own conditional of it
    log_likelihood.predictive     of subsets  the subset         what was predicted from it

Rates, divergences and log-likelihoods are in nats; all else is a share in [0, 1], but for the Fréchet distance (fid).
Where labels are attributes, average precisions take the place of accuracies.
Beside each log-likelihood stands its number of effective samples, as METRIC.effective_samples.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.config import WHERE
from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.paths import replacing
from workbench.reports.published import RANDOM
from workbench.runs.collected import Recorded
from workbench.runs.naming import differing, label, steps_taken
from workbench.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

Metrics = dict[str, Any]  # what metrics.json holds
# Fields that have a column of their own (that of the steps says what came of epochs), or say where a run was made.
ITSELF = {*WHERE, "data", "objective", "seed", "steps", "epochs"}
RENAMED = {"posterior": "posterior_family"}  # the column `posterior` says how subsets are fused


class Number(NamedTuple):
    """One number of an evaluation; what does not apply is "". `value` None: it was not finite."""

    metric: str
    posterior: str = ""  # how a subset's posterior is made
    given: str = ""  # the subset that was read: "M,S"; "random": nothing, drawn from the prior
    target: str = ""  # what was generated or judged
    value: float | None = None
    error: float | None = None  # standard error inside the run


class Mean(NamedTuple):
    """What the seeds of one setting say together."""

    mean: float  # NaN where no seed has a number
    error: float  # standard error of the mean, NaN below two seeds
    seeds: int

    @property
    def variance(self) -> float:
        """Of single seeds; NaN below two."""
        return self.error**2 * self.seeds


def over_seeds(values: Sequence[float]) -> Mean:
    """Average the numbers of several seeds. Tables, claims, curves and studies all do it here."""
    count, mean, squares = 0, 0.0, 0.0
    for count, x in enumerate(values, start=1):  # Welford (1962), as pandas does it: equal numbers have no error at all
        gap = x - mean
        mean += gap / count
        squares += gap * (x - mean)
    error = math.sqrt(squares / (count - 1) / count) if count > 1 else math.nan
    return Mean(fmean(values) if count else math.nan, error, count)


def flatten(metrics: Metrics) -> Iterator[Number]:
    """Give all numbers of one evaluation, section by section; sections that `metrics` lacks are passed over."""
    for section in SECTIONS:
        yield from numbers(metrics, section)


def numbers(metrics: Metrics, section: str) -> Iterator[Number]:
    """Give the numbers in one section of metrics.json."""
    return SECTIONS[section](section, metrics, metrics.get(section))


def at_papers(metrics: Metrics, *sections: str) -> list[Number]:
    """Give the numbers of the first of some sections that are there, at the posterior that the paper shows."""
    present = (found for section in sections if (found := [*numbers(metrics, section)]))
    first = next(present, [])
    return [x for x in first if x.posterior == first[0].posterior]


Reader = Callable[[str, Metrics, Any], Iterator[Number]]


def _tree(*levels: str, **fixed: str) -> Reader:
    """The reader of nested mappings: `levels` says what their keys are, from the outermost on."""

    def read(section: str, metrics: Metrics, found: Any) -> Iterator[Number]:
        errors = dict(_leaves(metrics.get(f"{section}_error"), len(levels)))
        for keys, x in _leaves(found, len(levels)):
            place = dict(zip(levels, keys, strict=True)) | fixed
            metric = ".".join(filter(None, (section, place.pop("metric", ""))))
            yield Number(metric, **place, value=x, error=errors.get(keys))

    return read


def _leaves(found: Mapping[str, Any] | None, depth: int) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The keys that lead to what is `depth` mappings deep, and what is there; None is an empty mapping."""
    for key, inner in (found or {}).items():
        for keys, x in _leaves(inner, depth - 1) if depth > 1 else [((), inner)]:
            yield (key, *keys), x


SUBSET, PATH = ("posterior", "given"), ("posterior", "target", "given")


def _of_images(section: str, metrics: Metrics, found: Any) -> Iterator[Number]:
    yield from _tree(*PATH, "metric")(section, {}, (found or {}).get("conditional"))
    yield from _tree("target", "metric", given=RANDOM)(section, {}, (found or {}).get("random"))


def _of_likelihoods(section: str, metrics: Metrics, found: Any) -> Iterator[Number]:
    for kind, levels in {"X": SUBSET, "given": PATH, "predictive": PATH}.items():
        for number in _tree(*levels)(f"{section}.{kind}", {}, (found or {}).get(kind)):
            if x := number.value:  # an estimate that could not be made is null as a whole
                yield number._replace(value=x.get("nats"), error=x.get("standard_error"))
                if "effective_samples" in x:
                    yield number._replace(metric=f"{number.metric}.effective_samples", value=x["effective_samples"])


def _of_rates(section: str, metrics: Metrics, found: Any) -> Iterator[Number]:
    named = zip(ATTRIBUTES, found, strict=True) if found else ()
    return (Number(f"{section}.{name}", value=x) for name, x in named)


def _of_attributes(section: str, metrics: Metrics, found: Any) -> Iterator[Number]:
    """Each attribute's own number, wherever a section has one number for all of them."""
    for name, rows in (found or {}).items():
        metric = JUDGES.get(name, name)
        for number in SECTIONS[metric](metric, {}, rows):
            for attribute, x in zip(ATTRIBUTES, number.value, strict=True):
                yield number._replace(metric=f"{metric}.{attribute}", value=x)


JUDGES = {"judges": "classifier_accuracy"}  # where the numbers of all attributes together stand
# Sections of metrics.json that hold numbers of the model. The others say how it was judged, and how long that took.
SECTIONS: dict[str, Reader] = {
    "rate": _tree(*SUBSET),
    "marginal_kl": _tree(*SUBSET),
    "linear_probe": _tree(*SUBSET),
    "linear_probe_full": _tree(*SUBSET),
    "style_probe": _tree("target"),
    "classifier_accuracy": _tree("target"),
    "coherence": _tree(*PATH),
    "random_coherence": _tree("target", given=RANDOM),
    "written": _tree(*PATH, "metric"),
    "base_rate": _of_rates,
    "by_attribute": _of_attributes,
    "quality": _of_images,
    "log_likelihood": _of_likelihoods,
}


def frame(runs: Sequence[Run]) -> "pd.DataFrame":
    """Make one row per run and metric, of runs as `workbench.runs.gather` finds them; one that comes twice counts once.

    Columns: run, data, method, objective, every configuration field that varies between the runs, seed, steps (taken),
    step, then those of `Number`. `step` is that of a snapshot judged on the way, blank for the finished model. Values
    that were not finite are NaN; so is `error` where a run knows none.
    """
    import pandas as pd

    named = dict(zip(names(runs), runs, strict=True))
    varying = varying_fields([*named.values()])
    heads = ["run", "data", "method", "objective", *(RENAMED.get(field, field) for field in varying), "seed", "steps"]
    rows = [row for name, run in named.items() for row in _rows(name, run, varying)]
    made = pd.DataFrame(rows, columns=[*heads, "step", *Number._fields])
    return made.astype({"step": "Int64", "value": float, "error": float})


def _rows(name: str, run: Run, varying: Sequence[str]) -> Iterator[tuple]:
    """The rows of one run, its snapshots last."""
    config, metrics = run.config, run.metrics
    same = (name, config.data, label(run), config.objective, *(getattr(config, field) for field in varying))
    same += (config.seed, steps_taken(run))
    for judged in (metrics, *(metrics.get("over_steps") or ())):
        yield from ((*same, judged.get("step"), *number) for number in flatten(judged))


def varying_fields(runs: Sequence[Run]) -> list[str]:
    """Name the fields in which the configurations of some runs differ; none that has a column of its own."""
    return [field for field in differing([run.config.to_json() for run in runs]) if field not in ITSELF]


def names(runs: Sequence[Run]) -> list[str]:
    """Tell runs apart: by the folder below the deepest folder of them all, or by file and key of collected ones."""
    places = [_place(run) for run in runs]
    parents = [str(place.parent) for place in places]
    shared = len({Path(parent).anchor for parent in parents}) == 1  # Windows has a tree for each drive
    base = Path(os.path.commonpath(parents)) if shared else None
    return [(place.relative_to(base) if base else place).as_posix() for place in places]


def _place(run: Run) -> Path:
    place = run.folder.resolve()
    return place.with_suffix("") / run.config.key() if isinstance(run, Recorded) else place


def write(runs: Sequence[Run], path: Path) -> None:
    """Write `frame` as CSV, unrounded; blank where there is no number."""
    with replacing(path) as temporary:
        frame(runs).to_csv(temporary, index=False)
