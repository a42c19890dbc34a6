"""The table of tables: which of the paper's each one is, how its cells are read from metrics.json, the paper's cells.

To add a table, add a line to `SPECS`. A reader gives no cell where a run lacks the section.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench import published, results
from workbench.results import Metrics, Number

Numbers = dict[str, dict[str, Any]]  # posterior -> column -> number; the posterior that the paper shows comes first
Rows = dict[str, dict[str, float]]  # the paper's: method's key -> column -> number


@dataclass(frozen=True)
class Spec:
    """A table: where it stands in the paper, how its cells are read from metrics, and the paper's own cells."""

    name: str
    title: str
    read: Callable[[Metrics], Numbers]
    numbers: str = ""  # in the paper; "": beyond it
    paper: Rows = field(default_factory=dict)
    error: Callable[[Metrics], Numbers] = lambda metrics: {}  # standard error inside a run
    note: Callable[[Sequence[Metrics]], str] = lambda metrics: ""  # sentences for the caption
    digits: int = 2
    higher_is_better: bool = True
    unjudged: tuple[str, ...] = ()  # columns in which more is neither better nor worse
    comparable: Callable[[Sequence[Metrics]], bool] = lambda metrics: (
        True
    )  # whether numbers are measured as the paper's
    sparse: bool = False  # methods that cannot have such numbers are left out

    @property
    def heading(self) -> str:
        """Number and title, such as "Tables 1 and 14: accuracy ..."."""
        return f"{self.numbers}: {self.title}" if self.numbers else self.title[0].upper() + self.title[1:]


def _read(metric: str, column: Callable[[Number], str], entry: str = "value") -> Callable[[Metrics], Numbers]:
    """Numbers of one metric, or their standard errors, as columns of each posterior."""

    def read(metrics: Metrics) -> Numbers:
        found: Numbers = {}
        for number in results.numbers(metrics, metric.partition(".")[0]):
            if number.metric == metric:
                found.setdefault(number.posterior, {})[column(number)] = getattr(number, entry)
        return found

    return read


def _subset(number: Number) -> str:
    return number.given


def _target(number: Number) -> str:
    return number.target.replace("_", " ")


def _path(target: str, given: str) -> str:
    return f"{given} → {target}"


def _crossed(number: Number) -> bool:
    """Whether something was generated that was not given."""
    return number.target not in number.given.split(",")


def _coherence(metrics: Metrics) -> Numbers:
    found = {published.RANDOM: (metrics.get("random_coherence") or {}).get("agreement_pattern")}
    numbers: Numbers = {}
    for number in filter(_crossed, results.numbers(metrics, "coherence")):
        row = numbers.setdefault(number.posterior, dict(found))
        row[_path(number.target, number.given)] = number.value
    return numbers


def _quality(score: str) -> Callable[[Metrics], Numbers]:
    """A score of generated images: of each modality from every subset of the others, then from the prior."""

    def read(metrics: Metrics) -> Numbers:
        scores = [x for x in results.numbers(metrics, "quality") if x.metric == f"quality.{score}" and _crossed(x)]
        random = [x for x in scores if x.given == published.RANDOM]
        numbers: Numbers = {}
        for how in dict.fromkeys(x.posterior for x in scores if x.posterior) or ([""] if random else []):
            own = [x for x in scores if x.posterior == how and x.given != published.RANDOM] + random
            targets = [*dict.fromkeys(x.target for x in own)]
            numbers[how] = {_path(x.target, x.given): x.value for target in targets for x in own if x.target == target}
        return numbers

    return read


def _given(subset: str, joint: str = ",".join("MST")) -> str:
    return "X" if subset == joint else f"X|{subset}"


def _likelihood(entry: str) -> Callable[[Metrics], Numbers]:
    """Log-likelihoods or their errors: of X first, then of X given each subset."""

    def read(metrics: Metrics) -> Numbers:
        numbers: Numbers = {}
        for how, row in _read("log_likelihood.X", _subset, entry)(metrics).items():
            joint = max(row, key=lambda subset: subset.count(","))
            order = sorted(row, key=lambda subset: subset != joint)
            numbers[how] = {_given(subset, joint): row[subset] for subset in order}
        return numbers

    return read


def _predictive(metrics: Metrics) -> Numbers:
    """ln E_{q(z | x_k)}[p(x_j | z)] given single modalities, itself among them."""
    found = _read("log_likelihood.predictive", lambda number: _path(number.target, number.given))(metrics)
    return {how: {path: x for path, x in row.items() if "," not in path} for how, row in found.items()}


def _distinct(metrics: Sequence[Metrics], section: str, entry: str) -> list[Any]:
    """Values of an entry of a section over runs, each once, where they have it."""
    values = [(m.get(section) or {}).get(entry) for m in metrics]
    return [x for i, x in enumerate(values) if x is not None and x not in values[:i]]


def _or(values: Sequence[Any], form: str = "") -> str:
    return " or ".join(dict.fromkeys(format(value, form) for value in values))


def _probe_note(metrics: Sequence[Metrics]) -> str:
    draws = ", mean over several draws of them" if any(m.get("linear_probe_error") for m in metrics) else ""
    return f"Accuracy on test items of a logistic regression on posterior means of 256 training items{draws}."


def _judges_note(metrics: Sequence[Metrics]) -> str:
    """What no coherence can pass but by luck."""
    letters = dict.fromkeys(letter for m in metrics for letter in m.get("classifier_accuracy") or {})
    own = [f"{letter} {_or(_distinct(metrics, 'classifier_accuracy', letter), '.3f')}" for letter in letters]
    return f"Judges' own accuracy: {', '.join(own)}." if own else ""


