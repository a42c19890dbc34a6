"""Every number of finished runs as one tidy table: a row for each run and metric. Here alone metrics.json is flattened.

    metric                        posterior   given              target
    rate, marginal_kl,
    linear_probe (_full)          of subsets  the subset         -
    style_probe                   -           -                  the modality whose style is read
    classifier_accuracy           -           -                  the modality whose judge it is
    coherence                     of subsets  the subset         what was generated
    random_coherence              -           random             all_agree | agreement_pattern
    quality.SCORE                 of subsets  subset or random   the images; average_precision, f_8, f_1_8, fid
    samplers.SCORE                -           the sampler        all | content | the modality
    clustering.SCORE              of subsets  all                -
    evidence.QUANTITY             -           -                  nats | effective_samples | k_hat | gain | ...: ln p(X)
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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from scipy.special import stdtrit

from workbench.config import WHERE
from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.files import replacing
from workbench.reports.published import RANDOM
from workbench.runs.collected import Recorded
from workbench.runs.naming import differing, label, steps_taken
from workbench.runs.run import Run
from workbench.runs.sections import LEVELS, LIKELIHOODS, QUALITY

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
    """What the seeds of one setting say together; NaN where they do not suffice."""

    mean: float
    half: float  # half of its 95 % interval: Student's t, with seeds - 1 degrees of freedom
    seeds: int
    deviation: float  # standard deviation over seeds


LEVEL = 0.05  # of errors: intervals hold 95 %
INTERVALS = "half of a 95 % interval by Student's t (of two seeds 12.7 standard errors, of three 4.3)"


def student(freedom: float | int) -> float:
    """Say how many standard errors make half of a 95 % interval; NaN without a degree of freedom."""
    return float(stdtrit(freedom, 1 - LEVEL / 2)) if freedom else math.nan


def over_seeds(values: Sequence[float]) -> Mean:
    """Average the numbers of several seeds. Tables, claims, curves and studies all do it here."""
    count, mean, squares = 0, 0.0, 0.0
    for count, x in enumerate(values, start=1):  # Welford (1962), as pandas does it: equal numbers have no error at all
        gap = x - mean
        mean += gap / count
        squares += gap * (x - mean)
    deviation = math.sqrt(squares / (count - 1)) if count > 1 else math.nan
    half = student(count - 1) * deviation / math.sqrt(count) if count > 1 else math.nan
    return Mean(fmean(values) if count else math.nan, half, count, deviation)


def pooled(means: Iterable[Mean]) -> tuple[float, int]:
    """Pool what seeds differ by, as in a one-way layout: the standard deviation within groups, degrees of freedom.

    The deviation of all groups is taken to be one; NaN and 0 where no group has two seeds.
    """
    groups = [(mean.deviation**2, mean.seeds - 1) for mean in means if mean.seeds > 1]
    freedom = sum(n for _, n in groups)
    return (math.sqrt(sum(n * x for x, n in groups) / freedom) if freedom else math.nan), freedom


def along(groups: Iterable[Sequence[float]]) -> list[Mean]:
    """Average the seeds of each point of a line, along which they are equally far apart: their spread is pooled."""
    means = [over_seeds(values) for values in groups]
    deviation, freedom = pooled(means)
    return [mean._replace(half=student(freedom) * deviation / math.sqrt(mean.seeds)) for mean in means]


def flatten(metrics: Metrics) -> Iterator[Number]:
    """Give all numbers of one evaluation, section by section; sections that `metrics` lacks are passed over."""
    return (number for section in SECTIONS for number in numbers(metrics, section))


def numbers(metrics: Metrics, section: str) -> Iterator[Number]:
    """Give the numbers in one section of metrics.json."""
    found = metrics.get(section) or {}
    if section in OTHERS:
        return OTHERS[section](found)
    number = Number(section, given=RANDOM if section == "random_coherence" else "")
    return _walk(number, found, LEVELS[section], metrics.get(f"{section}_error"))


def at_papers(metrics: Metrics, *sections: str) -> list[Number]:
    """Give the numbers of the first of some sections that is there, at the posterior that the paper shows."""
    first = next(filter(None, ([*numbers(metrics, section)] for section in sections)), [])
    return [x for x in first if x.posterior == first[0].posterior]


def _walk(number: Number, found: Any, levels: Sequence[str], errors: Any = None) -> Iterator[Number]:
    """The numbers in nested mappings, which may be null: `levels` says what the keys are, from the outermost on."""
    if not levels:
        yield number._replace(value=found, error=errors)
        return
    for key, inner in (found or {}).items():
        named = {"metric": f"{number.metric}.{key}"} if levels[0] == "metric" else {levels[0]: key}
        yield from _walk(number._replace(**named), inner, levels[1:], (errors or {}).get(key))


def _quality(found: Any) -> Iterator[Number]:
    yield from _walk(Number("quality"), found.get("conditional"), QUALITY["conditional"])
    yield from _walk(Number("quality", given=RANDOM), found.get("random"), QUALITY["random"])


def _likelihoods(found: Any) -> Iterator[Number]:
    for kind, levels in LIKELIHOODS.items():
        for number in _walk(Number(f"log_likelihood.{kind}"), found.get(kind), levels):
            if x := number.value:  # an estimate that could not be made is null as a whole
                yield number._replace(value=x.get("nats"), error=x.get("standard_error"))
                if "effective_samples" in x:
                    yield number._replace(metric=f"{number.metric}.effective_samples", value=x["effective_samples"])


def _base_rate(found: Any) -> Iterator[Number]:
    return (Number(f"base_rate.{name}", value=x) for name, x in _named(found or ()))


def _named(values: Sequence[float | None]) -> Iterator[tuple[str | int, float | None]]:
    """Numbers of attributes by name; those of a user's own data, of which metrics have no names, by place."""
    return zip(ATTRIBUTES if len(values) == len(ATTRIBUTES) else range(len(values)), values, strict=True)


