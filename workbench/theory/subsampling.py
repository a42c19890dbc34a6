"""What sub-sampling costs: encoders that each saw a subset of the modalities, and have to explain all of them.

The objective of mixture-based methods, for subsets A with weights w_A (Daunhawer et al. 2022, Definition 1), is

    L_S = sum_A w_A { E_{q(z | x_A)}[ln p(X | z)] - KL(q(z | x_A) || p(z)) },

MMVAE's (without importance samples) with single modalities, MoPoE's with all subsets, MVAE's with the set of all alone.
In the linear model its expectation over the data is a closed form, nothing is sampled, and equation 1 says what is
missing: E[ln p(X)] - E[L_S] = sum_A w_A E[KL(q(z | x_A) || p(z | X))], which is least for the encoders of `best`.
"""

import dataclasses
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions import kl_divergence

from workbench.distributions import LOG_2PI
from workbench.fusion import all_subsets
from workbench.theory.linear_gaussian import LinearGaussian

Subsets = Bool[Tensor, "M subsets"]


class Encoders(NamedTuple):
    """q(z | x_A) = N(slope (x - b), factor factor') of every subset; the slope is zero where it may not look."""

    slope: Float[Tensor, "subsets latent observed"]
    factor: Float[Tensor, "subsets latent latent"]  # of Cholesky: lower triangular, positive diagonal


def best(model: LinearGaussian, subsets: Subsets) -> Encoders:
    """The encoders with the greatest expected objective where the data come from the model itself.

    Their means are those of p(z | x_A), their covariance that of p(z | X): surer than whoever saw x_A alone can be.
    """
    precision = model.precision(subsets)
    pull = torch.cat([w.T * torch.exp(-v) for w, v in zip(model.loadings, model.logvars, strict=True)], dim=1)
    slope = torch.linalg.solve(precision, seen(model, subsets).unsqueeze(1) * pull)
    everything = torch.linalg.inv(model.precision(torch.ones_like(subsets)))
    return Encoders(slope, torch.linalg.cholesky(everything))


def perturbed(encoders: Encoders, scale: float, generator: torch.Generator) -> Encoders:
    """Encoders of the same subsets that are not the best: every number multiplied by a random one around one."""
    noisy = [x * (1 + scale * torch.randn(x.shape, generator=generator, dtype=x.dtype)) for x in encoders]
    return Encoders(*noisy)


def least_gap(model: LinearGaussian, subsets: Subsets) -> Float[Tensor, "subsets"]:
    """E[ln p(X)] less the greatest expected objective of every subset: 1/2 tr(R - I), in nats.

    R = (P + S)(P + S_A)^-1 are the precisions of p(z | X) relative to those of p(z | x_A). As tr(R - I) >= ln |R|, the
    gap is at least I(z; X_rest | X_A) = 1/2 ln |R|.
    """
    relative = torch.linalg.solve(model.precision(subsets), model.precision(torch.ones_like(subsets)))
    return 0.5 * (relative.diagonal(dim1=-2, dim2=-1) - 1).sum(-1)


def expected_objective(
    model: LinearGaussian, encoders: Encoders, covariance: Float[Tensor, "observed observed"]
) -> Float[Tensor, "subsets"]:
    """E[E_q ln p(X | z) - KL(q || p(z))] of every subset's encoder, in nats, for data N(b, covariance) with our b."""
    loadings, logvar = torch.cat(model.loadings), torch.cat(model.logvars)
    slope, factor = encoders
    codes = slope @ covariance @ slope.mT + factor @ factor.mT  # E[z z']
    crossed = (loadings @ slope @ covariance).diagonal(dim1=-2, dim2=-1)
    squares = covariance.diagonal() - 2 * crossed + (loadings @ codes @ loadings.T).diagonal(dim1=-2, dim2=-1)
    log_likelihood = -0.5 * (LOG_2PI + logvar + squares * torch.exp(-logvar)).sum(-1)
    log_root = factor.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)
    return log_likelihood - 0.5 * (codes.diagonal(dim1=-2, dim2=-1) - 1).sum(-1) + log_root


def expected_log_evidence(model: LinearGaussian, truth: LinearGaussian) -> float:
    """E[ln p(X)] of a model for data from another one, in nats: less than -H(X) by KL(truth || model)."""
    true, own = truth.marginal(), model.marginal()
    return -(true.entropy() + kl_divergence(true, own)).item()


