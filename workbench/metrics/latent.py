"""Where codes lie: how far one item's posterior is from the prior, and how far all of them together are.

Averaged over items, the rate KL(q(z | x_K) || p(z)) is the mutual information of code and input plus the marginal KL
of the aggregate posterior q(z), the mean of the posteriors of all items (Hoffman and Johnson 2016, "ELBO surgery").
The first is what the codes know, the second what random generation suffers from: it decodes codes of p(z), and the
decoders were trained on those of q(z).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.device import double
from workbench.distributions import Diagonal


def rate(posterior: Diagonal, generator: torch.Generator | None = None) -> float:
    """KL(q(z | x_K) || p(z)) in nats, averaged over items `[n, latent]`, from one draw for each.

    Where the posterior is the component that a mixture was drawn from, this is the components' mean: never below the
    mixture's own.
    """
    z, prior = posterior.rsample(generator), type(posterior).standard_like(posterior)
    return (posterior.log_prob(z) - prior.log_prob(z)).mean().item()


def marginal_kl(posterior: Diagonal) -> float:
    """KL(N || N(0, I)) in nats of the Gaussian N that has mean and covariance of the aggregate of items `[n, latent]`.

    For a Gaussian prior a lower bound of the marginal KL, which exceeds it by KL(q(z) || N).
    """
    mean, covariance = moments(posterior)
    return 0.5 * (covariance.trace() + mean.square().sum() - len(mean) - covariance.logdet()).item()


def moments(posterior: Diagonal) -> tuple[Float[Tensor, "latent"], Float[Tensor, "latent latent"]]:
    """Mean and covariance of the mixture of all items' posteriors `[n, latent]`, exactly, in double precision."""
    means, variances = double(posterior.mean), double(posterior.logvar).exp()
    return means.mean(0), torch.cov(means.T, correction=0) + torch.diag(variances.mean(0))
