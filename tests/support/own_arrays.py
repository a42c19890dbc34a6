"""Arrays of a user: one modality of each kind, every one of them with something missing."""

import numpy as np
import pandas as pd

N = 48


def arrays(n: int = N, seed: int = 0) -> dict:
    """One modality of each kind, every one of them with something missing."""
    rng = np.random.default_rng(seed)
    labs = pd.DataFrame(rng.normal(120.0, 30.0, (n, 3)), columns=["na", "k", "ca"])
    labs.iloc[::3, 1] = np.nan
    labs.iloc[4] = np.nan
    signs = rng.integers(0, 2, (n, 2)).astype(float)
    signs[::4, 0] = np.nan
    visits = rng.poisson(3.0, (n, 2)).astype(float)
    visits[1::4, 1] = np.nan
    sites = pd.DataFrame({"site": ["A", "B", "C", None] * (n // 4), "sex": ["f", "m"] * (n // 2)})
    scans = [None if i % 9 == 5 else scan for i, scan in enumerate(rng.integers(0, 256, (n, 8, 9, 3), dtype=np.uint8))]
    reports = [None if i % 7 == 3 else f"case {i % 5}" for i in range(n)]
    return {"ct": scans, "labs": labs, "signs": signs, "visits": visits, "site": sites, "report": reports}


KINDS = {"signs": "binary", "visits": "counts"}
