"""The table of tables: which of the paper's each one is, how its cells are read, the paper's cells, its caption.

To add a table, add a line to `SPECS`. Its reader gives no cell where a run lacks the section.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from operator import attrgetter
from statistics import fmean
from typing import Any

from workbench.reports import published
from workbench.reports.published import RANDOM
from workbench.reports.results import Metrics, Number, numbers

Cells = dict[str, dict[str, Number]]  # posterior -> column -> number; the posterior that the paper shows comes first
Rows = dict[str, dict[str, float]]  # the paper's: method's key -> column -> number
Words = str | Callable[[Sequence[Metrics]], str]  # a part of a caption, of all runs on one data set
CLASSES, ATTRIBUTES = "classes", "attributes"  # what labels are


@dataclass(frozen=True)
class Spec:
    """A table: where it stands in the paper, how its cells are read from metrics, and the paper's own cells."""

    name: str
    title: str
    read: Callable[[Metrics], Cells]
    numbers: str = ""  # in the paper; "": beyond it
    paper: Rows = field(default_factory=dict)
    labels: str = ""  # CLASSES or ATTRIBUTES: runs on labels of the other kind have no such numbers
    note: Sequence[Words] = ()  # sentences for the caption
    digits: int = 2
    higher_is_better: bool = True
    unjudged: tuple[str, ...] = ()  # columns in which more is neither better nor worse
    comparable: Callable[[Sequence[Metrics]], bool] = lambda metrics: True  # whether measured as the paper's are
    sparse: bool = False  # methods that cannot have such numbers are left out
    source: published.Experiment = published.DIGITS  # what the paper's cells were measured on
    doubted: tuple[str, str, float] | None = None  # a column that is marked where another one exceeds a number

    @property
    def heading(self) -> str:
        """Number and title, such as "Tables 1 and 14: accuracy ..."."""
        return f"{self.numbers}: {self.title}" if self.numbers else self.title[0].upper() + self.title[1:]

    def cells(self, metrics: Metrics) -> Cells:
        """Read the cells of one evaluation; none where it lacks the section or has labels of the other kind."""
        kind = ATTRIBUTES if of_attributes(metrics) else CLASSES
        return self.read(metrics) if self.labels in ("", kind) else {}

    def row(self, metrics: Metrics, posterior: str | None = None) -> dict[str, Number]:
        """Read the finite cells at one posterior, at the paper's where the table has no such posterior."""
        cells = self.cells(metrics)
        fusion = posterior if posterior in cells else next(iter(cells), "")
        return {column: number for column, number in cells.get(fusion, {}).items() if number.value is not None}


def of_attributes(metrics: Metrics) -> bool:
    """Tell whether metrics are average precisions of attributes instead of accuracies of classes."""
    return "score" in metrics


# Cells


def reader(*parts: tuple) -> Callable[[Metrics], Cells]:
    """Make a row for each posterior, target by target; numbers without a posterior stand in every row.

    A part is a metric (`SECTION.*` for all of a section), what makes a column of a number, and tests to be passed.
    """

    def read(metrics: Metrics) -> Cells:
        cells = [
            (column(x), x)
            for metric, column, *tests in parts
            for x in numbers(metrics, metric.partition(".")[0])
            if fnmatchcase(x.metric, metric) and all(test(x) for test in tests)
        ]
        rows = dict.fromkeys(x.posterior for _, x in cells if x.posterior) or dict.fromkeys([""] if cells else [])
        targets = [*dict.fromkeys(x.target for _, x in cells)]
        cells.sort(key=lambda cell: targets.index(cell[1].target))
        return {row: {column: x for column, x in cells if x.posterior in ("", row)} for row in rows}

    return read


subset_of = attrgetter("given")


def target_of(number: Number) -> str:
    return number.target.replace("_", " ")


def path_of(target: str, given: str) -> str:
    return f"{given} → {target}"


def path(number: Number) -> str:
    return path_of(number.target, number.given)


def crossed(number: Number) -> bool:
    """Tell whether something was generated that was not given."""
    return number.target not in number.given.split(",")


def given_of(subset: str, joint: str = ",".join("MST")) -> str:
    return "X" if subset == joint else f"X|{subset}"


def likelihood(metrics: Metrics) -> Cells:
    """Read log-likelihoods: of X first, then of X given each subset."""
    cells: Cells = {}
    for fusion, row in reader(("log_likelihood.X", subset_of))(metrics).items():
        joint = max(row, key=lambda subset: subset.count(","))
        order = sorted(row, key=lambda subset: subset != joint)
        cells[fusion] = {given_of(subset, joint): row[subset] for subset in order}
    return cells


