"""Log-likelihoods by importance sampling: ln p(X) = ln E_q[p(X, z) / q(z)].

The logarithm of the average underestimates on average (Jensen's inequality; Burda et al. 2016), less so the more
samples there are and the nearer q is to the posterior. Samples are grouped per item, and stratified over the
components where the proposal is a mixture.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.data.dataset import Batch
from workbench.distributions import Gaussian, Mixture
from workbench.divergences import Estimate
from workbench.fusion import mixture_of_experts
from workbench.losses import masked, reconstruction
from workbench.model import MultimodalVAE


def importance_sampled(
    log_joint: Callable[[Float[Tensor, "batch latent"]], Float[Tensor, "batch"]],
    proposal: Gaussian | Mixture,
    samples: int,
    generator: torch.Generator | None = None,
) -> Estimate:
    """ln of the integral of exp(log_joint(z)), from `samples` draws of every component of the proposal.

    `log_joint` gets one draw for each item at a time. The standard error is that of the logarithm, to first order.
    """
    if isinstance(proposal, Gaussian):
        proposal = Mixture(proposal.unsqueeze(0), torch.ones_like(proposal.mean[None, ..., 0]))
    z = proposal.strata(samples, generator)
    log_weights = torch.stack([torch.stack([log_joint(c) for c in draw]) for draw in z]) - proposal.log_prob(z)
    return log_mean_exp(log_weights, proposal.weights)


def log_mean_exp(log_values: Float[Tensor, "samples M batch"], weights: Float[Tensor, "M batch"]) -> Estimate:
    """ln sum_m w_m mean_s exp(log_values), with the standard error of a stratified mean."""
    samples = log_values.shape[0]
    weighted = torch.log(weights) + log_values
    total = torch.logsumexp(weighted, dim=(0, 1)) - math.log(samples)
    share = torch.exp(weighted - total)  # these sum to `samples`
    error = (share.var(0) / samples).sum(0).sqrt() if samples > 1 else torch.full_like(total, math.nan)
    return Estimate(total, error)


@torch.no_grad()
def log_evidence(
    model: MultimodalVAE, batch: Batch, samples: int, generator: torch.Generator | None = None
) -> Estimate:
    """ln p(X) of the modalities that each item has, in nats and without likelihood weights.

    The content is proposed by the mixture of the items' posteriors, `samples` draws from each modality's; the styles by
    their own posteriors.
    """
    q = model.encode(batch)
    content_prior, style_prior = Gaussian.standard_like(q.content[0]), Gaussian.standard_like(q.style)

    def log_joint(content: Tensor) -> Tensor:
        style = q.style.rsample(generator)
        log_ratio = masked(style_prior.log_prob(style) - q.style.log_prob(style), q.present).sum(0)
        return content_prior.log_prob(content) + log_ratio - reconstruction(model, batch, content, style).sum(0)

    return importance_sampled(log_joint, mixture_of_experts(q.content, q.present), samples, generator)
