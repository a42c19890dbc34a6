"""Logistic regression on several classes, as scikit-learn fits it, with the sums over the items on their device.

The optimiser, its tolerance and its limits are scikit-learn's, so that it stops where scikit-learn's does, also where
classes can be separated and there is no finite optimum. Classes come before items in every array: sums over thousands
of items and ten classes are some ten times as fast that way round.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from workbench.device import double

MAX_ITER = 100
TOLERANCE = 1e-4  # of the gradient's largest entry
OPTIONS: dict[str, Any] = {"maxls": 50, "gtol": TOLERANCE, "ftol": 64 * np.finfo(float).eps}


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
        told = torch.cat([value.view(1), gradient.flatten()]).cpu().numpy()  # the one wait for the device
        return told[0], told[1:]

    start = np.zeros(classes * across.shape[0])
    # the optimiser's own sums are short: threads of its library and of torch's, in turns, would take 30 times as long
    with threadpool_limits(1, user_api="blas"):
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options=OPTIONS | {"maxiter": MAX_ITER}).x
    weights = torch.from_numpy(found).to(items).view(classes, -1)
    return weights[:, :-1].T, weights[:, -1]
