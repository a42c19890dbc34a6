"""Attributes of drawn faces: which of the 40 words go together, as they do in CelebA.

The attributes are drawn one after the other, each by a logistic regression on those before it: a fully visible sigmoid
belief network (Neal, "Connectionist learning of belief networks", 1992). Unlike a Gaussian copula it knows that
a beard and lipstick exclude each other, so nothing has to be settled afterwards. Over 400,000 draws, no frequency of
two attributes together is further than 0.004 from CelebA's, and no correlation further than 0.03.

`TABLE` is `fit` on all 202,599 rows of CelebA's `list_attr_celeba.txt`, in hundredths:

    labels = torch.tensor([[mark == "1" for mark in line.split()[1:]] for line in open(path).readlines()[2:]])
    torch.round(100 * fit(labels))
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.data.celeba.attributes import ATTRIBUTES

# In the order in which they are drawn: each attribute, its bias, and its weights of the attributes before it.
_ROWS = """
Male -34
Young 194 -139
Wearing_Lipstick 100 -640 49
Heavy_Makeup -318 -351 74 394
Smiling -14 1 -44 52 41
High_Cheekbones -172 -68 -48 45 50 341
No_Beard 537 -499 -18 189 48 5 48
Chubby -241 130 -191 -68 -27 14 88 -68
Bald -627 383 -155 -121 -156 14 34 -32 108
Gray_Hair -305 87 -394 -35 -77 5 13 95 58 42
Wearing_Hat -173 -17 -15 -131 -77 -14 -35 -41 66 -289 -208
Attractive -235 23 175 113 117 64 -17 -15 -249 -173 -172 -89
5_o_Clock_Shadow -569 529 59 -188 -157 33 -45 -203 -92 -61 -94 -46 64
Arched_Eyebrows -164 -128 12 109 68 -8 15 -25 36 20 -56 -69 5 26
Bags_Under_Eyes -175 67 -64 -30 -163 56 63 16 25 27 58 -41 -2 70 68
Bangs -201 -36 -40 68 0 24 -15 82 -126 -446 -118 -175 -16 -17 -78 -1
Big_Lips -146 -44 57 79 -20 -13 1 -67 69 55 -112 21 -29 -3 93 41 24
Big_Nose -221 136 -49 -12 -36 56 47 -48 139 63 55 31 -62 16 67 112 15 94
Black_Hair -231 103 86 12 6 -12 31 -20 44 -369 -517 -249 -7 4 9 -24 -18 35 49
Blond_Hair -173 -169 -28 33 11 18 18 58 -62 -337 -17 -182 7 -10 -1 -14 23 -6 -51 -699
Blurry -60 -86 -34 -69 -122 26 -45 -14 -40 -61 -36 -42 -174 -68 -19 -59 -8 -3 -63 -33 8
Brown_Hair -112 -18 28 7 5 13 12 24 -48 -468 -349 -257 32 37 -20 3 33 -7 -54 -322 -292 -55
Bushy_Eyebrows -425 191 78 -11 54 14 -12 -28 -29 -50 -52 -36 70 24 56 30 -37 11 46 94 -158 -93 -24
Double_Chin -517 99 -140 19 -7 109 42 42 253 30 44 11 -144 16 15 36 -40 24 99 -14 -57 -21 -31 5
Eyeglasses -89 8 -86 -29 -165 42 -68 -10 30 21 46 4 -114 -24 -174 -174 -24 1 46 11 -58 -60 -51 -145 35
Goatee -266 270 -11 -84 -96 -12 -18 -532 28 29 -72 -1 4 -133 15 15 -29 33 22 5 -45 -114 -10 3 -31 6
Mouth_Slightly_Open -126 -12 22 -14 10 217 51 4 -13 -20 0 40 -47 -7 4 1 -17 27 -1 -13 11 2 -10 -10 21 18 -16
Mustache -452 305 -58 -47 -138 -23 -29 -406 17 -38 9 19 -10 -88 15 39 8 45 52 35 -169 3 -23 36 59 32 95 -26
Narrow_Eyes -259 -7 2 -5 -18 23 -9 6 17 -17 -9 -33 -42 12 16 50 15 75 6 -22 -3 77 -15 11 26 -76 -29 61 8
Oval_Face -166 19 39 -23 91 65 56 -31 59 96 -15 -9 40 -62 -57 -68 -20 -71 -26 22 5 -65 14 26 -36 -26 26 -3 -35 -60
Pale_Skin -320 -42 4 -1 -20 -8 -97 43 -9 -48 46 -14 85 -31 17 6 38 23 -3 -45 24 -47 -44 -3 -3 -32 -62 -30 -34 8 -34
Pointy_Nose -110 -22 -28 32 53 13 -2 -2 -107 10 20 -48 48 63 10 -24 -21 8 -44 -18 17 -19 1 20 -3 -47 -10 -10 11 -25
    -32 -23
