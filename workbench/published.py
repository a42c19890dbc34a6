"""The paper's numbers on MNIST-SVHN-Text, as data: Table 1 (linear probes) and Table 2 (coherence).

Trained for 50 epochs (MS: 100) on MNIST with the full SVHN. Compare them with runs on `mnist-svhn-text` only.
"""

SUBSETS = ("M", "S", "T", "M,S", "M,T", "S,T", "M,S,T")
_TABLE_1 = {
    "mvae": (0.85, 0.20, 0.58, 0.80, 0.92, 0.46, 0.90),
    "mmvae": (0.96, 0.81, 0.99, 0.89, 0.97, 0.90, 0.93),
    "mmjsd": (0.97, 0.82, 0.99, 0.93, 0.99, 0.92, 0.98),
    "mvae-ms": (0.86, 0.28, 0.78, 0.82, 0.94, 0.64, 0.92),
    "mmvae-ms": (0.96, 0.81, 0.99, 0.89, 0.98, 0.91, 0.92),
    "mmjsd-ms": (0.98, 0.85, 0.99, 0.94, 0.98, 0.94, 0.99),
}
# RANDOM, then M from S, T, (S,T); S from M, T, (M,T); T from M, S, (M,S)
_PATHS = (
    ("M", "S"),
    ("M", "T"),
    ("M", "S,T"),
    ("S", "M"),
    ("S", "T"),
    ("S", "M,T"),
    ("T", "M"),
    ("T", "S"),
    ("T", "M,S"),
)
_TABLE_2 = {
    "mvae": (0.72, 0.17, 0.14, 0.22, 0.37, 0.30, 0.86, 0.20, 0.12, 0.22),
    "mmvae": (0.54, 0.82, 0.99, 0.91, 0.32, 0.30, 0.31, 0.96, 0.83, 0.90),
    "mmjsd": (0.60, 0.82, 0.99, 0.95, 0.37, 0.36, 0.48, 0.97, 0.83, 0.92),
    "mvae-ms": (0.74, 0.16, 0.17, 0.25, 0.35, 0.37, 0.85, 0.24, 0.14, 0.26),
    "mmvae-ms": (0.67, 0.77, 0.97, 0.86, 0.88, 0.93, 0.90, 0.82, 0.70, 0.76),
    "mmjsd-ms": (0.66, 0.80, 0.97, 0.93, 0.89, 0.93, 0.92, 0.92, 0.79, 0.86),
}

# Table 1: accuracy of a linear classifier on latent representations, by method and subset.
LINEAR_PROBE: dict[str, dict[str, float]] = {
    name: dict(zip(SUBSETS, row, strict=True)) for name, row in _TABLE_1.items()
}
# Table 2, column RANDOM: by its values the count that `metrics.coherence.agreement_pattern` makes.
RANDOM_COHERENCE: dict[str, float] = {name: row[0] for name, row in _TABLE_2.items()}
# Table 2: accuracy of conditionally generated samples, by method and (target, given).
COHERENCE: dict[str, dict[tuple[str, str], float]] = {
    name: dict(zip(_PATHS, row[1:], strict=True)) for name, row in _TABLE_2.items()
}
DATA = "mnist-svhn-text"
