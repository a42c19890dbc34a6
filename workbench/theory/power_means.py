"""mmJSD's divergence around any mean of its dial: for which of them is the objective a bound, and with which prior?

With q_0 = p(z), posteriors q_1 .. q_M, weights pi and P the normalised mean, (sum_k pi_k q_k^a)^(1/a) of order a or the
Wasserstein barycenter,

    JS_P = sum_k pi_k KL(q_k || P) = JS_A + KL(A || P),
    JS_P - KL(q || P) = (1 - pi_0) JS(q_1 .. q_M) + pi_0 [KL(p || P) - KL(q || P)],      q = 1/M sum_m q_m.

If all posteriors agree, the bracket is E_q[psi(p / q)] with psi of `psi`: a statement about one function of a ratio.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.distributions import Gaussian, kl
from workbench.divergences import geometric_mean, wasserstein_mean, weighted_kl
from workbench.theory.quadrature import expectation
from workbench.theory.statements import kl_to_mixture, weighed

Mean = float | Literal["wasserstein"]  # an order between 0 (geometric) and 1 (arithmetic), or the barycenter
DIAL: tuple[Mean, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, "wasserstein")
LOG_RATIOS = torch.linspace(-60, 60, 24_000, dtype=torch.float64)  # an even number, so that ln 1 is not among them


def mean_terms(
    experts: Gaussian, mean: Mean, prior_weight: float | None = None, points: int = 601
) -> dict[str, Float[Tensor, "cases"]]:
    """JS_P and the two divergences that it is compared with, in nats, for one-dimensional posteriors `[M, cases, 1]`.

    q is their mixture with equal weights; P the mean of posteriors and p(z) = N(0, 1), whose weight is `prior_weight`
    (None: 1 / (M + 1)) while the posteriors share the rest equally. Exact but for quadrature.
    """
    everyone, pi, equal = weighed(experts, prior_weight)
    to_mean = kl_to_mean(everyone, pi, mean, points)
    apart = (equal * kl_to_mixture(experts, equal, points)).sum(0)  # JS of the posteriors alone
    return {
        "JS": (pi * to_mean).sum(0),
        "KL(q || P)": (equal * to_mean[:-1]).sum(0) - apart,
        "KL(q || p)": weighted_kl(experts, equal, everyone[-1]) - apart,
    }


def smallest_ratios(
    experts: Gaussian, means: Sequence[Mean], prior_weight: float | None = None, points: int = 401
) -> tuple[Float[Tensor, "means"], Float[Tensor, "means"]]:
    """The smallest JS_P / KL(q || p) and JS_P / KL(q || P) over all cases, for each mean: a bound needs one."""
    terms = [mean_terms(experts, mean, prior_weight, points) for mean in means]
    fixed, dynamic = (torch.stack([(t["JS"] / t[name]).min() for t in terms]) for name in ("KL(q || p)", "KL(q || P)"))
    return fixed, dynamic


def kl_to_mean(
    experts: Gaussian, weights: Float[Tensor, "K cases"], mean: Mean, points: int = 601
) -> Float[Tensor, "K cases"]:
    """KL(q_k || P) of every member, in nats; what a power mean integrates to comes from the same nodes.

    The mean of order a <= 1 nowhere exceeds the arithmetic one, A, so that its integral is E_A of a share below one.
    """
    if mean == "wasserstein":
        return kl(experts, wasserstein_mean(experts, weights))
    if mean == 0:
        return kl(experts, geometric_mean(experts, weights))

    def log_and_share(z: Float[Tensor, "nodes cases 1"]) -> Float[Tensor, "nodes cases 2"]:
        log_q, log_pi = experts.log_prob(z.unsqueeze(1)), torch.log(weights)
        log_mean = torch.logsumexp(log_pi + mean * log_q, dim=1) / mean
        return torch.stack([log_mean, torch.exp(log_mean - torch.logsumexp(log_pi + log_q, dim=1))], dim=-1)

    found = torch.stack([expectation(experts[k], log_and_share, points) for k in range(len(weights))])
    log_mass = torch.log((weights * found[..., 1]).sum(0))
    return log_mass - experts.entropy() - found[..., 0]


def psi(t: Float[Tensor, "*n"], power: float, prior_weight: float) -> Float[Tensor, "*n"]:
    """t ln t - (t - 1) ln (1 - pi_0 + pi_0 t^a)^(1/a) - (t - 1): where it is negative at a ratio, some density fails.

    psi and its derivative vanish at t = 1. Of densities p and q with p / q = t, KL(p || P) - KL(q || P) = E_q[psi(t)].
    """
    log_mean = torch.log1p(prior_weight * torch.expm1(power * torch.log(t))) / power
    return torch.xlogy(t, t) - (t - 1) * (log_mean + 1)


def largest_prior_weight(powers: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """The largest pi_0 for which JS_P >= KL(q || P) holds for all densities, with the mean of each order in (0, 1].

    psi falls with pi_0; it is zero at t where pi_0 = (I^a - 1) / (t^a - 1), I = t^(t / (t - 1)) / e the identric mean
    of 1 and t. The least of these over all t; the limits are 1 - e^-a at t = 0, 1/2 at t = 1 and e^-a at infinity.
    """
    log_identric = LOG_RATIOS / -torch.expm1(-LOG_RATIOS) - 1
    a = powers.unsqueeze(1)
    inside = (torch.expm1(a * log_identric) / torch.expm1(a * LOG_RATIOS)).amin(1)
    return torch.stack([inside, -torch.expm1(-powers), torch.exp(-powers)]).amin(0)


def is_proven(modalities: int, mean: Mean) -> bool:
    """Whether JS_P >= KL(q || P) is a theorem for all densities with equal weights: for orders from ln(1 + 1/M) on."""
    if mean in (0, "wasserstein"):
        return False
    return 1 / (modalities + 1) <= largest_prior_weight(torch.tensor([mean], dtype=torch.float64)).item()


def verdict_table(words: Mapping[tuple[int, Mean], str]) -> str:
    """Lines of a table: for each mean the words on the dynamic prior, one per number of modalities; the fixed fails."""
    counts, means = (sorted({key[0] for key in words}), dict.fromkeys(mean for _, mean in words))
    heads = ["mean", "fixed p(z)", *[f"P, M = {M}" for M in counts]]
    rows = [heads, *[[str(mean), "fails", *[words[M, mean] for M in counts]] for mean in means]]
    return "\n".join("".join(f"{word:12}" for word in row).rstrip() for row in rows)