Receding_Hairline -170 -45 -40 -58 1 6 10 -2 25 16 111 -438 -89 -34 46 7 -556 40 70 -9 -72 -14 -99 -55 25 -3 21 7 4 -2
    35 -31 10
Rosy_Cheeks -704 -34 -27 121 152 107 133 -29 17 -13 34 -4 16 -1 80 -76 30 26 34 -33 33 -150 -12 34 80 -107 -108 13 16
    2 35 -157 77 9
Sideburns -282 190 -25 -148 -129 11 -48 -471 54 -15 -2 -5 19 10 -24 19 -1 -49 -18 -13 -26 -71 12 24 -56 -28 137 -14 29
    8 -22 -58 1 -25 -8
Straight_Hair -204 44 22 -6 -37 15 -8 45 2 -261 26 -255 22 19 -16 8 9 -9 -22 48 30 -49 -5 16 -2 -3 -32 -4 5 7 1 16 -5
    -52 -7 -7
Wavy_Hair -91 -40 -19 82 19 5 5 -8 -3 -460 -15 -165 26 -7 5 -20 -3 37 7 -13 29 21 63 16 3 -5 -36 -4 -10 27 -9 0 13 -98
    13 44 -339
Wearing_Earrings -38 -345 -72 32 55 9 46 -77 24 -24 2 21 -39 -49 57 -8 -5 21 47 15 -20 -57 -20 7 -19 -5 50 20 25 -2 12
    -38 6 44 41 -131 -48 -37
Wearing_Necklace -222 -204 -26 59 -11 5 11 -2 5 -62 -7 16 -24 -11 49 8 47 41 39 -11 34 24 -11 3 -7 38 31 14 44 2 -58
    -25 -3 -20 33 -50 5 14 30
Wearing_Necktie -657 456 -78 -119 -96 20 -4 34 19 55 58 -96 30 9 14 37 -64 3 12 12 -41 -26 -14 4 40 34 -14 -17 36 -9
    -4 3 28 33 74 -10 56 -28 -38 -305
"""


def _table() -> tuple[tuple[str, ...], Float[Tensor, "40 41"]]:
    words = _ROWS.split()
    names = tuple(word for word in words if word in ATTRIBUTES)
    starts = [words.index(name) for name in names] + [len(words)]
    table = torch.zeros(len(names), len(names) + 1, dtype=torch.float64)
    for k in range(len(names)):
        table[k, : k + 1] = torch.tensor([float(number) for number in words[starts[k] + 1 : starts[k + 1]]])
    return names, table / 100


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


def fit(labels: Bool[Tensor, "n 40"], penalty: float = 1.0) -> Float[Tensor, "40 41"]:
    """Fit biases (first column) and weights of each attribute on those before it in `ORDER`, by maximum likelihood.

    `penalty`, half of it on each squared weight in nats, keeps the weights of pairs that never occur finite.
    """
    ordered = labels[:, _COLUMNS].double()
    given = torch.cat([torch.ones(len(labels), 1, dtype=torch.float64), ordered], dim=1)
    table = torch.zeros_like(TABLE)
    for k in range(len(ORDER)):
        table[k, : k + 1] = _regression(given[:, : k + 1], ordered[:, k], penalty)
    return table


def _regression(given: Tensor, outcome: Tensor, penalty: float, steps: int = 50) -> Float[Tensor, "k"]:
    """Logistic regression by Newton's method, its steps bounded so that rare attributes do not overshoot."""
    weights = torch.zeros(given.shape[1], dtype=torch.float64)
    ridge = torch.full_like(weights, penalty)
    ridge[0] = 1e-6  # the bias is free
    for _ in range(steps):
        chance = torch.sigmoid(given @ weights)
        slope = given.T @ (outcome - chance) - ridge * weights
        bend = (given * (chance * (1 - chance))[:, None]).T @ given + ridge.diag()
        step = torch.linalg.solve(bend, slope)
        size = step.abs().max()
        weights = weights + step * (3 / size).clamp(max=1)
        if size < 1e-5:
            return weights
    raise ArithmeticError(f"the regression did not settle in {steps} steps: the last one was {size:.2g}")
