"""What a table is, and how its cells are read from metrics.json: readers, and notes for captions.

A reader gives no cell where a run lacks the section, or where it is of the other kind: of classes or of attributes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.reports import published, results
from workbench.reports.published import Experiment
from workbench.reports.results import Metrics, Number

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
    source: Experiment = published.DIGITS  # what the paper's cells were measured on

    @property
    def heading(self) -> str:
        """Number and title, such as "Tables 1 and 14: accuracy ..."."""
        return f"{self.numbers}: {self.title}" if self.numbers else self.title[0].upper() + self.title[1:]


def of_attributes(metrics: Metrics) -> bool:
    """Whether metrics are average precisions of attributes instead of accuracies of classes."""
    return "score" in metrics


def by_class(read: Callable[[Metrics], Numbers]) -> Callable[[Metrics], Numbers]:
    """A reader that finds nothing where labels are attributes."""
    return lambda metrics: {} if of_attributes(metrics) else read(metrics)


def by_attribute(read: Callable[[Metrics], Numbers]) -> Callable[[Metrics], Numbers]:
    """A reader that finds nothing where labels are classes."""
    return lambda metrics: read(metrics) if of_attributes(metrics) else {}


def reader(metric: str, column: Callable[[Number], str], entry: str = "value") -> Callable[[Metrics], Numbers]:
    """Numbers of one metric, or their standard errors, as columns of each posterior."""

    def read(metrics: Metrics) -> Numbers:
        found: Numbers = {}
        for number in results.numbers(metrics, metric.partition(".")[0]):
            if number.metric == metric:
                found.setdefault(number.posterior, {})[column(number)] = getattr(number, entry)
        return found

    return read


def subset_of(number: Number) -> str:
    return number.given


def target_of(number: Number) -> str:
    return number.target.replace("_", " ")


def path_of(target: str, given: str) -> str:
    return f"{given} → {target}"


def crossed(number: Number) -> bool:
    """Whether something was generated that was not given."""
    return number.target not in number.given.split(",")


def coherence(metrics: Metrics) -> Numbers:
    found = {published.RANDOM: (metrics.get("random_coherence") or {}).get("agreement_pattern")}
    numbers: Numbers = {}
    for number in filter(crossed, results.numbers(metrics, "coherence")):
        row = numbers.setdefault(number.posterior, dict(found))
        row[path_of(number.target, number.given)] = number.value
    return numbers


def quality(score: str) -> Callable[[Metrics], Numbers]:
    """A score of generated images: of each modality from every subset of the others, then from the prior."""

    def read(metrics: Metrics) -> Numbers:
        scores = [x for x in results.numbers(metrics, "quality") if x.metric == f"quality.{score}" and crossed(x)]
        random = [x for x in scores if x.given == published.RANDOM]
        numbers: Numbers = {}
        for fusion in dict.fromkeys(x.posterior for x in scores if x.posterior) or ([""] if random else []):
            own = [x for x in scores if x.posterior == fusion and x.given != published.RANDOM] + random
            targets = [*dict.fromkeys(x.target for x in own)]
            numbers[fusion] = {
                path_of(x.target, x.given): x.value for target in targets for x in own if x.target == target
            }
        return numbers

    return read


def given_of(subset: str, joint: str = ",".join("MST")) -> str:
    return "X" if subset == joint else f"X|{subset}"


def likelihood(entry: str) -> Callable[[Metrics], Numbers]:
    """Log-likelihoods or their errors: of X first, then of X given each subset."""

    def read(metrics: Metrics) -> Numbers:
        numbers: Numbers = {}
        for fusion, row in reader("log_likelihood.X", subset_of, entry)(metrics).items():
            joint = max(row, key=lambda subset: subset.count(","))
            order = sorted(row, key=lambda subset: subset != joint)
            numbers[fusion] = {given_of(subset, joint): row[subset] for subset in order}
        return numbers

    return read


def predictive(metrics: Metrics) -> Numbers:
    """ln E_{q(z | x_k)}[p(x_j | z)] given single modalities, itself among them."""
    found = reader("log_likelihood.predictive", lambda number: path_of(number.target, number.given))(metrics)
    return {fusion: {path: x for path, x in row.items() if "," not in path} for fusion, row in found.items()}


def distinct(metrics: Sequence[Metrics], section: str, entry: str) -> list[Any]:
    """Values of an entry of a section over runs, each once, where they have it."""
    values = [(m.get(section) or {}).get(entry) for m in metrics]
    return [x for i, x in enumerate(values) if x is not None and x not in values[:i]]


def either(values: Sequence[Any], form: str = "") -> str:
    return " or ".join(dict.fromkeys(format(value, form) for value in values))


def probe_note(metrics: Sequence[Metrics]) -> str:
    draws = ", mean over several draws of them" if any(m.get("linear_probe_error") for m in metrics) else ""
    return f"Accuracy on test items of a logistic regression on posterior means of 256 training items{draws}."


def judges_note(metrics: Sequence[Metrics]) -> str:
    """What no coherence can pass but by luck."""
    letters = dict.fromkeys(letter for m in metrics for letter in m.get("classifier_accuracy") or {})
    own = [f"{letter} {either(distinct(metrics, 'classifier_accuracy', letter), '.3f')}" for letter in letters]
    return f"Judges' own accuracy: {', '.join(own)}." if own else ""


def coherence_note(metrics: Sequence[Metrics]) -> str:
    what = (
        "Accuracy of generated samples, as a judge finds it; random: the agreement pattern of the reference code, 0.82 "
        "by chance, so that more is not better."
    )
    return f"{what} {judges_note(metrics)}".strip()


def random_note(metrics: Sequence[Metrics]) -> str:
    what = (
        "All agree: every modality shows one class, the paper's words. Agreement pattern: (a = b) = (a = c), "
        "the reference code's count, 0.82 by chance, so that more is not better; the paper's RANDOM looks like it."
    )
    return f"{what} {judges_note(metrics)}".strip()


def features_note(metrics: Sequence[Metrics]) -> str:
    features = [", ".join(f"{k} {v}" for k, v in found.items()) for found in distinct(metrics, "quality", "features")]
    images = distinct(metrics, "quality", "images")
    parts = [f"Features: {either(features)}."] if features else []
    return " ".join([*parts, f"{either(images, ',')} images of each kind."] if images else parts)


def fid_note(metrics: Sequence[Metrics]) -> str:
    """What a distance was measured on, and where images are few for the features of faces, what that does."""
    few = "Of so few images it is above 0 between real ones, too, the more so the more features there are."
    return " ".join(filter(None, (features_note(metrics), few if any(map(of_attributes, metrics)) else "")))


def quality_note(metrics: Sequence[Metrics]) -> str:
    ceilings = distinct(metrics, "quality", "ceiling")
    ceiling = f"Identical distributions reach {either(ceilings, '.2f')}, not 1." if ceilings else ""
    parts = [_OF_DISTRIBUTIONS if any(map(of_attributes, metrics)) else "", features_note(metrics)]
    return " ".join(part for part in (*parts, "The paper's are Inception's.", ceiling) if part)


_OF_DISTRIBUTIONS = "Of distributions of images, by their precision-recall curve: nothing to do with attributes."


def by_inception(metrics: Sequence[Metrics]) -> bool:
    """Whether all qualities were measured on the features that the paper's were."""
    names = [name for found in distinct(metrics, "quality", "features") for name in found.values()]
    return bool(names) and all("Inception" in name for name in names)


def likelihood_note(metrics: Sequence[Metrics]) -> str:
    samples, items = distinct(metrics, "log_likelihood", "samples"), distinct(metrics, "log_likelihood", "items")
    fusion = "Importance sampling"
    fusion += f" with K = {either(samples)} samples" if samples else ""
    fusion += f" for each of {either(items, ',')} test items" if items else ""
    return f"{fusion}; the paper's estimator mixed items, so that its absolute values are out of reach."


def columns_of(name: Callable[..., str], rows: dict[str, dict]) -> Rows:
    """The paper's rows with our names of columns."""
    return {
        key: {name(*column) if isinstance(column, tuple) else name(column): x for column, x in row.items()}
        for key, row in rows.items()
    }
