"""Tables of runs whose labels are attributes: Table 5 beside the paper's, and what stands behind it."""

from collections.abc import Callable, Sequence
from statistics import fmean

from workbench.reports import published, results
from workbench.reports.results import Metrics, Number
from workbench.reports.tables_readers import (
    Numbers,
    Rows,
    Spec,
    by_attribute,
    columns_of,
    crossed,
    distinct,
    either,
    path_of,
    reader,
    subset_of,
    target_of,
)


def _table_5(metrics: Metrics) -> Numbers:
    """Probes of each subset, then what was generated from something else."""
    numbers = {fusion: dict(row) for fusion, row in reader("linear_probe", subset_of)(metrics).items()}
    for number in filter(crossed, results.numbers(metrics, "coherence")):
        numbers.setdefault(number.posterior, {})[_path(number)] = number.value
    return numbers


def _path(number: Number) -> str:
    return path_of(number.target, number.given)


def _own(metrics: Metrics) -> Numbers:
    """What was generated from itself, alone or with others."""
    numbers: Numbers = {}
    for number in results.numbers(metrics, "coherence"):
        if not crossed(number):
            numbers.setdefault(number.posterior, {})[_path(number)] = number.value
    return numbers


def _written(metrics: Metrics) -> Numbers:
    """Precision, recall and average precision of attributes that descriptions name."""
    numbers: Numbers = {}
    for number in results.numbers(metrics, "written"):
        measure = number.metric.partition(".")[2].replace("_", " ")
        numbers.setdefault(number.posterior, {})[f"{_path(number)}, {measure}"] = number.value
    return numbers


def _base_rate(metrics: Sequence[Metrics]) -> str:
    """What knowing nothing reaches."""
    rates = [[x for x in m.get("base_rate") or () if x > 0] for m in metrics]
    floors = [f"{fmean(there):.2f}" for there in rates if there]
    return f"Knowing nothing reaches {either(floors)}, the mean base rate." if floors else ""


def _judges(metrics: Sequence[Metrics]) -> str:
    letters = dict.fromkeys(letter for m in metrics for letter in m.get("classifier_accuracy") or {})
    own = [f"{letter} {either(distinct(metrics, 'classifier_accuracy', letter), '.3f')}" for letter in letters]
    return f"Judges' own on test items: {', '.join(own)}." if own else ""


def _note(what: str, judged: bool = False) -> Callable[[Sequence[Metrics]], str]:
    return lambda metrics: " ".join(p for p in (what, _base_rate(metrics), _judges(metrics) if judged else "") if p)


_MEAN = "Mean over attributes of their average precisions over the whole test set"
_PROBE = "by logistic regressions without penalty on posterior means of 256 training items, mean over several draws"
_PAPER: Rows = {
    key: row | columns_of(path_of, published.CELEBA_COHERENCE)[key]
    for key, row in columns_of(str, published.CELEBA_PROBE).items()
}

ATTRIBUTE_SPECS = (
    Spec(
        "attributes",
        "mean average precision of attributes: linear probe of each subset; samples, given → generated",
        by_attribute(_table_5),
        "Table 5",
        _PAPER,
        error=by_attribute(reader("linear_probe", subset_of, "error")),
        note=_note(f"{_MEAN}: of codes {_PROBE}; of samples by a judge's scores.", judged=True),
        source=published.CELEBA,
    ),
    Spec(
        "attributes_probe_full",
        "mean average precision of a linear probe on many training items",
        by_attribute(reader("linear_probe_full", subset_of)),
        note=_note(f"{_MEAN}, by logistic regressions without penalty on at most 20,000 training items."),
    ),
    Spec(
        "attributes_style",
        "mean average precision of a linear probe on each modality's style",
        by_attribute(reader("style_probe", target_of)),
        note=_note(f"{_MEAN}, by logistic regressions without penalty on at most 20,000 training items."),
        sparse=True,
    ),
    Spec(
        "attributes_own",
        "mean average precision of samples generated from what was given, given → generated",
        by_attribute(_own),
        note=_note(f"{_MEAN}, by a judge's scores.", judged=True),
    ),
    Spec(
        "attributes_written",
        "attributes read off the characters of generated descriptions, given → generated",
        by_attribute(_written),
        note=lambda metrics: (
            "Without a judge: an attribute is there when its phrase occurs in the most likely characters. Precision: "
            "of all that are read, the share given; recall: of all given, the share read. Average precision: mean "
            "over attributes, of a yes or no, which is coarser than a judge's score."
        ),
    ),
    Spec(
        "attributes_agreement",
        "agreement of the modalities of random samples",
        by_attribute(reader("random_coherence", target_of)),
        note=lambda metrics: (
            "Attributes agree: on how many of the 40 attributes the judges agree. By chance: the same of modalities "
            "that were generated independently, with the same frequencies; only what is above it is coherence. All "
            "agree: on all 40 at once, the paper's words."
        ),
        unjudged=("by chance",),
    ),
)