def train(
    truth: LinearGaussian, subsets: Subsets, decoders: bool, generator: torch.Generator, steps: int = 100
) -> tuple[LinearGaussian, Float[Tensor, "subsets"]]:
    """Maximise the mean of the subsets' expected objectives from random encoders, by L-BFGS; model and objectives.

    Where `decoders` is True loadings and noise learn, too, beginning at the truth; else they are the truth.
    """
    observed, latent = len(torch.cat(truth.logvars)), truth.latent_dim
    slope = 0.1 * torch.randn(subsets.shape[1], latent, observed, generator=generator, dtype=torch.float64)
    lower = torch.zeros(subsets.shape[1], latent, latent, dtype=torch.float64)  # its diagonal in logarithms
    parts = [x.clone() for x in (slope, lower, torch.cat(truth.loadings), torch.cat(truth.logvars))]
    learnt = [x.requires_grad_() for x in parts[: 4 if decoders else 2]]
    allowed, covariance = seen(truth, subsets).unsqueeze(1), truth.marginal().covariance_matrix

    def objectives() -> tuple[LinearGaussian, Float[Tensor, "subsets"]]:
        factor = parts[1].tril(-1) + torch.diag_embed(parts[1].diagonal(dim1=-2, dim2=-1).exp())
        model = _with_decoders(truth, *parts[2:])
        return model, expected_objective(model, Encoders(parts[0] * allowed, factor), covariance)

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = -objectives()[1].mean()
        value.backward()
        return value

    optimizer = torch.optim.LBFGS(learnt, max_iter=steps, line_search_fn="strong_wolfe", tolerance_change=1e-10)
    optimizer.step(loss)
    with torch.no_grad():
        return objectives()


def conditional_entropies(model: LinearGaussian, subsets: Subsets) -> Float[Tensor, "subsets"]:
    """H(X_rest | X_A) of every subset, in nats."""
    members = [there.nonzero().flatten().tolist() for there in subsets.T]
    return torch.tensor([model.conditional_entropy(given) for given in members], dtype=torch.float64)


def noise_entropies(model: LinearGaussian, subsets: Subsets) -> Float[Tensor, "subsets"]:
    """H(X_rest | z) of every subset, in nats: what of H(X_rest | X_A) not even z could tell."""
    return 0.5 * (seen(model, ~subsets) * (1 + LOG_2PI + torch.cat(model.logvars))).sum(1)


class Prices(NamedTuple):
    """Of random models and subsets, in nats: what random encoders miss, the least, H(X_rest | X_A), H(X_rest | z)."""

    price: Float[Tensor, "cases"]
    least: Float[Tensor, "cases"]
    entropy: Float[Tensor, "cases"]
    noise: Float[Tensor, "cases"]


def random_prices(models: int, generator: torch.Generator) -> Prices:
    """All 7 subsets of three modalities; noise variances from 0.02 to 1, so that its entropy has both signs."""
    subsets, found = all_subsets(3).T, []
    for _ in range(models):
        noise = 0.02 * 50 ** torch.rand(1, generator=generator).item()
        model = LinearGaussian.random(2, (3, 2, 1), generator, noise=noise)
        encoders = perturbed(best(model, subsets), 0.3, generator)
        reached = expected_objective(model, encoders, model.marginal().covariance_matrix)
        price = expected_log_evidence(model, model) - reached
        entropies = conditional_entropies(model, subsets), noise_entropies(model, subsets)
        found.append(torch.stack([price, least_gap(model, subsets), *entropies]))
    return Prices(*torch.cat(found, dim=1))


class Reach(NamedTuple):
    """Means over subsets, in nats: the ceiling, what is reached with true and with learnt decoders, their evidence."""

    ceiling: float
    fixed: float
    learnt: float
    evidence: float
    quoted: float  # E[ln p(X)] - H(X_rest | X_A), a ceiling that is none


def reach(truth: LinearGaussian, subsets: Subsets, generator: torch.Generator) -> Reach:
    """Train encoders for the subsets twice, with the true decoders and with decoders that learn."""
    best_possible = expected_log_evidence(truth, truth)
    _, fixed = train(truth, subsets, False, generator)
    model, learnt = train(truth, subsets, True, generator)
    gaps = least_gap(truth, subsets), conditional_entropies(truth, subsets)
    ceiling, quoted = (best_possible - gap.mean().item() for gap in gaps)
    return Reach(ceiling, fixed.mean().item(), learnt.mean().item(), expected_log_evidence(model, truth), quoted)


def seen(model: LinearGaussian, subsets: Subsets) -> Float[Tensor, "subsets observed"]:
    """One where an observed dimension belongs to a modality of the subset, else zero."""
    sizes = torch.tensor([len(b) for b in model.biases])
    return subsets.repeat_interleave(sizes, dim=0).T.to(model.biases[0].dtype)


def _with_decoders(model: LinearGaussian, loadings: Tensor, logvars: Tensor) -> LinearGaussian:
    sizes = [len(b) for b in model.biases]
    return dataclasses.replace(model, loadings=loadings.split(sizes), logvars=logvars.split(sizes))
