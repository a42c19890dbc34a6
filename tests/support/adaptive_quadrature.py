"""Means of one-dimensional normal densities and their divergences by scipy's adaptive quadrature."""

import math

import torch
from scipy.integrate import quad

from workbench.distributions import Gaussian

# (mean, logvar) of every expert, and the weights
CASES = [
    (((0.0, 0.0), (1.0, -1.0), (-0.5, 0.4)), (0.25, 0.5, 0.25)),
    (((2.0, -2.0), (-1.0, 1.0)), (0.35, 0.65)),
    (((0.0, 0.0), (0.0, 0.0), (0.3, 0.2), (-2.0, -1.0)), (0.1, 0.2, 0.3, 0.4)),
    (((-3.0, -1.5), (3.0, -1.5), (0.0, 0.0)), (1 / 3, 1 / 3, 1 / 3)),
]


def stack(rows, weights) -> tuple[Gaussian, torch.Tensor]:
    columns = torch.tensor(rows, dtype=torch.float64)
    return Gaussian(columns[:, :1], columns[:, 1:]), torch.tensor(weights, dtype=torch.float64)


def log_normal(z: float, mean: float, logvar: float) -> float:
    return -0.5 * (math.log(2 * math.pi) + logvar + (z - mean) ** 2 / math.exp(logvar))


def log_sum(values: list[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def log_mean(kind: str | float, logs: list[float], weights) -> float:
    """ln of the mean of densities, by its name or its order, not normalised, written out."""
    if isinstance(kind, float):
        return log_sum([math.log(w) + kind * v for w, v in zip(weights, logs, strict=True)]) / kind
    if kind == "arithmetic":
        return log_sum([math.log(w) + v for w, v in zip(weights, logs, strict=True)])
    if kind == "harmonic":
        return -log_sum([math.log(w) - v for w, v in zip(weights, logs, strict=True)])
    return sum(w * v for w, v in zip(weights, logs, strict=True))


def integral(f) -> float:
    return quad(f, -25, 25, points=[-4, -3, -2, -1, 0, 1, 2, 3, 4], limit=400, epsabs=1e-12, epsrel=1e-12)[0]


def kl_to(log_q, row) -> float:
    """KL from a normal of (mean, logvar) to a density given by its logarithm."""
    return integral(lambda z: math.exp(log_normal(z, *row)) * (log_normal(z, *row) - log_q(z)))


def log_density(kind: str | float, rows, weights):
    """ln of the normalised mean of densities, and of the mass that it was divided by."""

    def mean(z: float) -> float:
        return log_mean(kind, [log_normal(z, *row) for row in rows], weights)

    log_mass = math.log(integral(lambda z: math.exp(mean(z))))
    return lambda z: mean(z) - log_mass, log_mass


def exact(kind: str | float, rows, weights, dual: bool = False) -> float:
    """The divergence by scipy's adaptive quadrature, from nothing but densities."""
    mean, _ = log_density(kind, rows, weights)

    def one(row) -> float:
        if dual:
            return integral(lambda z: math.exp(mean(z)) * (mean(z) - log_normal(z, *row)))
        return kl_to(mean, row)

    return sum(w * one(row) for w, row in zip(weights, rows, strict=True))