_K_HAT, _AT_LEAST = "k-hat", "ln p(X) ≥"
_EVIDENCE = {
    "nats": _AT_LEAST,
    "effective_samples": "effective draws",
    "k_hat": _K_HAT,
    "k_hat_above": "items above 0.7",
    "gain": "ten times the draws",
    "annealed_gap": "annealing",
}


def evidence(metrics: Metrics) -> Cells:
    """Read ln p(X) by fitted proposals, beside it the estimate by the paper's protocol, of all modalities."""
    found = {x.metric.partition(".")[2]: x for x in numbers(metrics, "evidence")}
    if not found:
        return {}
    row, paper = {}, [x for x in numbers(metrics, "log_likelihood") if x.metric.startswith("log_likelihood.X")]
    if paper := [x for x in paper if x.given.count(",") == max(x.given.count(",") for x in paper)][:2]:
        samples = f"K = {metrics['log_likelihood'].get('samples')}"
        row = dict(zip((samples, f"{samples}: effective"), paper, strict=False))
    row |= {column: found[key] for key, column in _EVIDENCE.items() if key in found}
    row["error"] = found["nats"]._replace(value=found["nats"].error)
    return {"": row}


def columns_of(name: Callable[..., str], rows: dict[str, dict]) -> Rows:
    """Give the paper's rows our names of columns."""
    return {
        key: {name(*column) if isinstance(column, tuple) else name(column): x for column, x in row.items()}
        for key, row in rows.items()
    }


# Sentences of captions, "" where runs have nothing to say


def distinct(metrics: Sequence[Metrics], section: str, entry: str) -> list[Any]:
    """List the values of an entry of a section over runs, each once, where they have it."""
    values = [(m.get(section) or {}).get(entry) for m in metrics]
    return [x for i, x in enumerate(values) if x is not None and x not in values[:i]]


def either(values: Sequence[Any], form: str = "") -> str:
    return " or ".join(dict.fromkeys(format(value, form) for value in values))


def probe(metrics: Sequence[Metrics]) -> str:
    draws = ", mean over several draws of them" if any(m.get("linear_probe_error") for m in metrics) else ""
    return f"Accuracy on test items of a logistic regression on posterior means of 256 training items{draws}."


def judges(metrics: Sequence[Metrics]) -> str:
    """Say what no coherence can pass but by luck."""
    letters = dict.fromkeys(letter for m in metrics for letter in m.get("classifier_accuracy") or {})
    own = [f"{letter} {either(distinct(metrics, 'classifier_accuracy', letter), '.3f')}" for letter in letters]
    what = "on test items" if any(map(of_attributes, metrics)) else "accuracy"
    return f"Judges' own {what}: {', '.join(own)}." if own else ""


def base_rate(metrics: Sequence[Metrics]) -> str:
    """Say what knowing nothing reaches."""
    rates = [[x for x in m.get("base_rate") or () if x > 0] for m in metrics]
    floors = [f"{fmean(known):.2f}" for known in rates if known]
    return f"Knowing nothing reaches {either(floors)}, the mean base rate." if floors else ""


def features(metrics: Sequence[Metrics]) -> str:
    named = [", ".join(f"{k} {v}" for k, v in names.items()) for names in distinct(metrics, "quality", "features")]
    return f"Features: {either(named)}." if named else ""


def of_quality(entry: str, form: str, words: str) -> Words:
    """Make words that are said where qualities have an entry, which takes the place of the braces."""
    return lambda metrics: words.format(either(x, form)) if (x := distinct(metrics, "quality", entry)) else ""


def on_attributes(words: str) -> Words:
    """Make words that are said where labels are attributes."""
    return lambda metrics: words if any(map(of_attributes, metrics)) else ""


def by_inception(metrics: Sequence[Metrics]) -> bool:
    """Tell whether all qualities were measured on the features that the paper's were."""
    names = [name for named in distinct(metrics, "quality", "features") for name in named.values()]
    return bool(names) and all("Inception" in name for name in names)


def importance_sampling(metrics: Sequence[Metrics]) -> str:
    samples, items = distinct(metrics, "log_likelihood", "samples"), distinct(metrics, "log_likelihood", "items")
    words = "Importance sampling"
    words += f" with K = {either(samples)} samples" if samples else ""
    words += f" for each of {either(items, ',')} test items" if items else ""
    return f"{words}; the paper's estimator mixed items, so that its absolute values are out of reach."


