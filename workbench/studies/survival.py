"""Survival as an outcome: does a number that a model gives each patient order them by how long they live?"""

from typing import Any

import numpy as np

from workbench.data.own.foreign import as_array


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
