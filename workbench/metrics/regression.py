"""Logistic regressions, with sums over the items on their device: on several classes, and on many attributes at once.

On classes the optimiser, its tolerance and its limits are scikit-learn's, so that it stops where scikit-learn's does,
also where classes can be separated and there is no finite optimum. Classes come before items in every array: sums over
thousands of items and ten classes are some ten times as fast that way round. Attributes are many small problems on the
same items, which Newton's method solves side by side.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.device import double, one_thread_per_operation

MAX_ITER = 100
SMALL = 100_000  # entries of the inputs below which a fit keeps to one thread
TOLERANCE = 1e-4  # of the gradient's largest entry
ROWS = 4096  # items whose products of features are held at a time
HALVINGS = 12  # of a step that would raise the loss
OPTIONS: dict[str, Any] = {"maxls": 50, "gtol": TOLERANCE, "ftol": 64 * np.finfo(float).eps}


def one_thread_where_small(x: Tensor) -> AbstractContextManager:
    """Keep torch to one thread inside, where a second gains nothing and waits for a core beside other work."""
    return one_thread_per_operation() if x.numel() < SMALL else nullcontext()


def softmax_regression(
    x: Float[Tensor, "n d"], labels: Int[Tensor, "n"], classes: int, penalty: float = 0.0
) -> tuple[Float[Tensor, "d classes"], Float[Tensor, "classes"]]:
    """Weights and intercepts that minimise the mean cross-entropy plus penalty/2 times the weights' squares.

    Labels are 0 to classes - 1. In double precision; scikit-learn's C is 1 / (n penalty).
    """
    from scipy.optimize import minimize  # here, as it takes half a second to import
    from threadpoolctl import threadpool_limits  # scikit-learn's way to say so

    items = double(torch.cat([x, torch.ones_like(x[:, :1])], dim=1))
    across = items.T.contiguous()
    of_labels = F.one_hot(labels.to(items.device), classes).T.to(items) @ items / len(x)
    free = items.new_tensor([penalty] * x.shape[1] + [0.0])  # the intercept has no penalty

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = torch.from_numpy(flat).to(items).view(classes, -1)
        logits = weights @ across
        total = logits.logsumexp(0)
        value = total.mean() - (of_labels * weights).sum() + (free * weights.square()).sum() / 2
        gradient = (logits - total).exp_() @ items / len(x) - of_labels + free * weights
        answer = torch.cat([value.view(1), gradient.flatten()]).cpu().numpy()  # the one wait for the device
        return answer[0], answer[1:]

    start = np.zeros(classes * across.shape[0])
    # the optimiser's own sums are short: threads of its library and of torch's, in turns, would take 30 times as long
    with threadpool_limits(1, user_api="blas"):
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options=OPTIONS | {"maxiter": MAX_ITER}).x
    weights = torch.from_numpy(found).to(items).view(classes, -1)
    return weights[:, :-1].T, weights[:, -1]


def logistic_regression(
    x: Float[Tensor, "n d"], y: Bool[Tensor, "n k"], iterations: int = MAX_ITER
) -> tuple[Float[Tensor, "d k"], Float[Tensor, "k"]]:
    """Return weights and intercepts of k logistic regressions without penalty on the same inputs, in double precision.

    Newton's method on the mean loss, all k at once, until no entry of a gradient is above TOLERANCE, where
    scikit-learn's solver stops, too. Separable items have no finite optimum: their gradients still fall below it, at
    weights that separate them, or `iterations` end it. A column of one value only has weights of zero.
    """
    x = double(x)
    inputs = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    targets = double(y)
    learnable = (targets > 0).any(0) & (targets < 1).any(0)
    weights = inputs.new_zeros(inputs.shape[1], y.shape[1])
    loss = _loss(inputs @ weights, targets)
    for _ in range(iterations):
        probability = torch.sigmoid(inputs @ weights)
        gradient = inputs.T @ (probability - targets) / len(x)
        active = ((gradient.abs().amax(0) > TOLERANCE) & learnable).nonzero().flatten()
        if not len(active):
            break
        hessian = _hessian(inputs, (probability * (1 - probability))[:, active])
        step = torch.linalg.solve(hessian, gradient[:, active].T).T
        weights[:, active], loss[active] = _descend(inputs, targets[:, active], weights[:, active], loss[active], step)
    return weights[:-1], weights[-1]


def _loss(logits: Float[Tensor, "n k"], targets: Float[Tensor, "n k"]) -> Float[Tensor, "k"]:
    return (F.softplus(logits) - targets * logits).mean(0)


def _hessian(inputs: Float[Tensor, "n d"], curvature: Float[Tensor, "n k"]) -> Float[Tensor, "k d d"]:
    """Sum over items of curvature times x x^T, as one product of matrices; barely lifted off singularity."""
    size = inputs.shape[1]
    products = inputs.new_zeros(curvature.shape[1], size * size)
    for part, weight in zip(inputs.split(ROWS), curvature.split(ROWS), strict=True):
        products.addmm_(weight.T, (part.unsqueeze(2) * part.unsqueeze(1)).flatten(1))
    hessian = products.view(-1, size, size) / len(inputs)
    lift = 1e-9 * hessian.diagonal(dim1=1, dim2=2).mean(1) + 1e-15  # dimensions that never vary, separable items
    return hessian + lift.view(-1, 1, 1) * torch.eye(size, dtype=inputs.dtype, device=inputs.device)


def _descend(inputs: Tensor, targets: Tensor, weights: Tensor, loss: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Newton's step where it lowers a regression's loss, else the first half of it that does, else none."""
    size = torch.ones_like(loss)
    for _ in range(HALVINGS):
        lower = _loss(inputs @ (weights - size * step), targets)
        worse = ~(lower <= loss)
        if not worse.any():
            break
        size = torch.where(worse, size / 2, size)
    else:
        lower, size = torch.where(worse, loss, lower), torch.where(worse, 0.0, size)
    return weights - size * step, lower
