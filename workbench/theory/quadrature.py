"""Expectations under Gaussians of one or two latent dimensions by quadrature: the exact answer where none is closed.

The trapezoid rule in the coordinates u = (z - mean) / standard deviation: for smooth functions under a Gaussian it
converges faster than any power of the step, so a plain grid gives ten digits. What is integrated may vary on a scale
down to about a twentieth of the standard deviation; refine `points` for more.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.distributions import Gaussian, Mixture

REACH = 9.0  # standard deviations to each side; what is cut off has a mass below 1e-18
POINTS = 1001  # along each dimension


def grid(latent: int, points: int = POINTS) -> tuple[Float[Tensor, "nodes latent"], Float[Tensor, "nodes"]]:
    """Nodes and weights of N(0, I) in one or two dimensions; ValueError for more."""
    if latent not in (1, 2):
        raise ValueError(f"quadrature on a grid is for 1 or 2 latent dimensions, not {latent}: use Monte Carlo")
    u = torch.linspace(-REACH, REACH, points, dtype=torch.float64)
    nodes = torch.cartesian_prod(*[u] * latent).view(-1, latent)
    density = torch.exp(-0.5 * (nodes**2).sum(1))
    return nodes, density / density.sum()


def expectation(
    q: Gaussian,
    function: Callable[[Float[Tensor, "nodes *batch latent"]], Float[Tensor, "nodes *batch"]],
    points: int = POINTS,
) -> Float[Tensor, "*batch"]:
    """E_q[function(z)]; the function gets all nodes at once, in front of the leading dimensions of q."""
    nodes, weights = grid(q.mean.shape[-1], points)
    lead = [-1] + [1] * (q.mean.dim() - 1)
    nodes, weights = nodes.to(q.mean).view(*lead, q.mean.shape[-1]), weights.to(q.mean)
    values = function(q.mean + torch.exp(0.5 * q.logvar) * nodes)
    return torch.tensordot(weights, values, dims=1)


def mixture_expectation(
    mixture: Mixture,
    function: Callable[[Float[Tensor, "nodes *batch latent"]], Float[Tensor, "nodes *batch"]],
    points: int = POINTS,
) -> Float[Tensor, "*batch"]:
    """E_m[function(z)] under a mixture: component by component, each on its own grid."""
    parts = [expectation(mixture.components[k], function, points) for k in range(mixture.weights.shape[0])]
    return (mixture.weights * torch.stack(parts)).sum(0)


def mixture_kl(
    experts: Gaussian, weights: Float[Tensor, "..."], other: Gaussian | Mixture, points: int = POINTS
) -> Float[Tensor, "*batch"]:
    """KL(sum_k w_k q_k || other), without noise; the other may be a mixture, too."""
    mixture = Mixture.of(experts, weights)
    return mixture_expectation(mixture, lambda z: mixture.log_prob(z) - other.log_prob(z), points)


def jensen_shannon_arithmetic(
    experts: Gaussian, weights: Float[Tensor, "..."], points: int = POINTS
) -> Float[Tensor, "*batch"]:
    """sum_k w_k KL(q_k || sum_j w_j q_j), without noise: the entropy of the mixture less that of its components."""
    mixture = Mixture.of(experts, weights)
    entropy = mixture_expectation(mixture, lambda z: -mixture.log_prob(z), points)
    return entropy - (mixture.weights * experts.entropy()).sum(0)
