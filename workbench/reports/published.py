"""The paper's numbers as data: Tables 1-5 and 13-16, read off its text.

Methods are `mvae, mmvae, mmjsd`, with `-ms` for modality-specific subspaces, and `mmvae-i30` for MMVAE with 30
importance samples. Subsets are written "M,S", the joint "M,S,T"; a path is (target, given). All but Table 5 on MNIST
with the full SVHN: lay runs on other data beside them for the orderings, not for the digits.
"""

from typing import NamedTuple

DATA = "mnist-svhn-text"
DATA_TITLE = "MNIST-SVHN-Text"  # as the paper spells it
RANDOM = "random"  # in the place of `given`: generated from the prior, the paper's R


class Experiment(NamedTuple):
    """What a table of the paper was measured on."""

    data: str  # the name of a data set
    title: str  # as the paper spells it
    letters: str  # of its modalities
    items: int  # in its training split


DIGITS = Experiment(DATA, DATA_TITLE, "MST", 1_121_360)
CELEBA = Experiment("celeba", "bimodal CelebA", "IT", 162_770)


class Training(NamedTuple):
    """What one training took."""

    epochs: int  # passes over the pair table, 4,380 steps each
    seconds: int


SUBSETS = ("M", "S", "T", "M,S", "M,T", "S,T", "M,S,T")
# Rows as printed, by the number of the table.
PRINTED: dict[int, dict[str, tuple[float, ...]]] = {}
PRINTED[1] = {
    "mvae": (0.85, 0.20, 0.58, 0.80, 0.92, 0.46, 0.90),
    "mmvae": (0.96, 0.81, 0.99, 0.89, 0.97, 0.90, 0.93),
    "mmjsd": (0.97, 0.82, 0.99, 0.93, 0.99, 0.92, 0.98),
    "mvae-ms": (0.86, 0.28, 0.78, 0.82, 0.94, 0.64, 0.92),
    "mmvae-ms": (0.96, 0.81, 0.99, 0.89, 0.98, 0.91, 0.92),
    "mmjsd-ms": (0.98, 0.85, 0.99, 0.94, 0.98, 0.94, 0.99),
}
PRINTED[14] = {
    "mmvae": (0.96, 0.81, 0.99, 0.89, 0.97, 0.90, 0.93),
    "mmvae-i30": (0.92, 0.67, 0.99, 0.80, 0.96, 0.83, 0.86),
    "mmjsd": (0.97, 0.82, 0.99, 0.93, 0.99, 0.92, 0.98),
    "mmvae-ms": (0.96, 0.81, 0.99, 0.89, 0.98, 0.91, 0.92),
    "mmjsd-ms": (0.98, 0.85, 0.99, 0.94, 0.98, 0.94, 0.99),
}
# RANDOM, then M from S, T, (S,T); S from M, T, (M,T); T from M, S, (M,S)
_GIVEN = {"M": ("S", "T", "S,T"), "S": ("M", "T", "M,T"), "T": ("M", "S", "M,S")}
_PATHS = tuple((target, given) for target, several in _GIVEN.items() for given in several)
PRINTED[2] = {
    "mvae": (0.72, 0.17, 0.14, 0.22, 0.37, 0.30, 0.86, 0.20, 0.12, 0.22),
    "mmvae": (0.54, 0.82, 0.99, 0.91, 0.32, 0.30, 0.31, 0.96, 0.83, 0.90),
    "mmjsd": (0.60, 0.82, 0.99, 0.95, 0.37, 0.36, 0.48, 0.97, 0.83, 0.92),
    "mvae-ms": (0.74, 0.16, 0.17, 0.25, 0.35, 0.37, 0.85, 0.24, 0.14, 0.26),
    "mmvae-ms": (0.67, 0.77, 0.97, 0.86, 0.88, 0.93, 0.90, 0.82, 0.70, 0.76),
    "mmjsd-ms": (0.66, 0.80, 0.97, 0.93, 0.89, 0.93, 0.92, 0.92, 0.79, 0.86),
}
PRINTED[15] = {
    "mmvae-i30": (0.60, 0.71, 0.99, 0.85, 0.76, 0.68, 0.72, 0.95, 0.73, 0.84),
    "mmvae": (0.54, 0.82, 0.99, 0.91, 0.32, 0.30, 0.31, 0.96, 0.83, 0.90),
    "mmjsd": (0.60, 0.82, 0.99, 0.95, 0.37, 0.36, 0.48, 0.97, 0.83, 0.92),
    "mmvae-ms": (0.67, 0.77, 0.97, 0.86, 0.88, 0.93, 0.90, 0.82, 0.70, 0.76),
    "mmjsd-ms": (0.66, 0.80, 0.97, 0.93, 0.89, 0.93, 0.92, 0.92, 0.79, 0.86),
}
# M from S, T, (S,T), R; S from M, T, (M,T), R. Three decimals only where the paper has three.
_QUALITY_PATHS = (*_PATHS[:3], ("M", RANDOM), *_PATHS[3:6], ("S", RANDOM))
PRINTED[3] = {
    "mvae": (0.62, 0.62, 0.58, 0.62, 0.33, 0.34, 0.22, 0.33),
    "mmvae": (0.22, 0.09, 0.18, 0.35, 0.005, 0.006, 0.006, 0.27),
    "mmjsd": (0.19, 0.09, 0.16, 0.15, 0.05, 0.01, 0.06, 0.09),
    "mvae-ms": (0.60, 0.59, 0.50, 0.60, 0.30, 0.33, 0.17, 0.29),
    "mmvae-ms": (0.62, 0.63, 0.63, 0.52, 0.21, 0.20, 0.20, 0.19),
    "mmjsd-ms": (0.62, 0.64, 0.64, 0.30, 0.21, 0.22, 0.22, 0.17),
}
# X, then X given M, S, T, (M,S), (M,T), (S,T)
_LIKELIHOOD_SUBSETS = (SUBSETS[-1], *SUBSETS[:-1])
PRINTED[4] = {
    "mvae": (-1864, -2002, -1936, -2040, -1881, -1970, -1908),
    "mmvae": (-1916, -2213, -1911, -2250, -2062, -2231, -2080),
    "mmjsd": (-1961, -2175, -1955, -2249, -2000, -2121, -2004),
    "mvae-ms": (-1870, -1999, -1937, -2033, -1886, -1971, -1909),
    "mmvae-ms": (-1893, -1982, -1934, -1995, -1905, -1958, -1915),
    "mmjsd-ms": (-1900, -1994, -1944, -2006, -1907, -1968, -1918),
}
PRINTED[16] = {
    "mvae": (-1864,),
    "mmvae-i30": (-1891,),
    "mmvae": (-1916,),
    "mmjsd": (-1961,),
    "mvae-ms": (-1870,),
    "mmvae-ms": (-1893,),
    "mmjsd-ms": (-1900,),
}
# latent I, T, joint; generated T from I, I from T
_CELEBA_SUBSETS, _CELEBA_PATHS = ("I", "T", "I,T"), (("T", "I"), ("I", "T"))
PRINTED[5] = {
    "mvae-ms": (0.42, 0.45, 0.44, 0.32, 0.30),
    "mmvae-ms": (0.43, 0.45, 0.42, 0.30, 0.36),
    "mmjsd-ms": (0.48, 0.59, 0.57, 0.32, 0.42),
}
# epochs, hours, minutes
PRINTED[13] = {
    "mvae": (50, 3, 1),
    "mmvae": (50, 2, 1),
    "mmvae-i30": (30, 15, 15),
    "mmjsd": (50, 2, 16),
    "mvae-ms": (100, 6, 15),
    "mmvae-ms": (100, 4, 10),
    "mmjsd-ms": (100, 4, 36),
}
# Order of the methods in all that follows, and in tables that show ours beside them.
METHODS = tuple(PRINTED[13])


