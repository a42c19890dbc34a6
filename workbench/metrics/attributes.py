"""Average precision of attributes, and linear probes of many attributes at once (Table 5, Figures 8 and 9).

CelebA's attributes are unbalanced: to call nobody bald is right 98 % of the time. So the paper reports each attribute's
average precision, the area below its precision-recall curve, which is the attribute's base rate for scores that know
nothing. It is that of the whole test set, not a mean over batches, which would depend on their size. An attribute that
no test item has has none (NaN) and is left out of means.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.data.alphabet import decode
from workbench.data.celeba.attributes import PHRASES
from workbench.device import double
from workbench.metrics.regression import logistic_regression
from workbench.metrics.representation import DRAWS, PAPER_ITEMS, few_items, standard_error, standardised

TRAIN_ITEMS = 20_000  # training items, drawn at random, that the probe on many items learns from


def average_precision(scores: Float[Tensor, "n *k"], labels: Bool[Tensor, "n *k"]) -> Float[Tensor, "*k"]:
    """Average precision of each column of scores, in [0, 1]; NaN for a column without a positive item.

    The sum over thresholds of the precision times the gain in recall, as scikit-learn defines it: items of equal score
    pass a threshold together. ValueError on a score that is NaN.
    """
    if scores.isnan().any():
        raise ValueError("scores that are NaN have no order: the model or the judge that made them has diverged")
    ordered, places = scores.sort(dim=0, descending=True)
    true = double(labels.gather(0, places))
    ordered, labels = ordered.to(true.device), labels.to(true.device)
    rank = torch.arange(1, len(scores) + 1, device=true.device).view(-1, *[1] * (scores.dim() - 1))
    precision = true.cumsum(0) / rank
    # the last item of each group of equal scores: its precision is that of the whole group
    last = torch.ones_like(labels)
    last[:-1] = ordered[1:] != ordered[:-1]
    ends = torch.where(last, rank - 1, len(scores) - 1).flip(0).cummin(0).values.flip(0)
    return (true * precision.gather(0, ends)).sum(0) / true.sum(0)


def mean_precision(precisions: Float[Tensor, "*k"]) -> float:
    """Mean over attributes of their average precisions, without those that have none."""
    return precisions.nanmean().item()


def attribute_probe(
    train: Float[Tensor, "n latent"],
    train_labels: Bool[Tensor, "n k"],
    test: Float[Tensor, "m latent"],
    test_labels: Bool[Tensor, "m k"],
) -> Float[Tensor, "k"]:
    """Test average precision of a logistic regression on codes for each attribute; no penalty, as the paper says.

    An attribute that all training items have, or none, cannot be learnt: all scores are equal, and its average
    precision is its base rate. Codes are standardised, which leaves the optimum where it is.
    """
    train, test = standardised(train, test)
    weights, intercepts = logistic_regression(train, train_labels)
    return average_precision(test @ weights + intercepts, test_labels.to(test.device))


def repeated_attribute_probe(
    train: Mapping[str, Float[Tensor, "n _"]],
    train_labels: Bool[Tensor, "n k"],
    test: Mapping[str, Float[Tensor, "m _"]],
    test_labels: Bool[Tensor, "m k"],
    items: int = PAPER_ITEMS,
    draws: int = DRAWS,
    generator: torch.Generator | None = None,
) -> tuple[dict[str, Float[Tensor, "k"]], dict[str, float]]:
    """The paper's protocol many times: mean average precision of each attribute, by name of the codes.

    Beside it the standard error over the draws of the mean over attributes. Draws are those of `repeated_probe`.
    """
    found = {name: [] for name in train}
    for rows in few_items(len(train_labels), items, draws, generator):
        for name, x in train.items():
            found[name].append(attribute_probe(x[rows], train_labels[rows], test[name], test_labels))
    means = {name: torch.stack(precisions).mean(0) for name, precisions in found.items()}
    return means, {name: standard_error([mean_precision(p) for p in row]) for name, row in found.items()}


def written(characters: Float[Tensor, "n length alphabet"]) -> Bool[Tensor, "n 40"]:
    """Which attributes descriptions name: whether each one's phrase occurs in the most likely characters.

    A reading without a judge; a phrase with one wrong character is not there.
    """
    texts = decode(characters.argmax(-1))
    found = torch.tensor([[phrase in text for phrase in PHRASES] for text in texts], device=characters.device)
    return found.view(-1, len(PHRASES))


def reading(present: Bool[Tensor, "n k"], labels: Bool[Tensor, "n k"]) -> dict[str, float]:
    """How well attributes that are read off agree with those that were given.

    Precision: of all that are read, the share given (NaN where nothing is); recall: of all given, the share read; and
    the mean average precision, to stand beside a judge's, whose scores are finer than yes or no.
    """
    hits = (present & labels).sum().item()
    read, given = present.sum().item(), labels.sum().item()
    return {
        "precision": hits / read if read else math.nan,
        "recall": hits / given if given else math.nan,
        "average_precision": mean_precision(average_precision(present.float(), labels)),
    }
