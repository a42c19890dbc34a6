"""Divergences between several distributions: Jensen-Shannon with an abstract mean, and the bound of Lemma 3.

Experts are a stack of K distributions `[K, *batch, latent]` with weights `[K, *batch]` that sum to one over the first
dimension; for the multimodal objective K = M + 1 and one of the experts is the pre-defined prior p(z).
"""

from jaxtyping import Float
from torch import Tensor

from workbench.distributions import Gaussian, kl, weighted_product


def weighted_kl(experts: Gaussian, weights: Float[Tensor, "K *batch"], other: Gaussian) -> Float[Tensor, "*batch"]:
    """sum_k w_k KL(q_k || other), in nats: by Lemma 3 (equation 16) an upper bound on KL(sum_k w_k q_k || other)."""
    return (weights * kl(experts, other)).sum(0)


def geometric_mean(experts: Gaussian, weights: Float[Tensor, "K *batch"]) -> Gaussian:
    """The normalised geometric mean prod_k q_k^(w_k) of Gaussians: Definition 3, Lemma 4, equation 21 corrected."""
    return weighted_product(experts, weights)


def jensen_shannon_geometric(experts: Gaussian, weights: Float[Tensor, "K *batch"]) -> Float[Tensor, "*batch"]:
    """sum_k w_k KL(q_k || G) with G the geometric mean, in nats: Definition 1 with the mean of Definition 3.

    Closed form per dimension: 1/2 [ln var_G - sum_k w_k ln var_k + sum_k w_k (var_k + (mu_k - mu_G)^2) / var_G - 1].
    """
    return weighted_kl(experts, weights, geometric_mean(experts, weights))
