"""Pareto-smoothed importance sampling: how heavy the tail of the weights is, and weights with that tail made smooth.

The largest weights of an item are fitted by a generalised Pareto distribution (Zhang and Stephens 2009), whose shape
k-hat says what the others can be trusted with: below 0.5 their variance is finite, above 0.7 no affordable number of
draws makes the mean reliable (Vehtari et al. 2024, whose weakly informative prior of k = 0.5 is used). All is worked
out for many items at once, in double precision; the tests compare with `psislw` of arviz-stats.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.device import double

RELIABLE = 0.7  # k-hat: above it neither the estimate nor its standard error can be trusted
FEWEST = 5  # weights in a tail that a shape is fitted to, so 25 draws
PRIOR_SCALE, PRIOR_DRAWS, PRIOR_SHAPE = 3, 10, 0.5  # of Zhang and Stephens; of Vehtari et al.


def smoothed(
    log_weights: Float[Tensor, "draws batch"],
) -> tuple[Float[Tensor, "draws batch"], Float[Tensor, "batch"]]:
    """Smooth the largest log-weights of each item, at most the largest one; returns them and k-hat.

    k-hat is NaN, and nothing is smoothed, where fewer than 25 draws leave no tail to fit; 0 where all of the tail is
    equal; infinite where the weights of the tail differ by more than numbers can hold.
    """
    draws = len(log_weights)
    tail = int(min(draws / 5, 3 * draws**0.5))
    logs = double(log_weights)
    if tail < FEWEST:
        return logs, torch.full_like(logs[0], torch.nan)
    largest = logs.amax(0)
    ordered, places = (logs - largest).sort(0)
    cutoff = ordered[-tail - 1].exp()
    excess = ordered[-tail:].exp() - cutoff
    shape, scale = fitted(excess)
    levels = (torch.arange(tail, dtype=logs.dtype, device=logs.device).unsqueeze(1) + 0.5) / tail
    quantiles = cutoff + scale * torch.expm1(-shape * torch.log1p(-levels)) / shape
    fits = torch.isfinite(shape) & (shape != 0)
    ordered[-tail:] = torch.where(fits, quantiles.log().clamp(max=0.0), ordered[-tail:])
    return torch.empty_like(logs).scatter_(0, places, ordered) + largest, shape


def fitted(excess: Float[Tensor, "tail batch"]) -> tuple[Float[Tensor, "batch"], Float[Tensor, "batch"]]:
    """Fit shape k and scale of a generalised Pareto distribution to excesses over a threshold, in ascending order.

    The mean of a posterior over a grid, by profile likelihood (Zhang and Stephens 2009), and 10 draws more of k = 0.5.
    """
    tail = len(excess)
    quartile, largest = excess[int(tail / 4 + 0.5) - 1], excess[-1]
    count = 30 + int(tail**0.5)
    steps = torch.arange(1, count + 1, dtype=excess.dtype, device=excess.device).unsqueeze(1)
    grid = 1 / largest + (1 - (count / (steps - 0.5)).sqrt()) / (PRIOR_SCALE * quartile)  # of -k / scale
    shapes = torch.log1p(-grid.unsqueeze(1) * excess).mean(1)
    profile = tail * (torch.log(-grid / shapes) - shapes - 1)
    slope = (torch.softmax(profile, 0) * grid).sum(0)
    shape = torch.log1p(-slope * excess).mean(0)
    scale = -shape / slope
    shape = (tail * shape + PRIOR_DRAWS * PRIOR_SHAPE) / (tail + PRIOR_DRAWS)
    shape = torch.where(quartile > 0, shape, torch.inf)
    return torch.where(largest > 0, shape, 0.0), scale
