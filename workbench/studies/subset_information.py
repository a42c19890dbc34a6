"""What each subset of modalities tells about a class: by a logistic regression on codes, or on the columns themselves.

Two numbers say how much: the area under the ROC curve, and ln p(class | subset) of the test items less ln p(class), in
bits. The latter estimates from below what the subset and the class have in common, I(X; y) = H(y) - H(y | X): no
classifier's cross-entropy is less than H(y | X).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.data.dataset import MultimodalDataset
from workbench.inference import evaluated_subsets
from workbench.metrics.encode import codes, encode_rows
from workbench.modality import modalities_of
from workbench.model import MultimodalVAE

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Features = Callable[[MultimodalDataset], dict[str, Tensor]]  # features [n, d] of every subset, by name


class Score(NamedTuple):
    """How well a class is told: area under the ROC curve (several: mean of one against the rest), bits, accuracy."""

    auc: float
    bits: float
    accuracy: float


class Estimate(NamedTuple):
    """A mean over repeated splits and its standard error."""

    mean: float
    error: float


def code_scores(
    model: MultimodalVAE, train: MultimodalDataset, test: MultimodalDataset, fusion: str = "dynamic_prior"
) -> dict[str, Score]:
    """Scores of a logistic regression on the posterior means of the content, for every subset such as "M,W".

    `fusion` is that of `model.infer`. Items that lack a part of a subset are left out of it. Raises ValueError on data
    without classes.
    """

    def features(data: MultimodalDataset) -> dict[str, Tensor]:
        rows, generator = torch.arange(len(data)), torch.Generator().manual_seed(0)
        return codes(model, encode_rows(model, data, rows, generator), fusion)

    return _scores(features, model.letters, train, test)


def column_scores(train: MultimodalDataset, test: MultimodalDataset) -> dict[str, Score]:
    """The same on the values of tables themselves, side by side: what needs no model. NaN within a table is zero."""
    letters = tuple(modality.letter for modality in modalities_of(train))

    def features(data: MultimodalDataset) -> dict[str, Tensor]:
        rows = torch.arange(len(data))
        values = [x.nan_to_num().flatten(1) for x in data.batch(rows, torch.Generator().manual_seed(0)).values]
        by_letter = dict(zip(letters, values, strict=True))
        return {",".join(s): torch.cat([by_letter[a] for a in s], 1) for s in evaluated_subsets(letters)}

    return _scores(features, letters, train, test)


def _scores(
    features: Features, letters: Sequence[str], train: MultimodalDataset, test: MultimodalDataset
) -> dict[str, Score]:
    check_classes(train)
    learnt, shown, found = features(train), features(test), {}
    for name in learnt:
        places = [letters.index(letter) for letter in name.split(",")]
        # items that have all of these modalities
        a, b = (slice(None) if data.present is None else data.present[:, places].all(1) for data in (train, test))
        found[name] = score(learnt[name][a], train.labels[a], shown[name][b], test.labels[b])
    return found


def check_classes(data: MultimodalDataset) -> None:
    """Raise ValueError on data without classes."""
    if not data.labelled or data.labels.dim() != 1:
        raise ValueError(f"{data.name} has no classes to tell: give labels, one class for each item")


def probe(strength: float = 1.0) -> "Pipeline":
    """Make a logistic regression on standardised features, with the inverse penalty C = `strength`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))


def score(train: Float[Tensor, "n d"], train_labels: Tensor, test: Float[Tensor, "k d"], test_labels: Tensor) -> Score:
    """How well `probe` tells the classes."""
    from sklearn.metrics import log_loss, roc_auc_score

    y, truth = train_labels.numpy(), test_labels.numpy()
    if not np.array_equal(classes := np.unique(y), np.unique(truth)) or len(classes) < 2:
        raise ValueError("the items to learn from and those to test must show the same classes, two or more of them")
    p = probe().fit(train.double().numpy(), y).predict_proba(test.double().numpy())
    share = np.bincount(np.searchsorted(classes, truth)) / len(truth)
    entropy = -(share * np.log(share)).sum()
    auc = roc_auc_score(truth, p[:, 1] if len(classes) == 2 else p, multi_class="ovr")
    bits = (entropy - log_loss(truth, p)) / math.log(2)
    return Score(float(auc), float(bits), float((classes[p.argmax(1)] == truth).mean()))


def over_splits(values: Sequence[float], tested: float = 0.2) -> Estimate:
    """Mean over random splits and its standard error, corrected for items that splits share (Nadeau and Bengio 2003).

    `tested` is the share of items for testing. The variance of the mean of J splits is (1 / J + tested / (1 - tested))
    times that of a split, as their training parts overlap: s / sqrt(J) would be too small, and tend to zero although
    there are no more items than before. NaN for a single split.
    """
    x = np.asarray(values, dtype=float)
    if len(x) < 2:
        return Estimate(float(x.mean()), math.nan)
    factor = 1 / len(x) + tested / (1 - tested)
    return Estimate(float(x.mean()), float(np.sqrt(factor * x.var(ddof=1))))


def added(scores: Mapping[str, float]) -> dict[str, float]:
    """What each modality adds to all others, by its letter: the score of all less that of all but it."""
    everything = max(scores, key=lambda name: name.count(","))
    members = everything.split(",")
    return {m: scores[everything] - scores[",".join(x for x in members if x != m)] for m in members}
