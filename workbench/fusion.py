"""The joint posterior of any subset of modalities: product, mixture, and the means between them and beside them.

`experts` holds the unimodal posteriors q(z | x_m) as one stack; `present` says for each item which of them there are.
A subset is a mask, never a loop: what is absent gets weight zero and the other weights are renormalised. Items with
no modality at all get the prior from the product and the dynamic prior; a mixture of nothing does not exist.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.distributions import Diagonal, Gaussian, Mixture, weighted_product
from workbench.divergences import geometric_mean, hellinger_mean, wasserstein_mean

Fusion = Callable[[Gaussian, Tensor], Gaussian]

# Beyond so many modalities the products of all their subsets are too many to be worked out in a training step.
MOST_IN_PRODUCTS = 10
OVER_SUBSETS = {"mixture_of_products": " (mopoe)", "mixture_of_wasserstein": ""}  # and the objective that has it


def with_prior(experts: Gaussian) -> Gaussian:
    """The experts with p(z) = N(0, I) as one more, the last."""
    prior = Gaussian.standard_like(experts[:1])
    return Gaussian(torch.cat([experts.mean, prior.mean]), torch.cat([experts.logvar, prior.logvar]))


def mixture_weights(present: Bool[Tensor, "K *batch"], dtype: torch.dtype = torch.float32) -> Float[Tensor, "K *batch"]:
    """Equal weights of the present modalities, or other components, summing to one."""
    return present.to(dtype) / present.sum(0).clamp(min=1)


def dynamic_prior_weights(
    present: Bool[Tensor, "M batch"], prior_weight: float | None = None, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "K batch"]:
    """Weights pi of the present modalities and, last, of p(z); K = M + 1.

    `prior_weight` is that of p(z) when all modalities are there (None: 1 / (M + 1), as in Appendix C.2.2); the
    modalities share the rest equally. Absent modalities get zero and the others are renormalised.
    """
    modalities = present.shape[0]
    prior = 1 / (modalities + 1) if prior_weight is None else prior_weight
    experts = present.to(dtype) * (1 - prior) / modalities
    # with nothing there the prior is all there is, whatever its weight
    some = present.any(0, keepdim=True)
    last = torch.where(some, torch.full_like(experts[:1], prior), torch.ones_like(experts[:1]))
    weights = torch.cat([experts, last])
    return weights / weights.sum(0)


def product_of_experts(experts: Gaussian, present: Bool[Tensor, "M batch"]) -> Gaussian:
    """p(z) prod_m q(z | x_m) over the present modalities, normalised: MVAE's posterior (Wu and Goodman 2018)."""
    prior = torch.ones_like(present[:1])
    return weighted_product(with_prior(experts), torch.cat([present, prior]).to(experts.mean.dtype))


def product_alone(experts: Gaussian, present: Bool[Tensor, "M *batch"]) -> Gaussian:
    """prod_m q(z | x_m) of the present modalities, normalised, without p(z): MVTCAE's posterior (Hwang et al. 2021)."""
    nothing = ~present.any(0, keepdim=True)
    return weighted_product(with_prior(experts), torch.cat([present, nothing]).to(experts.mean.dtype))


def mixture_of_experts(experts: Diagonal, present: Bool[Tensor, "M batch"]) -> Mixture:
    """The mixture of the present modalities with equal weights: MMVAE's and, in training, mmJSD's posterior."""
    return Mixture(experts, mixture_weights(present, experts.mean.dtype))


def mixture_of_products(experts: Gaussian, present: Bool[Tensor, "M batch"]) -> Mixture:
    """MoPoE's posterior (Sutter et al. 2021): products of all non-empty subsets of what is present, equally weighted.

    2^M - 1 components, in the order of `all_subsets`; those with an absent member get weight zero. As in the paper p(z)
    is no expert; in its authors' code it is one of the largest product, so that an absent modality is not the same as
    a model without it. ValueError for more than 10 modalities.
    """
    return _mixture_over_subsets("mixture_of_products", product_alone, experts, present)


def _mixture_over_subsets(name: str, inner: Fusion, experts: Gaussian, present: Bool[Tensor, "M batch"]) -> Mixture:
    check_count(name, len(present))
    members = all_subsets(present.shape[0], present.device).unsqueeze(2)  # [S, M, 1]
    there = (present | ~members).all(1)
    masks = members.transpose(0, 1).expand(-1, -1, present.shape[1])
    return Mixture(inner(experts.unsqueeze(1), masks), mixture_weights(there, experts.mean.dtype))


def wasserstein(experts: Gaussian, present: Bool[Tensor, "M *batch"]) -> Gaussian:
    """The Wasserstein barycenter of the present posteriors, equally weighted (after Qiu et al. 2025), without p(z).

    Standard deviations are averaged: with more modalities that disagree it gets neither narrower, as a product does,
    nor wider, as the moments of a mixture do.
    """
    prior_alone = torch.cat([present, ~present.any(0, keepdim=True)])
    return wasserstein_mean(with_prior(experts), mixture_weights(prior_alone, experts.mean.dtype))


