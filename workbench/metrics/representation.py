"""Linear probes: how much of the class a linear classifier reads off posterior means (Tables 1 and 14).

Paper's protocol (Appendix C.1.1): logistic regression without regularisation on one batch of 256 items. That is an
estimate of high variance, so it is repeated on other batches, and the same probe trained on all items stands beside it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.device import double
from workbench.metrics.regression import one_thread_where_small, softmax_regression

PAPER_ITEMS = 256
DRAWS = 10
REFERENCE_C = 1.0  # the inverse L2 strength of the authors' released code


def linear_probe(
    train: Float[Tensor, "n latent"],
    train_labels: Int[Tensor, "n"],
    test: Float[Tensor, "k latent"],
    test_labels: Int[Tensor, "k"],
    regularised: bool = False,
) -> float:
    """Test accuracy of a logistic regression on codes.

    `regularised` adds the reference code's L2 penalty (C = 1); the paper says none. Without a penalty the optimum is
    the same in any coordinates, so codes are standardised to reach it sooner; separable codes have no finite optimum:
    where the fit stops is as good as any. ValueError on a single class.
    """
    classes, known = train_labels.unique(return_inverse=True)
    if len(classes) < 2:
        raise ValueError("a linear probe needs items of at least two classes to learn from: give it more items")
    with one_thread_where_small(train):
        train, test = (double(train), double(test)) if regularised else standardised(train, test)
        penalty = 1 / (REFERENCE_C * len(train)) if regularised else 0.0
        weights, intercepts = softmax_regression(train, known, len(classes), penalty)
        predicted = classes.to(test.device)[(test @ weights + intercepts).argmax(1)]
        return (predicted == test_labels.to(test.device)).double().mean().item()


def standardised(
    train: Float[Tensor, "n latent"], test: Float[Tensor, "k latent"]
) -> tuple[Float[Tensor, "n latent"], Float[Tensor, "k latent"]]:
    """Both in double precision, and in standard deviations from the mean of the first; what never varies is zero."""
    train, test = double(train), double(test)
    mean, spread = train.mean(0), train.std(0, correction=0)
    spread = torch.where(spread > 0, spread, 1.0)
    return (train - mean) / spread, (test - mean) / spread


def probe_all(
    train: Mapping[str, Float[Tensor, "n _"]],
    train_labels: Int[Tensor, "n"],
    test: Mapping[str, Float[Tensor, "k _"]],
    test_labels: Int[Tensor, "k"],
    regularised: bool = False,
) -> dict[str, float]:
    """`linear_probe` on all codes of each name, such as "M,S" or "style of T"."""
    return {name: linear_probe(x, train_labels, test[name], test_labels, regularised) for name, x in train.items()}


def repeated_probe(
    train: Mapping[str, Float[Tensor, "n _"]],
    train_labels: Int[Tensor, "n"],
    test: Mapping[str, Float[Tensor, "k _"]],
    test_labels: Int[Tensor, "k"],
    items: int = PAPER_ITEMS,
    draws: int = DRAWS,
    generator: torch.Generator | None = None,
) -> tuple[dict[str, float], dict[str, float]]:
    """The paper's protocol many times: mean accuracy of probes on few items, and its standard error over the draws.

    Every draw takes other items, the same for all names. With less than `draws` times `items` codes the draws overlap.
    """
    found = {name: [] for name in train}
    for rows in few_items(len(train_labels), items, draws, generator):
        for name, x in train.items():
            found[name].append(linear_probe(x[rows], train_labels[rows], test[name], test_labels))
    means = {name: float(np.mean(accuracies)) for name, accuracies in found.items()}
    return means, {name: standard_error(accuracies) for name, accuracies in found.items()}


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of independent values."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def few_items(
    count: int, items: int, draws: int, generator: torch.Generator | None = None
) -> tuple[Int[Tensor, "items"], ...]:
    """Rows of `draws` sets of `items` out of `count`; they overlap only where there are too few."""
    passes = -(-items * draws // count)
    device = None if generator is None else generator.device
    order = torch.cat([torch.randperm(count, generator=generator, device=device) for _ in range(passes)])
    return order[: items * draws].split(items)
