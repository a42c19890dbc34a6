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

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.config import WHERE
from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.paths import replacing
from workbench.reports import report
from workbench.reports.published import RANDOM
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
    posterior: str  # how a subset's posterior is made
    given: str  # the subset that was read: "M,S"; "random": nothing, drawn from the prior
    target: str  # what was generated or judged
    value: float | None
    error: float | None = None  # standard error inside the run


def flatten(metrics: Metrics) -> Iterator[Number]:
    """All numbers of one evaluation, section by section; sections that it lacks are passed over."""
    for section in SECTIONS:
        yield from numbers(metrics, section)


def numbers(metrics: Metrics, section: str) -> Iterator[Number]:
    """The numbers in one section of metrics.json."""
    return SECTIONS[section](section, metrics, metrics.get(section) or {})


def _of_subsets(section: str, metrics: Metrics, found: Mapping[str, Any]) -> Iterator[Number]:
    errors = metrics.get(f"{section}_error") or {}
    for fusion, row in found.items():
        for given, x in row.items():
            yield Number(section, fusion, given, "", x, (errors.get(fusion) or {}).get(given))


def _of_modalities(section: str, metrics: Metrics, found: Mapping[str, Any]) -> Iterator[Number]:
    return (Number(section, "", "", letter, x) for letter, x in found.items())


def _of_random(section: str, metrics: Metrics, found: Mapping[str, Any]) -> Iterator[Number]:
    return (Number(section, "", RANDOM, count, x) for count, x in found.items())


def _of_paths(section: str, metrics: Metrics, found: Mapping[str, Any]) -> Iterator[Number]:
    return (Number(section, fusion, given, target, x) for fusion, target, given, x in _cells(found))


def _of_images(section: str, metrics: Metrics, found: Mapping[str, Any]) -> Iterator[Number]:
    for fusion, target, given, scores in _cells(found.get("conditional") or {}):
        yield from (Number(f"{section}.{score}", fusion, given, target, x) for score, x in (scores or {}).items())
    for target, scores in (found.get("random") or {}).items():
        yield from (Number(f"{section}.{score}", "", RANDOM, target, x) for score, x in (scores or {}).items())


def _of_likelihoods(section: str, metrics: Metrics, found: Mapping[str, Any]) -> Iterator[Number]:
    joint = ((fusion, "", given, x) for fusion, row in (found.get("X") or {}).items() for given, x in row.items())
    for kind, cells in {"X": joint, **{k: _cells(found.get(k) or {}) for k in ("given", "predictive")}}.items():
        for fusion, target, given, x in cells:
            if x:  # an estimate that could not be made is null as a whole
                yield Number(f"{section}.{kind}", fusion, given, target, x.get("nats"), x.get("standard_error"))
                if "effective_samples" in x:
                    yield Number(f"{section}.{kind}.effective_samples", fusion, given, target, x["effective_samples"])


def _of_descriptions(section: str, metrics: Metrics, found: Mapping[str, Any]) -> Iterator[Number]:
    for fusion, target, given, measures in _cells(found):
        yield from (Number(f"{section}.{measure}", fusion, given, target, x) for measure, x in measures.items())


def _of_rates(section: str, metrics: Metrics, found: Sequence[float] | Mapping[str, Any]) -> Iterator[Number]:
    named = zip(ATTRIBUTES, found, strict=True) if found else ()
    return (Number(f"{section}.{name}", "", "", "", x) for name, x in named)


def _of_attributes(section: str, metrics: Metrics, found: Mapping[str, Any]) -> Iterator[Number]:
    """Each attribute's own number, wherever a section has one number for all of them."""
    for name, rows in found.items():
        metric = JUDGES.get(name, name)
        for number in SECTIONS[metric](metric, {}, rows):
            yield from (
                number._replace(metric=f"{metric}.{attribute}", value=x)
                for attribute, x in zip(ATTRIBUTES, number.value, strict=True)
            )


JUDGES = {"judges": "classifier_accuracy"}  # where the numbers of all attributes together stand


def _cells(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[tuple[str, str, str, Any]]:
    """(posterior, target, given, what is there) of found[posterior][target][given]."""
    for fusion, table in found.items():
        for target, row in table.items():
            for given, x in row.items():
                yield fusion, target, given, x


Reader = Callable[[str, Metrics, Any], Iterator[Number]]
# Sections of metrics.json that hold numbers of the model. The others say how it was judged, and how long that took.
SECTIONS: dict[str, Reader] = {
    "rate": _of_subsets,
    "marginal_kl": _of_subsets,
    "linear_probe": _of_subsets,
    "linear_probe_full": _of_subsets,
    "style_probe": _of_modalities,
    "classifier_accuracy": _of_modalities,
    "coherence": _of_paths,
    "random_coherence": _of_random,
    "written": _of_descriptions,
    "base_rate": _of_rates,
    "by_attribute": _of_attributes,
    "quality": _of_images,
    "log_likelihood": _of_likelihoods,
}


def frame(runs: Sequence[Run]) -> "pd.DataFrame":
    """One row per run and metric, of run folders as of `report.read`; a run that comes twice counts once.

    Columns: run, data, method, objective, every configuration field that varies between the runs, seed, steps (taken),
    step, then those of `Number`. `step` is that of a snapshot judged on the way, blank for the finished model. Values
    that were not finite are NaN; so is `error` where a run knows none.
    """
    import pandas as pd

    named = dict(zip(names(runs), runs, strict=True))
    varying = [*varying_fields([*named.values()])]
    heads = ["run", "data", "method", "objective", *(RENAMED.get(field, field) for field in varying), "seed", "steps"]
    rows = [row for name, run in named.items() for row in _rows(name, run, varying)]
    made = pd.DataFrame(rows, columns=[*heads, "step", *Number._fields])
    return made.astype({"step": "Int64", "value": float, "error": float})


def _rows(name: str, run: Run, varying: Sequence[str]) -> Iterator[tuple]:
    """The rows of one run, its snapshots last."""
    config, metrics = run.config, run.metrics
    told = (name, config.data, report.label(run), config.objective, *(getattr(config, field) for field in varying))
    told += (config.seed, report.steps_taken(run))
    for judged in (metrics, *(metrics.get("over_steps") or ())):
        yield from ((*told, judged.get("step"), *number) for number in flatten(judged))


def varying_fields(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Fields in which the configurations of some runs differ, with their values; none that has a column of its own."""
    settings = [{field: x for field, x in run.config.to_json().items() if field not in ITSELF} for run in runs]
    return report.differing(settings)


def names(runs: Sequence[Run]) -> list[str]:
    """What tells runs apart: the folder below the deepest folder of them all, or file and key of collected ones."""
    places = [_place(run) for run in runs]
    parents = [str(place.parent) for place in places]
    shared = len({Path(parent).anchor for parent in parents}) == 1  # Windows has a tree for each drive
    base = Path(os.path.commonpath(parents)) if shared else None
    return [(place.relative_to(base) if base else place).as_posix() for place in places]


def _place(run: Run) -> Path:
    place = run.folder.resolve()
    return place.with_suffix("") / run.config.key() if isinstance(run, report.Recorded) else place


def write(runs: Sequence[Run], path: Path) -> None:
    """Write `frame` as CSV, unrounded; blank where there is no number."""
    with replacing(path) as temporary:
        frame(runs).to_csv(temporary, index=False)