def _named(columns: tuple, *tables: int, start: int = 0) -> dict[str, dict]:
    """Rows of tables with names for their columns from the `start`-th on; a later table may hold fewer columns."""
    rows = {name: row for table in reversed(tables) for name, row in PRINTED[table].items()}
    named = {name: zip(columns, map(float, rows[name][start:]), strict=False) for name in METHODS if name in rows}
    return {name: dict(cells) for name, cells in named.items()}


# Tables 1 and 14: accuracy of a linear classifier on latent representations, by method and subset.
LINEAR_PROBE: dict[str, dict[str, float]] = _named(SUBSETS, 1, 14)
# Tables 2 and 15, column RANDOM: by its values the count that `metrics.coherence.agreement_pattern` makes.
RANDOM_COHERENCE: dict[str, float] = {name: row[RANDOM] for name, row in _named((RANDOM,), 2, 15).items()}
# Tables 2 and 15: accuracy of conditionally generated samples, by method and (target, given).
COHERENCE: dict[str, dict[tuple[str, str], float]] = _named(_PATHS, 2, 15, start=1)
# Table 3: average precision of generated images, by method and (target, given); given "random": from the prior.
QUALITY: dict[str, dict[tuple[str, str], float]] = _named(_QUALITY_PATHS, 3)
# Tables 4 and 16: test log-likelihoods in nats per item, by method and subset; "M,S,T" is ln p(X), the others
# ln p(X | x_K). MMVAE (I=30) has ln p(X) only.
LOG_LIKELIHOOD: dict[str, dict[str, float]] = _named(_LIKELIHOOD_SUBSETS, 4, 16)
# Table 5, bimodal CelebA (I: image, T: text): mean average precision over 40 attributes, of a linear classifier on
# latent representations by subset, and of generated samples by (target, given). 100 epochs.
CELEBA_PROBE: dict[str, dict[str, float]] = _named(_CELEBA_SUBSETS, 5)
CELEBA_COHERENCE: dict[str, dict[tuple[str, str], float]] = _named(_CELEBA_PATHS, 5, start=3)
# Table 13: epochs and seconds of training; the paper does not name the machine.
TRAINING: dict[str, Training] = {
    name: Training(epochs, 60 * (60 * hours + minutes)) for name, (epochs, hours, minutes) in PRINTED[13].items()
}
