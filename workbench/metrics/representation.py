"""Linear probes: how much of the class a linear classifier reads off posterior means (Tables 1 and 14).

Paper's protocol (Appendix C.1.1): logistic regression without regularisation on one batch of 256 items. That is an
estimate of high variance, so it is repeated on other batches, and the same probe trained on all items stands beside it.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

PAPER_ITEMS = 256
DRAWS = 10
MAX_ITER = 100
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
    the same in any coordinates, so codes are standardised to reach it sooner. ValueError on a single class.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    if len(train_labels.unique()) < 2:
        raise ValueError("a linear probe needs items of at least two classes to learn from: give it more items")
    scaler = FunctionTransformer() if regularised else StandardScaler()
    probe = make_pipeline(scaler, LogisticRegression(C=REFERENCE_C if regularised else np.inf, max_iter=MAX_ITER))
    with warnings.catch_warnings():
        # separable codes have no finite optimum without a penalty: where it stops is as good as any
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(train.double().cpu().numpy(), train_labels.cpu().numpy())
    return float(probe.score(test.double().cpu().numpy(), test_labels.cpu().numpy()))


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
