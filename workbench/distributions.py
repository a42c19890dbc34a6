"""Diagonal Gaussians and their mixtures: densities, samples, divergences, weighted products.

A distribution carries any leading dimensions; sums run over the last one, the latent dimensions. Experts of several
modalities are one stack with the experts first, `[M, *batch, latent]`. Everything is in nats, differentiable, and
worked out in log space, so that log-variances of -20 to 20 are safe in float32.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Gaussian:
    """N(mean, diag(exp(logvar))). Density: exp(-1/2 sum_d [ln 2 pi + logvar_d + (z_d - mean_d)^2 / var_d])."""

    mean: Float[Tensor, "*batch latent"]
    logvar: Float[Tensor, "*batch latent"]

    @classmethod
    def standard_like(cls, other: "Gaussian") -> "Gaussian":
        """N(0, I) in the shape, type and place of `other`."""
        return cls(torch.zeros_like(other.mean), torch.zeros_like(other.logvar))

    @classmethod
    def stack(cls, gaussians: "list[Gaussian]") -> "Gaussian":
        """One stack of experts `[M, *batch, latent]` from M Gaussians of the same shape."""
        return cls(torch.stack([g.mean for g in gaussians]), torch.stack([g.logvar for g in gaussians]))

    def __getitem__(self, index) -> "Gaussian":
        """Index the leading dimensions."""
        return Gaussian(self.mean[index], self.logvar[index])

    def log_prob(self, z: Float[Tensor, "*samples latent"]) -> Float[Tensor, "..."]:
        """Log-density, summed over the latent dimensions; leading dimensions broadcast."""
        squared = (z - self.mean) ** 2 * torch.exp(-self.logvar)
        return -0.5 * (LOG_2PI + self.logvar + squared).sum(-1)

    def rsample(self, generator: torch.Generator | None = None) -> Float[Tensor, "*batch latent"]:
        """One reparametrised sample (Kingma and Welling 2014); gradients reach mean and logvar."""
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        return self.mean + torch.exp(0.5 * self.logvar) * noise

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Differential entropy."""
        return 0.5 * (1 + LOG_2PI + self.logvar).sum(-1)


def kl(p: Gaussian, q: Gaussian) -> Float[Tensor, "..."]:
    """KL(p || q) in closed form, summed over the latent dimensions; leading dimensions broadcast."""
    ratio = p.logvar - q.logvar
    # expm1(r) - r is exp(r) - 1 - r without the cancellation at r = 0
    return 0.5 * (torch.expm1(ratio) - ratio + (p.mean - q.mean) ** 2 * torch.exp(-q.logvar)).sum(-1)


def weighted_product(experts: Gaussian, weights: Float[Tensor, "M *batch"]) -> Gaussian:
    """The Gaussian proportional to prod_m q_m^(w_m): precisions add up, weighted.

    precision = sum_m w_m / var_m, mean = sum_m w_m mean_m / var_m / precision. With weights of one it is the product
    of experts (Hinton 2002); with weights that sum to one, the geometric mean (Definition 3; equation 21, where the
    paper prints the variances un-inverted). A weight of zero leaves an expert out; at least one must be positive.
    """
    log_precisions = torch.log(weights).unsqueeze(-1) - experts.logvar
    mean = (torch.softmax(log_precisions, dim=0) * experts.mean).sum(0)
    return Gaussian(mean, -torch.logsumexp(log_precisions, dim=0))


@dataclass(frozen=True)
class Mixture:
    """sum_m w_m q_m(z): a stack of Gaussians and weights that sum to one over the first dimension."""

    components: Gaussian  # [M, *batch, latent]
    weights: Float[Tensor, "M *batch"]

    def log_prob(self, z: Float[Tensor, "*samples latent"]) -> Float[Tensor, "..."]:
        """Log-density, by log-sum-exp over the components; leading dimensions of z broadcast with the batch."""
        experts = -self.weights.dim()  # where the components' dimension stands in a log-density
        log_joint = torch.log(self.weights) + self.components.log_prob(z.unsqueeze(experts - 1))
        return torch.logsumexp(log_joint, dim=experts)

    def mean(self) -> Float[Tensor, "*batch latent"]:
        """Mean of the mixture: the weighted mean of the components' means."""
        return (self.weights.unsqueeze(-1) * self.components.mean).sum(0)

    def select(self) -> Gaussian:
        """One component per item, the batch split among its components by their weights: a stratified draw.

        Deterministic: item number r of those with the same weights takes the component in which (r + 1/2) / n of the
        cumulated weight falls, n items in all. Needs exactly one batch dimension.
        """
        return _gather(self.components, stratified_choice(self.weights))

    def rsample(self, generator: torch.Generator | None = None) -> Float[Tensor, "batch latent"]:
        """One reparametrised sample per item from its selected component; see `select`."""
        return self.select().rsample(generator)


def stratified_choice(weights: Float[Tensor, "M batch"]) -> Int[Tensor, "batch"]:
    """A component for each item such that items with equal weights are split among them evenly, in batch order."""
    same: Bool[Tensor, "batch batch"] = (weights.unsqueeze(2) == weights.unsqueeze(1)).all(0)
    rank = same.tril().sum(1) - 1
    position = (rank + 0.5) / same.sum(1)
    return (weights.cumsum(0) <= position).sum(0).clamp(max=weights.shape[0] - 1)


def _gather(experts: Gaussian, choice: Int[Tensor, "batch"]) -> Gaussian:
    items = torch.arange(choice.shape[0], device=choice.device)
    return Gaussian(experts.mean[choice, items], experts.logvar[choice, items])