def fitted_proposals(metrics: Sequence[Metrics]) -> str:
    """Say what the evidence rests on."""
    draws, items = (either(distinct(metrics, "evidence", x), ",") for x in ("draws", "items"))
    more, annealed = (either(distinct(metrics, "evidence", f"{x}_items"), ",") for x in ("gain", "annealed_gap"))
    words = (
        f"At least, in expectation: importance sampling with {draws} draws for each of {items} items, from a Gaussian "
        "fitted to the item, the posteriors of all its subsets and p(z), by the density of their mixture; the subset "
        "that was given changes the proposal and not p(X). Medians of effective draws and of k-hat, by which weights "
        f"are judged: † where it is above 0.7. What ten times the draws add, on {more} items"
    )
    return f"{words}{f', and annealing, on {annealed}' if annealed else ''}; error: of the draws alone."


# The tables

_PATTERN = "agreement pattern"
_COHERENCE = columns_of(path_of, published.COHERENCE)
_COHERENCE = {key: {RANDOM: published.RANDOM_COHERENCE[key]} | row for key, row in _COHERENCE.items()}
_CELEBA: Rows = {
    key: row | columns_of(path_of, published.CELEBA_COHERENCE)[key]
    for key, row in columns_of(str, published.CELEBA_PROBE).items()
}
_MEAN = "Mean over attributes of their average precisions over the whole test set"
_FEW = "by logistic regressions without penalty on posterior means of 256 training items, mean over several draws"
_ALL = "by logistic regressions without penalty on at most 20,000 training items"
_WORDS = (
    "Without a judge: an attribute is there when its phrase occurs in the most likely characters. Precision: of all "
    "that are read, the share given; recall: of all given, the share read. Average precision: mean over attributes, of "
    "a yes or no, which is coarser than a judge's score."
)
_AGREEMENT = (
    "Attributes agree: on how many of the 40 attributes the judges agree. By chance: the same of modalities that were "
    "generated independently, with the same frequencies; only what is above it is coherence. All agree: on all 40 at "
    "once, the paper's words."
)
_COHERENT = (
    "Accuracy of generated samples, as a judge finds it; random: the agreement pattern of the reference code, 0.82 by "
    "chance, so that more is not better."
)
_COUNTS = (
    "All agree: every modality shows one class, the paper's words. Agreement pattern: (a = b) = (a = c), the reference "
    "code's count, 0.82 by chance, so that more is not better; the paper's RANDOM looks like it."
)
_IMAGES = of_quality("images", ",", "{} images of each kind.")
_CEILING = of_quality("ceiling", ".2f", "Identical distributions reach {}, not 1.")
_OF_IMAGES = "Of distributions of images, by their precision-recall curve: nothing to do with attributes."
_FEW_IMAGES = "Of so few images it is above 0 between real ones, too, the more so the more features there are."


_SAMPLERS = (
    "What codes are drawn from: p(z), posteriors of training items (exemplar), or mixtures of Gaussians and flows that "
    "are fitted to draws from these."
)
_NEARER = (
    "Of pairs of a random and a test item the share in which the random one is nearer to a training item: 0.50 where "
    "both are alike, 1 of copies. Of contents, and of images by what judges see; blurred images are near to many."
)


def _generated(score: str) -> Callable[[Metrics], Cells]:
    return reader((f"quality.{score}", path, crossed))


def _written(number: Number) -> str:
    return f"{path(number)}, {number.metric.partition('.')[2].replace('_', ' ')}"


