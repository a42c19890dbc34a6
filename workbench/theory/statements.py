"""Statements about the bound, put to the test: margins over random Gaussians, counterexamples, computed verdicts.

A claim is an inequality; its margin, right side minus left side in nats, must not be negative. `judge` turns margins
into a verdict, `smallest_counterexample` looks for the plainest Gaussians that break it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.distributions import Gaussian, Mixture, kl
from workbench.divergences import geometric_mean, jensen_shannon_geometric, weighted_kl
from workbench.fusion import dynamic_prior_weights, mixture_weights, with_prior
from workbench.theory.quadrature import expectation

TOLERANCE = 1e-7  # nats; what quadrature and rounding may cost


@dataclass(frozen=True)
class Verdict:
    """What became of a claim: `holds`, `holds under the reading ...` or `fails: smallest counterexample ...`."""

    claim: str
    holds: bool
    cases: int
    failures: int
    worst: float  # the smallest margin, nats
    reading: str = ""
    counterexample: str = ""

    def __str__(self) -> str:
        if self.holds:
            return f"holds under the reading: {self.reading}" if self.reading else "holds"
        where = f": smallest counterexample {self.counterexample}" if self.counterexample else ""
        return f"fails{where}"

    def row(self) -> list[str]:
        """Claim, verdict, how many cases, how often it failed, as a table shows them."""
        share = f"{self.failures / self.cases:.1%}" if self.failures else "never"
        return [self.claim, str(self), f"{self.cases:,}", share]


def judge(
    claim: str,
    margins: Float[Tensor, "..."],
    reading: str = "",
    counterexample: str = "",
    tolerance: float = TOLERANCE,
) -> Verdict:
    """The verdict on a claim from its margins: it holds when none is below -tolerance. NaN counts as a failure."""
    margins = margins.detach().flatten().double()
    if margins.numel() == 0:
        raise ValueError(f"no case was tried for {claim!r}")
    failed = ~(margins >= -tolerance)
    worst = margins.nan_to_num(nan=-torch.inf).min().item()
    return Verdict(claim, not failed.any(), margins.numel(), int(failed.sum()), worst, reading, counterexample)


def random_experts(modalities: int, cases: int, generator: torch.Generator, spread: float = 2.0) -> Gaussian:
    """One-dimensional posteriors `[M, cases, 1]` in float64: means N(0, spread^2), log-variances uniform in [-4, 2]."""
    shape = (modalities, cases, 1)
    mean = spread * torch.randn(shape, generator=generator, dtype=torch.float64)
    return Gaussian(mean, 6 * torch.rand(shape, generator=generator, dtype=torch.float64) - 4)


def agreeing(modalities: int, mean: float, variance: float) -> Gaussian:
    """Posteriors that are all N(mean, variance): one case, `[M, 1, 1]` in float64."""
    means = torch.full((modalities, 1, 1), mean, dtype=torch.float64)
    return Gaussian(means, torch.full_like(means, variance).log())


def weighed(
    experts: Gaussian, prior_weight: float | None = None
) -> tuple[Gaussian, Float[Tensor, "K cases"], Float[Tensor, "M cases"]]:
    """Posteriors with p(z) = N(0, 1) as one more, the last; their weights pi; and equal weights of the posteriors.

    `prior_weight` is that of p(z), None for 1 / (M + 1); the posteriors share the rest equally.
    """
    present = torch.ones(experts.mean.shape[:2], dtype=torch.bool)
    pi = dynamic_prior_weights(present, prior_weight, experts.mean.dtype)
    return with_prior(experts), pi, mixture_weights(present, experts.mean.dtype)


def kl_to_mixture(experts: Gaussian, weights: Float[Tensor, "K cases"], points: int) -> Float[Tensor, "K cases"]:
    """KL(q_k || sum_j w_j q_j) of every member, in nats, by quadrature; weighted, it is their JS_A."""
    mixture = Mixture(experts, weights)
    logs = torch.stack([expectation(experts[k], mixture.log_prob, points) for k in range(len(weights))])
    return -experts.entropy() - logs


def lemma_2_terms(experts: Gaussian, prior_weight: float | None = None, points: int = 601) -> dict[str, Tensor]:
    """Every quantity that Lemma 2 and equation 9 compare, in nats, for one-dimensional posteriors `[M, cases, 1]`.

    q is the mixture of the posteriors with equal weights, f the dynamic prior of posteriors and N(0, 1), arithmetic (A)
    or geometric (G), with weights over M + 1. Exact but for the quadrature of the mixtures' entropies.
    """
    everyone, pi, equal = weighed(experts, prior_weight)
    prior, geometric = everyone[-1], geometric_mean(everyone, pi)
    to_a = kl_to_mixture(everyone, pi, points)
    apart = (equal * kl_to_mixture(experts, equal, points)).sum(0)  # JS of the posteriors alone
    return {
        "KL(q || p)": weighted_kl(experts, equal, prior) - apart,
        "KL(q || A)": (equal * to_a[:-1]).sum(0) - apart,
        "KL(q || G)": weighted_kl(experts, equal, geometric) - apart,
        "sum KL(q_m || p) / M": weighted_kl(experts, equal, prior),
        "sum KL(q_m || A) / M": (equal * to_a[:-1]).sum(0),
        "KL(A || p)": weighted_kl(everyone, pi, prior) - (pi * to_a).sum(0),
        "KL(A || G)": weighted_kl(everyone, pi, geometric) - (pi * to_a).sum(0),
        "JS_A": (pi * to_a).sum(0),
        "JS_G": jensen_shannon_geometric(everyone, pi, validate=False),
    }


def smallest_counterexample(
    margin: Callable[[Gaussian], Float[Tensor, "cases"]], start: Gaussian, by: float = 0.01, steps: int = 200
) -> Gaussian | None:
    """The posteriors `[M, 1, 1]` nearest to N(0, 1) that an optimiser finds to break a claim by at least `by` nats.

    Adam from every start at once: `steps` on the margin, as many on the distance sum_m KL(q_m || p) with the margin
    held below -by; rounded to two decimals (means) and two digits (variances). None where no start leads to one.
    """
    found = _descend(lambda q: torch.relu(margin(q) + 1.2 * by), start, steps)
    found = _descend(lambda q: distance(q) + 100 * torch.relu(margin(q) + 1.2 * by), found, steps)
    found = rounded(found)
    broken = (margin(found) <= -by).nonzero().flatten()
    if len(broken) == 0:
        return None
    return found[:, broken[distance(found)[broken].argmin()]].unsqueeze(1)


def _descend(loss: Callable[[Gaussian], Float[Tensor, "cases"]], start: Gaussian, steps: int) -> Gaussian:
    """Adam with a falling step size on all cases side by side."""
    mean, logvar = (x.clone().requires_grad_() for x in (start.mean, start.logvar))
    optimizer = torch.optim.Adam([mean, logvar], lr=0.1, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(Gaussian(mean, logvar)).sum().backward()
        optimizer.step()
        schedule.step()
    return Gaussian(mean.detach(), logvar.detach())


def distance(experts: Gaussian) -> Float[Tensor, "cases"]:
    """sum_m KL(q_m || N(0, I)), in nats: how far posteriors are from having learnt nothing."""
    return kl(experts, Gaussian.standard_like(experts)).sum(0)


def rounded(experts: Gaussian) -> Gaussian:
    """Means to two decimals and variances to two significant digits, so that a reader can type them."""
    variance = torch.exp(experts.logvar)
    unit = 10 ** torch.floor(torch.log10(variance) - 1)
    return Gaussian((100 * experts.mean).round() / 100 + 0.0, torch.log((variance / unit).round() * unit))


def spelt(experts: Gaussian) -> str:
    """Posteriors of one case in words: q_1 = N(0.00, 1.3), q_2 = ..., with variances."""
    rows = zip(experts.mean.flatten().tolist(), experts.logvar.exp().flatten().tolist(), strict=True)
    return ", ".join(f"q_{m} = N({mean:.2f}, {variance:.2g})" for m, (mean, variance) in enumerate(rows, start=1))