def _coherence_note(metrics: Sequence[Metrics]) -> str:
    what = (
        "Accuracy of generated samples, as a judge finds it; random: the agreement pattern of the reference code, 0.82 "
        "by chance, so that more is not better."
    )
    return f"{what} {_judges_note(metrics)}".strip()


def _random_note(metrics: Sequence[Metrics]) -> str:
    what = (
        "All agree: every modality shows one class, the paper's words. Agreement pattern: (a = b) = (a = c), "
        "the reference code's count, 0.82 by chance, so that more is not better; the paper's RANDOM looks like it."
    )
    return f"{what} {_judges_note(metrics)}".strip()


def _features_note(metrics: Sequence[Metrics]) -> str:
    features = [", ".join(f"{k} {v}" for k, v in found.items()) for found in _distinct(metrics, "quality", "features")]
    images = _distinct(metrics, "quality", "images")
    parts = [f"Features: {_or(features)}."] if features else []
    return " ".join([*parts, f"{_or(images, ',')} images of each kind."] if images else parts)


def _quality_note(metrics: Sequence[Metrics]) -> str:
    ceilings = _distinct(metrics, "quality", "ceiling")
    ceiling = f"Identical distributions reach {_or(ceilings, '.2f')}, not 1." if ceilings else ""
    return " ".join(part for part in (_features_note(metrics), "The paper's are Inception's.", ceiling) if part)


def _by_inception(metrics: Sequence[Metrics]) -> bool:
    """Whether all qualities were measured on the features that the paper's were."""
    names = [name for found in _distinct(metrics, "quality", "features") for name in found.values()]
    return bool(names) and all("Inception" in name for name in names)


def _likelihood_note(metrics: Sequence[Metrics]) -> str:
    samples, items = _distinct(metrics, "log_likelihood", "samples"), _distinct(metrics, "log_likelihood", "items")
    how = "Importance sampling"
    how += f" with K = {_or(samples)} samples" if samples else ""
    how += f" for each of {_or(items, ',')} test items" if items else ""
    return f"{how}; the paper's estimator mixed items, so that its absolute values are out of reach."


def _columns(name: Callable[..., str], rows: dict[str, dict]) -> Rows:
    """The paper's rows with our names of columns."""
    return {
        key: {name(*column) if isinstance(column, tuple) else name(column): x for column, x in row.items()}
        for key, row in rows.items()
    }


_COHERENCE_ROWS = {
    key: {published.RANDOM: published.RANDOM_COHERENCE[key]} | row
    for key, row in _columns(_path, published.COHERENCE).items()
}
_RANDOM_ROWS = {key: {"agreement pattern": x} for key, x in published.RANDOM_COHERENCE.items()}
_QUALITY_ROWS = _columns(_path, published.QUALITY)

SPECS = {
    spec.name: spec
    for spec in (
        Spec(
            "linear_probe",
            "accuracy of a linear probe on 256 items",
            _read("linear_probe", _subset),
            "Tables 1 and 14",
            published.LINEAR_PROBE,
            error=_read("linear_probe", _subset, "error"),
            note=_probe_note,
        ),
        Spec(
            "linear_probe_full", "accuracy of a linear probe on all training items", _read("linear_probe_full", _subset)
        ),
        Spec(
            "rate",
            "rate: divergence (KL) of an item's posterior from the prior in nats",
            _read("rate", _subset),
            note=lambda metrics: "Of a mixture: the mean of its components'.",
            digits=1,
        ),
        Spec(
            "marginal_kl",
            "divergence (KL) of the aggregate posterior from the prior in nats",
            _read("marginal_kl", _subset),
            note=lambda metrics: "By mean and covariance of all items' posteriors together: a lower bound.",
            digits=1,
            higher_is_better=False,
        ),
        Spec(
            "style_probe",
            "accuracy of a linear probe on each modality's style",
            _read("style_probe", _target),
            sparse=True,
        ),
        Spec(
            "coherence",
            "coherence of generated samples, given → generated",
            _coherence,
            "Tables 2 and 15",
            _COHERENCE_ROWS,
            note=_coherence_note,
            unjudged=(published.RANDOM,),
        ),
        Spec(
            "random_coherence",
            "coherence of random samples by two counts",
            _read("random_coherence", _target),
            paper=_RANDOM_ROWS,
            note=_random_note,
            unjudged=("agreement pattern",),
        ),
        Spec(
            "quality",
            "average precision of generated samples, given → generated",
            _quality("average_precision"),
            "Table 3",
            _QUALITY_ROWS,
            note=_quality_note,
            comparable=_by_inception,
        ),
        Spec("f_8", "F_8 of generated samples (weights recall)", _quality("f_8"), note=_features_note),
        Spec("f_1_8", "F_1/8 of generated samples (weights precision)", _quality("f_1_8"), note=_features_note),
        Spec(
            "fid",
            "Fréchet distance (FID) of generated samples (lower is better)",
            _quality("fid"),
            note=_features_note,
            digits=1,
            higher_is_better=False,
        ),
        Spec(
            "log_likelihood",
            "test log-likelihoods in nats per item",
            _likelihood("value"),
            "Tables 4 and 16",
            _columns(_given, published.LOG_LIKELIHOOD),
            error=_likelihood("error"),
            note=_likelihood_note,
            digits=0,
            comparable=lambda metrics: False,  # the paper's estimator mixed items
        ),
        Spec(
            "predictive",
            "predictive log-likelihoods given one modality, given → predicted, in nats per item",
            _predictive,
            digits=1,
        ),
    )
}