def _by_attribute(found: Any) -> Iterator[Number]:
    """Each attribute's own number, wherever a section has one number for all of them."""
    for name, rows in found.items():
        section = {"judges": "classifier_accuracy"}.get(name, name)  # where the numbers of all together stand
        for number in _walk(Number(section), rows, LEVELS[section]):
            for attribute, x in _named(number.value):
                yield number._replace(metric=f"{section}.{attribute}", value=x)


# Sections of metrics.json that hold numbers of the model. The others say how it was judged, and how long that took.
OTHERS = {"base_rate": _base_rate, "by_attribute": _by_attribute, "quality": _quality, "log_likelihood": _likelihoods}
SECTIONS = (*LEVELS, *OTHERS)


def frame(runs: Sequence[Run]) -> "pd.DataFrame":
    """Make one row per run and metric, of runs as `workbench.runs.gather` finds them; one that comes twice counts once.

    Columns: run, data, method, objective, every configuration field that varies between the runs, seed, steps (taken),
    step, then those of `Number`. `step` is that of a snapshot judged on the way, blank for the finished model. Values
    that were not finite are NaN; so is `error` where a run knows none.
    """
    import pandas as pd

    named, rows = dict(zip(names(runs), runs, strict=True)), []
    varying = varying_fields([*named.values()])
    for name, run in named.items():
        config, metrics = run.config, run.metrics
        same = (name, config.data, label(run), config.objective, *(getattr(config, field) for field in varying))
        same += (config.seed, steps_taken(run))
        for judged in (metrics, *(metrics.get("over_steps") or ())):  # snapshots come last
            rows += [(*same, judged.get("step"), *number) for number in flatten(judged)]
    heads = ["run", "data", "method", "objective", *(RENAMED.get(field, field) for field in varying), "seed", "steps"]
    made = pd.DataFrame(rows, columns=[*heads, "step", *Number._fields])
    return made.astype({"step": "Int64", "value": float, "error": float})


def varying_fields(runs: Sequence[Run]) -> list[str]:
    """Name the fields in which the configurations of some runs differ; none that has a column of its own."""
    return [field for field in differing([run.config.to_json() for run in runs]) if field not in ITSELF]


def names(runs: Sequence[Run]) -> list[str]:
    """Tell runs apart: by the folder below the deepest folder of them all, or by file and key of collected ones."""
    places = [run.folder.resolve() for run in runs]
    keys = [run.config.key() if isinstance(run, Recorded) else "" for run in runs]
    places = [place.with_suffix("") / key if key else place for place, key in zip(places, keys, strict=True)]
    parents = [str(place.parent) for place in places]
    shared = len({Path(parent).anchor for parent in parents}) == 1  # Windows has a tree for each drive
    base = Path(os.path.commonpath(parents)) if shared else None
    return [(place.relative_to(base) if base else place).as_posix() for place in places]


def write(runs: Sequence[Run], path: Path) -> None:
    """Write `frame` as CSV, unrounded; blank where there is no number."""
    with replacing(path) as temporary:
        frame(runs).to_csv(temporary, index=False)