def mixture_of_wasserstein(experts: Gaussian, present: Bool[Tensor, "M batch"]) -> Mixture:
    """The mixture of the barycenters of all non-empty subsets of what is present (MWB, after Qiu et al. 2025).

    MoPoE's mixture with another inner fusion: see `mixture_of_products`. ValueError for more than 10 modalities.
    """
    return _mixture_over_subsets("mixture_of_wasserstein", wasserstein, experts, present)


def holder(experts: Gaussian, present: Bool[Tensor, "M batch"]) -> Mixture:
    """(sum_m w_m q(z | x_m)^(1/2))^2 of the present posteriors, equally weighted: a mixture (after Vo and Valera 2026).

    M (M + 1) / 2 components, in the order of `divergences.pairs_of`. The papers' text could not be read: the formula is
    ours, that of the authors' released code (hellinger-variational-autoencoders, March 2026) is the same.
    """
    found = _hellinger_mixture(experts, present)
    return replace(found, weights=found.weights * present.any(0))


def hellinger(experts: Gaussian, present: Bool[Tensor, "M batch"]) -> Gaussian:
    """The Gaussian with mean and variances of `holder`'s mixture (HELVAE, after Vo and Valera 2026).

    Moments are matched over all dimensions together: where experts disagree in many, it is that of their mixture.
    """
    some, found = present.any(0).unsqueeze(-1), _hellinger_mixture(experts, present).moments()
    return Gaussian(found.mean.where(some, 0.0), found.logvar.where(some, 0.0))


def _hellinger_mixture(experts: Gaussian, present: Bool[Tensor, "M batch"]) -> Mixture:
    """Of items with nothing that of all, so that it exists."""
    return hellinger_mean(experts, mixture_weights(present | ~present.any(0), experts.mean.dtype))[0]


def takes(fusion: str, modalities: int) -> bool:
    """Whether a fusion can take so many modalities."""
    return fusion not in OVER_SUBSETS or modalities <= MOST_IN_PRODUCTS


def check_count(fusion: str, modalities: int) -> None:
    """Raise ValueError when a fusion cannot take so many modalities."""
    if not takes(fusion, modalities):
        raise ValueError(
            f"a {fusion.replace('_', ' ')} of all subsets{OVER_SUBSETS[fusion]} would have 2^{modalities} - 1 = "
            f"{2**modalities - 1:,} components: take at most {MOST_IN_PRODUCTS} modalities, or another objective"
        )


def subsets(members: Sequence[Any]) -> list[tuple[Any, ...]]:
    """All non-empty subsets, smaller ones first: M, S, T, (M, S), (M, T), (S, T), (M, S, T)."""
    return [chosen for size in range(1, len(members) + 1) for chosen in combinations(members, size)]


def all_subsets(modalities: int, device: torch.device | None = None) -> Bool[Tensor, "S M"]:
    """Membership of all non-empty subsets of M modalities, in the order of `subsets`."""
    rows = [[m in chosen for m in range(modalities)] for chosen in subsets(range(modalities))]
    return torch.tensor(rows, device=device)


def dynamic_prior(experts: Gaussian, present: Bool[Tensor, "M batch"], prior_weight: float | None = None) -> Gaussian:
    """The geometric mean of the present posteriors and p(z) (Definition 3): mmJSD's dynamic prior of a subset."""
    return geometric_mean(with_prior(experts), dynamic_prior_weights(present, prior_weight, experts.mean.dtype))


def fuse(
    fusion: str, experts: Diagonal, present: Bool[Tensor, "M batch"], prior_weight: float | None = None
) -> Diagonal | Mixture:
    """The posterior of the present modalities; `fusion` is one of FUSIONS.

    Raises ValueError on an unknown name, and on any but a mixture of posteriors that are no Gaussians. `prior_weight`
    matters to the dynamic prior alone.
    """
    if fusion not in FUSIONS:
        raise ValueError(f"unknown fusion {fusion!r}: choose one of {sorted(FUSIONS)}")
    if fusion != "mixture" and not isinstance(experts, Gaussian):
        raise ValueError(f"the fusion {fusion!r} needs Gaussian posteriors: choose 'mixture'")
    if fusion == "dynamic_prior":
        return dynamic_prior(experts, present, prior_weight)
    return FUSIONS[fusion](experts, present)


FUSIONS = {
    "product": product_of_experts,
    "product_alone": product_alone,
    "mixture": mixture_of_experts,
    "mixture_of_products": mixture_of_products,
    "dynamic_prior": dynamic_prior,
    "hellinger": hellinger,
    "holder": holder,
    "wasserstein": wasserstein,
    "mixture_of_wasserstein": mixture_of_wasserstein,
}


def relating(fusion: str, given: Collection[Any]) -> str:
    """Return the fusion of some modalities: of a single one the dynamic prior is its own posterior."""
    return "mixture" if fusion == "dynamic_prior" and len(given) == 1 else fusion
