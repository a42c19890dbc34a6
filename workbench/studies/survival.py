"""Survival as an outcome: what of it columns or codes tell, and whether they order patients by how long they live."""

from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.model_selection import StratifiedKFold

from workbench.data.own.foreign import as_array

PENALTIES = np.logspace(-1, 5, 13)  # of a proportional-hazards regression, which chooses by cross-validation
FOLDS = 5


def concordance(risk: Any, days: Any, died: Any) -> float:
    """Harrell's C-index: of the pairs whose order is known, the share in which the higher risk died first.

    A pair is known where the one with fewer days died; both having died on one day tells nothing. Equal risks count
    half. 0.5 is by chance. Patients without a risk, days or what became of them (NaN) are left out. ValueError where no
    pair is known. Harrell et al. (1982).
    """
    risk, days, died = (np.asarray(as_array(x), dtype=float) for x in (risk, days, died))
    if not risk.shape == days.shape == died.shape or risk.ndim != 1:
        raise ValueError(f"risk, days and died have shapes {risk.shape}, {days.shape}, {died.shape}: give one each")
    known = ~(np.isnan(risk) | np.isnan(days) | np.isnan(died))
    risk, days, died = risk[known], days[known], died[known] == 1
    first = died[:, None] & ((days[:, None] < days) | ((days[:, None] == days) & ~died))
    if not first.any():
        raise ValueError("no pair of patients has a known order: nobody died before another was last seen")
    right = (risk[:, None] > risk) + 0.5 * (risk[:, None] == risk)
    return float(right[first].mean())


def hazards(features: Any, days: Any, died: Any, penalty: float) -> np.ndarray:
    """Weights `[d]` of a proportional-hazards regression on features `[n, d]` (Cox 1972), with a ridge penalty.

    They minimise penalty / 2 |w|^2 less the log partial likelihood, deaths on one day as Breslow (1974) has them: of
    those who were still seen on that day, how likely is it that this one died?
    """
    x, days, died = np.asarray(features, dtype=float), np.asarray(days, dtype=float), np.asarray(died) == 1
    seen = days >= days[died][:, None]  # [deaths, n]

    def cost(w: np.ndarray) -> tuple[float, np.ndarray]:
        among = np.where(seen, x @ w, -np.inf)
        total = logsumexp(among, axis=1).sum() - (x[died] @ w).sum() + penalty / 2 * w @ w
        return total, softmax(among, axis=1).sum(0) @ x - x[died].sum(0) + penalty * w

    return minimize(cost, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x


def risks(train: Any, days: Any, died: Any, test: Any, seed: int = 0) -> np.ndarray:
    """Risks `[k]` of test patients by `hazards` of training patients, on features that are standardised by these.

    The penalty is one of PENALTIES: the one whose risks of patients left out in a cross-validation order them best.
    """
    mean, scale = np.mean(train, axis=0), np.std(train, axis=0)
    x, shown = ((np.asarray(part, dtype=float) - mean) / np.where(scale > 0, scale, 1) for part in (train, test))
    days, died = np.asarray(days, dtype=float), np.asarray(died) == 1
    folds = [*StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, died)]

    def order(penalty: float) -> float:
        """How well the patients of each fold are ordered among themselves, by weights of the others."""
        found = [(x[out] @ hazards(x[kept], days[kept], died[kept], penalty), out) for kept, out in folds]
        return float(np.mean([concordance(risk, days[out], died[out]) for risk, out in found]))

    return shown @ hazards(x, days, died, max(PENALTIES, key=order))