_SPECS = (
    Spec("attributes", "mean average precision of attributes: linear probe of each subset; samples, given → generated",
         reader(("linear_probe", subset_of), ("coherence", path, crossed)), "Table 5", _CELEBA, ATTRIBUTES,
         (f"{_MEAN}: of codes {_FEW}; of samples by a judge's scores.", base_rate, judges), source=published.CELEBA),
    Spec("attributes_probe_full", "mean average precision of a linear probe on many training items",
         reader(("linear_probe_full", subset_of)), labels=ATTRIBUTES, note=(f"{_MEAN}, {_ALL}.", base_rate)),
    Spec("attributes_style", "mean average precision of a linear probe on each modality's style",
         reader(("style_probe", target_of)), labels=ATTRIBUTES, note=(f"{_MEAN}, {_ALL}.", base_rate), sparse=True),
    Spec("attributes_own", "mean average precision of samples generated from what was given, given → generated",
         reader(("coherence", path, lambda number: not crossed(number))),
         labels=ATTRIBUTES, note=(f"{_MEAN}, by a judge's scores.", base_rate, judges)),
    Spec("attributes_written", "attributes read off the characters of generated descriptions, given → generated",
         reader(("written.*", _written)), labels=ATTRIBUTES, note=(_WORDS,)),
    Spec("attributes_agreement", "agreement of the modalities of random samples",
         reader(("random_coherence", target_of)), labels=ATTRIBUTES, note=(_AGREEMENT,), unjudged=("by chance",)),
    Spec("linear_probe", "accuracy of a linear probe on 256 items", reader(("linear_probe", subset_of)),
         "Tables 1 and 14", published.LINEAR_PROBE, CLASSES, (probe,)),
    Spec("linear_probe_full", "accuracy of a linear probe on all training items",
         reader(("linear_probe_full", subset_of)), labels=CLASSES),
    Spec("rate", "rate: divergence (KL) of an item's posterior from the prior in nats",
         reader(("rate", subset_of)), note=("Of a mixture: the mean of its components'.",), digits=1),
    Spec("marginal_kl", "divergence (KL) of the aggregate posterior from the prior in nats",
         reader(("marginal_kl", subset_of)), digits=1, higher_is_better=False,
         note=("By mean and covariance of all items' posteriors together: a lower bound.",)),
    Spec("style_probe", "accuracy of a linear probe on each modality's style",
         reader(("style_probe", target_of)), labels=CLASSES, sparse=True),
    Spec("coherence", "coherence of generated samples, given → generated",
         reader(("random_coherence", lambda number: RANDOM, lambda number: target_of(number) == _PATTERN),
                ("coherence", path, crossed)),
         "Tables 2 and 15", _COHERENCE, CLASSES, (_COHERENT, judges), unjudged=(RANDOM,)),
    Spec("random_coherence", "coherence of random samples by two counts", reader(("random_coherence", target_of)),
         paper={key: {_PATTERN: x} for key, x in published.RANDOM_COHERENCE.items()},
         labels=CLASSES, note=(_COUNTS, judges), unjudged=(_PATTERN,)),
    Spec("quality", "average precision of generated samples, given → generated", _generated("average_precision"),
         "Table 3", columns_of(path_of, published.QUALITY), comparable=by_inception,
         note=(on_attributes(_OF_IMAGES), features, _IMAGES, "The paper's are Inception's.", _CEILING)),
    Spec("f_8", "F_8 of generated samples (weights recall)", _generated("f_8"), note=(features, _IMAGES)),
    Spec("f_1_8", "F_1/8 of generated samples (weights precision)", _generated("f_1_8"), note=(features, _IMAGES)),
    Spec("fid", "Fréchet distance (FID) of generated samples (lower is better)", _generated("fid"),
         note=(features, _IMAGES, on_attributes(_FEW_IMAGES)), digits=1, higher_is_better=False),
    Spec("samplers", "random samples on whose class all judges agree, by what codes are drawn from",
         reader(("samplers.all_agree", subset_of)), note=(_SAMPLERS, judges)),
    Spec("samplers_fid", "Fréchet distance (FID) of random samples (lower is better), codes from → generated",
         reader(("samplers.fid", path)), note=(_SAMPLERS, features, _IMAGES), digits=1, higher_is_better=False),
    Spec("samplers_precision", "average precision of random samples, codes from → generated",
         reader(("samplers.average_precision", path)), note=(_SAMPLERS, features, _IMAGES, _CEILING)),
    Spec("variety", "entropy in nats of the classes that judges find in random samples, codes from → generated",
         reader(("samplers.variety", path)), note=(_SAMPLERS, "Ten classes of equal shares: 2.30.")),
    Spec("copying", "random samples that are nearer to a training item than test items are, codes from → in",
         reader(("samplers.nearer", path)), note=(_SAMPLERS, _NEARER), higher_is_better=False),
    Spec("held_out", "log-density of contents of held-out training items in nats",
         reader(("samplers.held_out", subset_of)), note=(_SAMPLERS,), digits=1),
    Spec("clustering", "k-means of contents given all modalities against classes",
         reader(("clustering.*", lambda number: number.metric.partition(".")[2])), labels=CLASSES,
         note=("Accuracy: of the best matching of clusters and classes; 0 by chance is the ari alone.",)),
    Spec("log_likelihood", "test log-likelihoods in nats per item", likelihood,
         "Tables 4 and 16", columns_of(given_of, published.LOG_LIKELIHOOD), note=(importance_sampling,), digits=0,
         comparable=lambda metrics: False),  # the paper's estimator mixed items
    Spec("evidence", "evidence: ln p(X) by proposals that are fitted to each item, in nats", evidence,
         note=(fitted_proposals,), unjudged=(*_EVIDENCE.values(), "error"), doubted=(_AT_LEAST, _K_HAT, 0.7)),
    Spec("predictive", "predictive log-likelihoods given one modality, given → predicted, in nats per item",
         reader(("log_likelihood.predictive", path, lambda number: "," not in number.given)), digits=1),
)  # fmt: skip
SPECS = {spec.name: spec for spec in _SPECS}
