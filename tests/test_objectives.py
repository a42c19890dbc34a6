"""The objectives against a loop over items written from the equations, with torch.distributions for every density."""

import itertools
import math

import pytest
import torch
import torch.distributions as td
from helpers import fewer_modalities, is_text, marked, rows_of, seeded, spoiled, tiny_batch, tiny_model

from workbench import objectives
from workbench.config import DYNAMIC_PRIORS, IMPORTANCE_SAMPLED, MIXTURES, Config
from workbench.data.dataset import Batch
from workbench.distributions import Gaussian, Mixture
from workbench.losses import masked
from workbench.model import MultimodalVAE
from workbench.objectives import METHODS, method, mixtures, products

OBJECTIVES = sorted(METHODS)
CLOSED = [name for name in OBJECTIVES if name not in IMPORTANCE_SAMPLED]  # those whose divergences are closed forms
CONFIG = Config(beta=2.5, beta_style=1.7, importance_samples=3, mvtcae_alpha=0.7)
PRIORS = [CONFIG.replace(dynamic_prior=choice) for choice in DYNAMIC_PRIORS if choice != CONFIG.dynamic_prior]
PRIORS.append(CONFIG.replace(dynamic_prior="power", power=0.3))  # whose integral is estimated
MIXED = [Config(objective="mmvm", beta=2.5, beta_style=1.7, mixed_prior=x, prior_share=a)
         for x, a in (("pairs", 0.3), ("mixture", 0.3), ("mixture", 0.0))]  # fmt: skip
EVERY = pytest.mark.parametrize(
    ("name", "config"),
    [(name, CONFIG) for name in OBJECTIVES] + [("mmjsd", config) for config in PRIORS] + [("mmvm", x) for x in MIXED],
)


def normal(mean: torch.Tensor, logvar: torch.Tensor) -> td.Distribution:
    return td.Independent(td.Normal(mean, torch.exp(logvar / 2)), 1)


def standard(size: int) -> td.Distribution:
    return normal(*torch.zeros(2, size, dtype=torch.float64))


def fuse(experts: list[td.Distribution], weights: list[float]) -> td.Distribution:
    """The normalised weighted product, by adding up precisions."""
    precision = sum(w / e.base_dist.scale**2 for w, e in zip(weights, experts, strict=True))
    mean = sum(w * e.base_dist.loc / e.base_dist.scale**2 for w, e in zip(weights, experts, strict=True)) / precision
    return normal(mean, -torch.log(precision))


def barycenter(experts: list[td.Distribution], weights: list[float] | None = None) -> td.Distribution:
    """The Gaussian whose mean and standard deviation are the averages of theirs."""
    weights = weights or [1 / len(experts)] * len(experts)
    mean, scale = (
        sum(w * getattr(e.base_dist, x) for w, e in zip(weights, experts, strict=True)) for x in ("loc", "scale")
    )
    return normal(mean, 2 * torch.log(scale))


def squared(
    experts: list[td.Distribution], weights: list[float] | None = None
) -> list[tuple[torch.Tensor, td.Distribution]]:
    """(sum_k w_k q_k^(1/2))^2, squared out: Gaussians and their weights, which sum to its integral.

    A pair's Bhattacharyya coefficient is exp(-(d^2 / 8 v + ln(v / s t) / 2)), v the mean of the variances s^2 and t^2.
    """
    weights, parts = weights or [1 / len(experts)] * len(experts), []
    for (i, one), (j, other) in itertools.combinations_with_replacement(enumerate(experts), 2):
        (a, s), (b, t) = ((e.base_dist.loc, e.base_dist.scale) for e in (one, other))
        v = (s**2 + t**2) / 2
        overlap = torch.exp(-((a - b) ** 2 / (8 * v) + torch.log(v / (s * t)) / 2).sum())
        parts.append(((1 + (i != j)) * weights[i] * weights[j] * overlap, fuse([one, other], [0.5, 0.5])))
    return parts


class ByHand:
    """One objective, item by item. It draws its noise in the order in which the objectives say they do."""

    def __init__(self, model: MultimodalVAE, batch: Batch, config: Config, seed: int) -> None:
        self.model, self.batch, self.config = model, batch, config
        self.count, self.items = batch.present.shape
        self.generator = seeded(seed)
        self.there = [[m for m in range(self.count) if batch.present[m, b]] for b in range(self.items)]
        self.posteriors = [[self.encode(m, b) for b in range(self.items)] for m in range(self.count)]

    def noise(self, *shape: int) -> torch.Tensor:
        return torch.empty(*shape, dtype=torch.float64).normal_(generator=self.generator)

    def encode(self, m: int, b: int) -> tuple[td.Distribution, td.Distribution]:
        """q(c | x_m) and q(s_m | x_m) of one item."""
        heads = self.model.heads[m].layers
        features = self.model.encoders[m](self.batch.values[m][b : b + 1])[0]
        content = normal(heads[0](features), heads[1](features))
        return content, normal(heads[2](features), heads[3](features)) if self.model.style_dim else standard(0)

    def nll(self, m: int, b: int, content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        output = self.model.decoders[m](torch.cat([style, content])[None])[0]
        x = self.batch.values[m][b]
        if is_text(m):
            return -td.Categorical(logits=output).log_prob(x).sum()
        return -td.Laplace(output, 0.75).log_prob(x).sum()

    def sample(self, q: td.Distribution, noise: torch.Tensor) -> torch.Tensor:
        return q.base_dist.loc + q.base_dist.scale * noise

    def drawn_from(self, b: int) -> int:
        """Which modality item b takes its content from: an even split of the items with the same pattern."""
        alike = [other for other in range(self.items) if self.there[other] == self.there[b]]
        place = alike.index(b)
        return self.there[b][(2 * place + 1) * len(self.there[b]) // (2 * len(alike))]

    def divergence_mmjsd(self, b: int) -> torch.Tensor:
        if self.config.dynamic_prior == "none":
            return self.divergence_mmvae(b)
        share = 1 / (self.count + 1)
        prior = share if self.config.prior_weight is None else self.config.prior_weight
        raw = [(1 - prior) / self.count for _ in self.there[b]] + [prior]
        pi = [w / sum(raw) for w in raw]
        experts = [self.posteriors[m][b][0] for m in self.there[b]] + [standard(self.model.content_dim)]
        if self.config.dynamic_prior == "arithmetic":
            return self.to_arithmetic_mean(experts, pi, self.prior_noise[:, [*self.there[b], self.count], b])
        if self.config.dynamic_prior == "power":
            return self.to_power_mean(experts, pi, self.prior_noise[:, [*self.there[b], self.count], b])
        mean = barycenter(experts, pi) if self.config.dynamic_prior == "wasserstein" else fuse(experts, pi)
        return sum(w * td.kl_divergence(e, mean) for w, e in zip(pi, experts, strict=True))

    def to_arithmetic_mean(self, experts: list, pi: list[float], noise: torch.Tensor) -> torch.Tensor:
        """sum_k pi_k E_{q_k}[ln q_k - ln sum_j pi_j q_j], by draws `[draws, experts, latent]`."""
        normals = td.Normal(*(torch.stack([getattr(e.base_dist, x) for e in experts]) for x in ("loc", "scale")))
        mixture = td.MixtureSameFamily(td.Categorical(torch.tensor(pi).double()), td.Independent(normals, 1))
        draws = [self.sample(e, u) for e, u in zip(experts, noise.unbind(1), strict=True)]
        return sum(w * (e.log_prob(z) - mixture.log_prob(z)).mean() for w, e, z in zip(pi, experts, draws, strict=True))

    def to_power_mean(self, experts: list, pi: list[float], noise: torch.Tensor) -> torch.Tensor:
        """sum_k pi_k E_{q_k}[ln q_k - ln h]; the integral of h by the same draws, or in closed form for order 1/2."""
        draws = [self.sample(e, u) for e, u in zip(experts, noise.unbind(1), strict=True)]
        order, found, mass = self.config.power, 0.0, 0.0
        for w, expert, z in zip(pi, experts, draws, strict=True):
            power = sum(p * e.log_prob(z).exp() ** order for p, e in zip(pi, experts, strict=True)) ** (1 / order)
            arithmetic = sum(p * e.log_prob(z).exp() for p, e in zip(pi, experts, strict=True))
            found = found + w * (expert.log_prob(z) - power.log()).mean()
            mass = mass + w * (power / arithmetic).mean()
        if order == 0.5:
            mass = sum(weight for weight, _ in squared(experts, pi))
        return found + mass.log()

    def divergence_mmvae(self, b: int) -> torch.Tensor:
        prior = standard(self.model.content_dim)
        return sum(td.kl_divergence(self.posteriors[m][b][0], prior) for m in self.there[b]) / len(self.there[b])

    def style_kl(self, b: int) -> torch.Tensor:
        """sum_m beta_m KL(s_m || p) of one item."""
        return sum(
            self.model.modalities[m].style_weight
            * td.kl_divergence(self.posteriors[m][b][1], standard(self.model.style_dim))
            for m in self.there[b]
        )

    def mixture_item(self, b: int, content_noise, style_noise, divergence) -> torch.Tensor:
        content = self.sample(self.posteriors[self.drawn_from(b)][b][0], content_noise[b])
        total = self.config.beta * (divergence(b) + self.config.beta_style * self.style_kl(b))
        for m in self.there[b]:
            style = self.sample(self.posteriors[m][b][1], style_noise[m, b])
            total = total + self.model.modalities[m].weight * self.nll(m, b, content, style)
        return total

    def mmjsd(self) -> torch.Tensor:
        content = self.noise(self.items, self.model.content_dim)
        if self.config.dynamic_prior in ("arithmetic", "power"):
            draws = mixtures.SAMPLES
            self.prior_noise = self.noise(draws, self.count + 1, self.items, self.model.content_dim)
        style = self.styles()
        return sum(self.mixture_item(b, content, style, self.divergence_mmjsd) for b in range(self.items)) / self.items

    def mmvae(self) -> torch.Tensor:
        content, style = self.noise(self.items, self.model.content_dim), self.styles()
        return sum(self.mixture_item(b, content, style, self.divergence_mmvae) for b in range(self.items)) / self.items

    def styles(self) -> torch.Tensor:
        return self.noise(self.count, self.items, self.model.style_dim)

    def elbo(self, b: int, inferred: list[int], shown: list[int], content_noise, style_noise) -> torch.Tensor:
        """The negative weighted ELBO with the product of some experts and the prior."""
        prior, config = standard(self.model.content_dim), self.config
        product = fuse([self.posteriors[m][b][0] for m in inferred] + [prior], [1.0] * (len(inferred) + 1))
        content = self.sample(product, content_noise[b])
        theirs = config.mvae_unimodal == "authors" and inferred is not self.there[b]
        total = config.beta * td.kl_divergence(self.posteriors[inferred[0]][b][0] if theirs else product, prior)
        for m in shown:
            modality, style = self.model.modalities[m], self.posteriors[m][b][1]
            total = total + (1 if theirs else modality.weight) * self.nll(
                m, b, content, self.sample(style, style_noise[m][b])
            )
            divergence = td.kl_divergence(style, standard(self.model.style_dim))
            total = total + config.beta * config.beta_style * modality.style_weight * divergence
        return total

    def mvae(self) -> torch.Tensor:
        size = self.model.content_dim
        joint = self.noise(self.items, size), self.styles()
        alone = [
            (self.noise(self.items, size), self.noise(self.items, self.model.style_dim)) for _ in range(self.count)
        ]
        total = torch.zeros((), dtype=torch.float64)
        for b, there in enumerate(self.there):
            total = total + self.elbo(b, there, there, *joint)
            for m in there:
                content_noise, style_noise = alone[m]
                total = total + self.elbo(b, [m], [m], content_noise, {m: style_noise})
        return total / self.items

    def experts(self, b: int) -> list[td.Distribution]:
        return [self.posteriors[m][b][0] for m in self.there[b]]

    def subsets_of_experts(self, b: int) -> list[tuple[td.Distribution, ...]]:
        experts = self.experts(b)
        return [c for size in range(1, len(experts) + 1) for c in itertools.combinations(experts, size)]

    def subset_products(self, b: int) -> list[td.Distribution]:
        return [fuse(experts, [1.0] * len(experts)) for experts in self.subsets_of_experts(b)]

    def one_gaussian(self, fused) -> torch.Tensor:
        """The ELBO with a Gaussian of each item's experts."""
        content_noise, style_noise = self.noise(self.items, self.model.content_dim), self.styles()
        prior, total = standard(self.model.content_dim), torch.zeros((), dtype=torch.float64)
        for b in range(self.items):
            q = fused(self.experts(b))
            divergence = td.kl_divergence(q, prior) + self.config.beta_style * self.style_kl(b)
            total = total + self.config.beta * divergence
            total = total + self.weighted_nll(b, self.sample(q, content_noise[b]), style_noise[:, b])
        return total / self.items

    def wasserstein(self) -> torch.Tensor:
        return self.one_gaussian(barycenter)

    def hellinger(self) -> torch.Tensor:
        def moments(experts: list[td.Distribution]) -> td.Distribution:
            parts = squared(experts)
            whole = sum(weight for weight, _ in parts)
            mean = sum(weight / whole * part.mean for weight, part in parts)
            second = sum(weight / whole * (part.variance + part.mean**2) for weight, part in parts)
            return normal(mean, torch.log(second - mean**2))

        return self.one_gaussian(moments)

    def holder(self) -> torch.Tensor:
        starts = torch.rand(self.items, generator=self.generator)
        content_noise, style_noise = self.noise(self.items, self.model.content_dim), self.styles()
        prior, total = standard(self.model.content_dim), torch.zeros((), dtype=torch.float64)
        for b in range(self.items):
            parts = squared(self.experts(b))
            shares = torch.stack([weight for weight, _ in parts]) / sum(weight for weight, _ in parts)
            alike = len(self.there[b]) == 1  # such items have the same weights: one
            chosen = parts[0 if alike else int((shares.cumsum(0) <= starts[b]).sum())][1]
            divergence = sum(s * td.kl_divergence(part, prior) for s, (_, part) in zip(shares, parts, strict=True))
            total = total + self.config.beta * (divergence + self.config.beta_style * self.style_kl(b))
            total = total + self.weighted_nll(b, self.sample(chosen, content_noise[b]), style_noise[:, b])
        return total / self.items

    def mmvm(self) -> torch.Tensor:
        content_noise, style_noise = self.noise(self.count, self.items, self.model.content_dim), self.styles()
        prior_noise = self.noise(mixtures.SAMPLES, self.count, self.items, self.model.content_dim)
        prior, share, total = standard(self.model.content_dim), self.config.prior_share, 0.0
        for b, there in enumerate(self.there):
            experts = self.experts(b)
            total = total + self.config.beta * self.config.beta_style * self.style_kl(b)
            for m, q in zip(there, experts, strict=True):
                style = self.sample(self.posteriors[m][b][1], style_noise[m, b])
                nll = self.nll(m, b, self.sample(q, content_noise[m, b]), style)
                total = total + self.model.modalities[m].weight * nll
                if self.config.mixed_prior == "pairs":
                    pulled = share * td.kl_divergence(q, prior)
                    pulled = pulled + (1 - share) * sum(td.kl_divergence(q, e) for e in experts) / len(experts)
                else:
                    z = self.sample(q, prior_noise[:, m, b])
                    density = share * prior.log_prob(z).exp()
                    density = density + (1 - share) * sum(e.log_prob(z).exp() for e in experts) / len(experts)
                    pulled = (q.log_prob(z) - density.log()).mean()
                total = total + self.config.beta * pulled
        return total / self.items

    def crmvae(self) -> torch.Tensor:
        size, total = self.model.content_dim, torch.zeros((), dtype=torch.float64)
        joint_noise, own_noise, style_noise = (
            self.noise(self.items, size),
            self.noise(self.count, self.items, size),
            self.styles(),
        )
        for b, there in enumerate(self.there):
            experts = self.experts(b)
            q, share = fuse(experts, [1.0] * len(experts)), 1 / (len(experts) + 1)
            divergence = td.kl_divergence(q, standard(size)) + sum(td.kl_divergence(q, e) for e in experts)
            total = total + share * self.config.beta * (divergence + self.config.beta_style * self.style_kl(b))
            for m, expert in zip(there, experts, strict=True):
                style = self.sample(self.posteriors[m][b][1], style_noise[m, b])
                codes = self.sample(q, joint_noise[b]), self.sample(expert, own_noise[m, b])
                total = total + share / 2 * self.model.modalities[m].weight * sum(
                    self.nll(m, b, c, style) for c in codes
                )
        return total / self.items

    def dmvae(self) -> torch.Tensor:
        size = self.model.content_dim
        noises = [(self.noise(self.items, size), self.styles()) for _ in range(1 + self.count)]
        prior, total = standard(size), torch.zeros((), dtype=torch.float64)
        for b, there in enumerate(self.there):
            experts = self.experts(b)
            inferred = [fuse([*experts, prior], [1.0] * (len(experts) + 1)), *experts]
            for q, (content, style) in zip(inferred, [noises[0], *(noises[1 + m] for m in there)], strict=True):
                divergence = td.kl_divergence(q, prior) + self.config.beta_style * self.style_kl(b)
                total = total + self.config.beta * divergence
                total = total + self.weighted_nll(b, self.sample(q, content[b]), style[:, b])
        return total / self.items

    def masked_bound(self) -> torch.Tensor:
        order = torch.rand(self.count, self.items, generator=self.generator)
        last = torch.rand(self.items, generator=self.generator)
        size = self.model.content_dim
        some_noise, all_noise, style_noise = self.noise(self.items, size), self.noise(self.items, size), self.styles()
        prior, total = standard(size), torch.zeros((), dtype=torch.float64)
        for b, there in enumerate(self.there):
            kept = 1 + int(last[b] * len(there))
            some = sorted(sorted(there, key=lambda m, b=b: order[m, b])[:kept])
            part, whole = (
                fuse([*(self.posteriors[m][b][0] for m in members), prior], [1.0] * (len(members) + 1))
                for members in (some, there)
            )
            divergence = td.kl_divergence(part, prior) + td.kl_divergence(whole, part)
            total = total + self.config.beta * (divergence + self.config.beta_style * self.style_kl(b))
            for m in there:
                content = self.sample(*((part, some_noise[b]) if m in some else (whole, all_noise[b])))
                style = self.sample(self.posteriors[m][b][1], style_noise[m, b])
                total = total + self.model.modalities[m].weight * self.nll(m, b, content, style)
        return total / self.items

    def mopoe(self) -> torch.Tensor:
        return self.of_subsets(self.subset_products)

    def mixture_of_wasserstein(self) -> torch.Tensor:
        return self.of_subsets(lambda b: [barycenter(experts) for experts in self.subsets_of_experts(b)])

    def of_subsets(self, components) -> torch.Tensor:
        outnumbered = 2**self.count - 1 > self.items  # then the split among the products begins at random
        start = torch.rand((), generator=self.generator).item() if outnumbered else 0.5
        content_noise, style_noise = self.noise(self.items, self.model.content_dim), self.styles()
        prior, total = standard(self.model.content_dim), torch.zeros((), dtype=torch.float64)
        for b, there in enumerate(self.there):
            products = components(b)
            alike = [other for other in range(self.items) if self.there[other] == there]
            chosen = products[int((alike.index(b) + start) / len(alike) * len(products))]
            divergence = sum(td.kl_divergence(product, prior) for product in products) / len(products)
            content = self.sample(chosen, content_noise[b])
            total = total + self.config.beta * (divergence + self.config.beta_style * self.style_kl(b))
            total = total + self.weighted_nll(b, content, style_noise[:, b])
        return total / self.items

    def weighted_nll(self, b: int, content, style_noise) -> torch.Tensor:
        found = torch.zeros((), dtype=torch.float64)
        for m in self.there[b]:
            style = self.sample(self.posteriors[m][b][1], style_noise[m])
            found = found + self.model.modalities[m].weight * self.nll(m, b, content, style)
        return found

    def mvtcae(self) -> torch.Tensor:
        content_noise, style_noise = self.noise(self.items, self.model.content_dim), self.styles()
        alpha, total = self.config.mvtcae_alpha, torch.zeros((), dtype=torch.float64)
        for b, there in enumerate(self.there):
            experts = [self.posteriors[m][b][0] for m in there]
            joint = fuse(experts, [1.0] * len(experts))
            divergence = alpha / len(there) * sum(td.kl_divergence(joint, e) for e in experts)
            divergence = divergence + (1 - alpha) * td.kl_divergence(joint, standard(self.model.content_dim))
            content = self.sample(joint, content_noise[b])
            total = total + self.config.beta * (divergence + self.config.beta_style * self.style_kl(b))
            total = total + (len(there) - alpha) / len(there) * self.weighted_nll(b, content, style_noise[:, b])
        return total / self.items

    def log_weight(self, b: int, source: int, content, style_noise) -> torch.Tensor:
        """ln w of one code and its styles: weighted likelihoods, and beta times what the densities differ.

        In MMVAE+ the other modalities' styles, drawn from auxiliary distributions, are in no density.
        """
        config, mixture = self.config, [self.posteriors[m][b][0].log_prob(content) for m in self.there[b]]
        log_q = torch.logsumexp(torch.stack(mixture), 0) - math.log(len(mixture))
        found = config.beta * (standard(self.model.content_dim).log_prob(content) - log_q)
        for m in self.there[b]:
            q_style, modality = self.posteriors[m][b][1], self.model.modalities[m]
            inferred = m == source or not self.model.auxiliary
            if not inferred:
                q_style = normal(torch.zeros_like(q_style.mean), self.model.auxiliary_logvar[m])
            style = self.sample(q_style, style_noise[m])
            ratio = standard(self.model.style_dim).log_prob(style) - q_style.log_prob(style)
            found = found + inferred * config.beta * config.beta_style * modality.style_weight * ratio
            found = found - modality.weight * self.nll(m, b, content, style)
        return found

    def mmvae_iwae(self) -> torch.Tensor:
        k, m, b = self.config.importance_samples, self.count, self.items
        content_noise = self.noise(k, m, b, self.model.content_dim)
        style_noise = self.noise(k, m, m, b, self.model.style_dim)
        total = torch.zeros((), dtype=torch.float64)
        for b, there in enumerate(self.there):
            for source in there:
                q = self.posteriors[source][b][0]
                codes = [self.sample(q, content_noise[i, source, b]) for i in range(k)]
                weights = [self.log_weight(b, source, codes[i], style_noise[i, source, :, b]) for i in range(k)]
                total = total - (torch.logsumexp(torch.stack(weights), 0) - math.log(k)) / len(there)
        return total / self.items

    mmvae_plus = mmvae_dreg = mmvae_plus_dreg = mmvae_iwae  # the same bound; the gradient of DReG is another


def total(name: str, model: MultimodalVAE, batch: Batch, config: Config = CONFIG, seed: int = 5) -> torch.Tensor:
    return method(name).objective(model, batch, config, seeded(seed)).total


def with_something(batch: Batch) -> Batch:
    """The items of which at least one modality is there."""
    return rows_of(batch, batch.present.any(0))


# with four modalities there are more products of experts than items, among which the split begins at random
OUTNUMBERED = ("mopoe", "mixture_of_wasserstein")
LARGE = [marked((name, 4), name not in OUTNUMBERED) for name in OBJECTIVES]


@pytest.mark.parametrize(("name", "count"), [*itertools.product(OBJECTIVES, [1, 2, 3]), *LARGE])
@pytest.mark.parametrize("style", [0, 2])
@pytest.mark.parametrize("missing", [False, True])
def test_totals_by_hand(name, style, count, missing):
    model = tiny_model(count, 2, style, objective=name)
    batch = with_something(tiny_batch(count, items=11, missing=missing))
    expected = getattr(ByHand(model, batch, CONFIG, seed=5), name)()
    torch.testing.assert_close(total(name, model, batch), expected)


@pytest.mark.parametrize("style", [0, 2])
def test_unimodal_elbos_as_the_authors_code_has_them_by_hand(style):
    model, batch = tiny_model(3, 2, style), with_something(tiny_batch(3, items=11, missing=True))
    theirs = CONFIG.replace(objective="mvae", mvae_unimodal="authors")
    ours = total("mvae", model, batch)
    torch.testing.assert_close(total("mvae", model, batch, theirs), ByHand(model, batch, theirs, seed=5).mvae())
    assert not torch.isclose(total("mvae", model, batch, theirs), ours)


@pytest.mark.parametrize("style", [0, 2])
@pytest.mark.parametrize("config", MIXED, ids=lambda x: f"{x.mixed_prior}-{x.prior_share}")
def test_priors_of_mixed_posteriors_by_hand(config, style):
    model, batch = tiny_model(3, 2, style), with_something(tiny_batch(3, items=11, missing=True))
    torch.testing.assert_close(total("mmvm", model, batch, config), ByHand(model, batch, config, seed=5).mmvm())


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("prior_weight", [None, 0.6])
@pytest.mark.parametrize("choice", DYNAMIC_PRIORS)
def test_dynamic_priors_and_their_weight_by_hand(choice, prior_weight, missing):
    model, batch = tiny_model(3, 2, 1), with_something(tiny_batch(3, items=11, missing=missing))
    config = CONFIG.replace(dynamic_prior=choice, prior_weight=prior_weight)
    expected = ByHand(model, batch, config, seed=5).mmjsd()
    torch.testing.assert_close(total("mmjsd", model, batch, config), expected, rtol=1e-9, atol=0)
    same = torch.isclose(expected, total("mmjsd", model, batch, CONFIG.replace(dynamic_prior=choice)))
    assert same == (prior_weight is None or choice == "none")


@pytest.mark.parametrize("style", [0, 2])
def test_without_a_dynamic_prior_it_is_mmvae(style):
    model, batch = tiny_model(3, 2, style), tiny_batch(3, items=9, missing=True)
    ours = objectives.mmjsd(model, batch, CONFIG.replace(dynamic_prior="none"), seeded(5))
    theirs = objectives.mmvae(model, batch, CONFIG, seeded(5))
    assert ours.terms.keys() == theirs.terms.keys()
    assert all(torch.equal(ours.terms[name], theirs.terms[name]) for name in ours.terms)


def test_dynamic_priors_differ_and_only_in_the_divergence():
    model, batch = tiny_model(3, 2), tiny_batch(3)
    losses = {p: objectives.mmjsd(model, batch, CONFIG.replace(dynamic_prior=p), seeded(5)) for p in DYNAMIC_PRIORS}
    values = [loss.terms["divergence"].item() for loss in losses.values()]
    assert len({round(value, 6) for value in values}) == len(DYNAMIC_PRIORS)
    assert torch.equal(losses["geometric"].terms["nll_a"], losses["none"].terms["nll_a"])


def test_content_learns_nothing_from_where_it_came_from():
    """The values stay; stopped, an encoder learns from the divergence and from the other modalities alone."""
    for name in MIXTURES:
        model, batch = tiny_model(3, 2, 1, objective=name), tiny_batch(3, items=9)
        free = Config(beta=0.0, objective=name, importance_samples=2)
        losses = {how: total(name, model, batch, free.replace(self_content=how)) for how in ("gradient", "stopped")}
        assert torch.equal(*losses.values())
        gradients = {h: torch.autograd.grad(x, model.heads[0].layers[0].weight)[0] for h, x in losses.items()}
        assert not torch.allclose(*gradients.values()), name
        alone = batch._replace(present=(torch.arange(3) == 0).unsqueeze(1).expand(3, 9))  # nothing else to learn from
        left = torch.autograd.grad(
            total(name, model, alone, free.replace(self_content="stopped")), model.heads[0].layers[0].weight
        )[0]
        assert left.abs().max() == 0, name
    with pytest.raises(ValueError, match=r"self_content 'stopped' is a choice of mmjsd and .*: mvae draws its content"):
        Config(objective="mvae", self_content="stopped")


# ------------------------------------------------------------------------------- masks against physically smaller ones


@pytest.fixture
def means_drawn(monkeypatch):
    """Every draw is its distribution's mean, whatever the order of the draws; no split begins at random."""
    monkeypatch.setattr(Gaussian, "_noise", lambda self, generator: torch.zeros_like(self.mean))
    monkeypatch.setattr(Mixture, "_start", lambda self, generator: 0.5)
    monkeypatch.setattr(products, "random_subset", lambda present, generator: present & (present.cumsum(0) == 1))


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("style", [0, 1])
@pytest.mark.parametrize("keep", [[0], [2], [0, 1], [0, 2], [1, 2]])
def test_absent_modalities_are_a_smaller_model(name, style, keep, means_drawn):
    model, batch = tiny_model(3, 2, style, objective=name), tiny_batch(3)
    absent = torch.tensor([m in keep for m in range(3)])[:, None].expand(3, 7).contiguous()
    small_batch = Batch(tuple(batch.values[m] for m in keep), batch.present[keep], batch.labels)
    small = total(name, fewer_modalities(model, keep), small_batch)
    torch.testing.assert_close(total(name, model, batch._replace(present=absent)), small)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("style", [0, 1])
def test_a_mixed_batch_is_its_patterns_one_by_one(name, style, means_drawn):
    model, batch = tiny_model(3, 2, style, objective=name), tiny_batch(3, items=21, missing=True)
    codes = (batch.present * torch.tensor([[1], [2], [4]])).sum(0)
    parts = [rows_of(batch, codes == code) for code in codes.unique()]
    assert len(parts) == 8
    expected = sum(total(name, model, part) * part.size for part in parts) / 21
    torch.testing.assert_close(total(name, model, batch), expected)


@EVERY
@pytest.mark.parametrize("style", [0, 1])
def test_absent_values_reach_neither_loss_nor_gradient(name, config, style):
    batch = tiny_batch(3, items=9, missing=True)
    results = []
    for given in (batch, spoiled(batch)):
        model = tiny_model(3, 2, style, objective=name)
        loss = total(name, model, given, config)
        loss.backward()
        results.append([loss.detach(), *(p.grad for p in model.parameters())])
    for clean, dirty in zip(*results, strict=True):
        assert torch.isfinite(dirty).all() and torch.equal(clean, dirty)


@EVERY
@pytest.mark.parametrize("prior_weight", [None, 0.0])
def test_an_item_without_any_modality_costs_nothing(name, config, prior_weight):
    batch = tiny_batch(3)._replace(present=torch.zeros(3, 7, dtype=torch.bool))
    model = tiny_model(3, 2, 1, objective=name)
    loss = total(name, model, batch, config.replace(prior_weight=prior_weight))
    assert loss.item() == pytest.approx(0, abs=1e-12)


# ------------------------------------------------------------------------------------------------ weights and gradients


@pytest.mark.parametrize(
    "name", [name for name in CLOSED if name not in ("mvtcae", "crmvae")]
)  # which weigh reconstructions
@pytest.mark.parametrize("style", [0, 2])
def test_total_is_the_weighted_sum_of_its_terms(name, style):
    model, batch = tiny_model(3, 2, style), tiny_batch(3, items=9, missing=True)
    terms = {}
    for beta, beta_style in ((1.0, 1.0), (5.0, 3.0), (0.0, 2.0)):
        loss = METHODS[name].objective(model, batch, Config(beta=beta, beta_style=beta_style), seeded())
        terms = {key: value.item() for key, value in loss.terms.items()}
        expected = 1.5 * terms["nll_a"] + 1.0 * terms["nll_b"] + 20.0 * terms["nll_c"]
        styles = sum(weight * terms.get(f"kl_style_{m}", 0.0) for m, weight in zip("abc", (1, 2, 5), strict=True))
        expected += beta * (terms["divergence"] + beta_style * styles)
        assert loss.total.item() == terms["total"] == pytest.approx(expected, rel=1e-12)
        assert not any(value.requires_grad for value in loss.terms.values())
    assert len(terms) == 5 + (3 if style else 0)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if "dreg" not in name])  # whose gradient is another
@pytest.mark.parametrize("style", [marked(0, True), 1])
def test_gradients_are_those_of_finite_differences(name, style):
    model, batch = tiny_model(2, 1, style, objective=name), with_something(tiny_batch(2, items=3, missing=True))
    names, values = zip(*model.named_parameters(), strict=True)

    class Driven(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self) -> torch.Tensor:
            return total(name, self.model, batch)

    def of_parameters(*tensors: torch.Tensor) -> torch.Tensor:
        named = {f"model.{key}": tensor for key, tensor in zip(names, tensors, strict=True)}
        return torch.func.functional_call(Driven(), named, ())

    assert torch.autograd.gradcheck(of_parameters, [v.detach().requires_grad_() for v in values])


@EVERY
def test_every_parameter_is_trained(name, config):
    model = tiny_model(3, 2, 2, objective=name)
    total(name, model, tiny_batch(3), config).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_generator_alone_draws_the_noise(name):
    model, batch = tiny_model(3, 2, 1, objective=name), tiny_batch(3)
    torch.manual_seed(0)
    first = total(name, model, batch)
    torch.manual_seed(1)
    assert torch.equal(first, total(name, model, batch))
    assert not torch.equal(first, total(name, model, batch, seed=6))


# ----------------------------------------------------------------------------------------------------------- the table


def test_the_table_of_methods():
    rows = {name: (m.label, m.posterior, m.inference) for name, m in METHODS.items()}
    assert rows == {
        "mvae": ("MVAE", "product", ("product",)),
        "mmvae": ("MMVAE", "mixture", ("mixture",)),
        "mmjsd": ("mmJSD", "mixture", ("dynamic_prior", "mixture")),
        "mmvae_iwae": ("MMVAE (IWAE)", "mixture", ("mixture",)),
        "mmvae_dreg": ("MMVAE (DReG)", "mixture", ("mixture",)),
        "mopoe": ("MoPoE", "mixture_of_products", ("product_alone", "mixture_of_products")),
        "mvtcae": ("MVTCAE", "product_alone", ("product_alone",)),
        "mmvm": ("MMVM", "mixture", ("mixture",)),
        "mmvae_plus": ("MMVAE+", "mixture", ("mixture",)),
        "mmvae_plus_dreg": ("MMVAE+ (DReG)", "mixture", ("mixture",)),
        "hellinger": ("Hellinger", "hellinger", ("hellinger",)),
        "holder": ("Hölder", "holder", ("holder",)),
        "wasserstein": ("Wasserstein", "wasserstein", ("wasserstein",)),
        "mixture_of_wasserstein": ("MWB", "mixture_of_wasserstein", ("wasserstein", "mixture_of_wasserstein")),
        "crmvae": ("CRMVAE", "product_alone", ("product_alone",)),
        "dmvae": ("DMVAE", "product", ("product",)),
        "masked_bound": ("Masked bound", "product", ("product",)),
    }
    for name, row in METHODS.items():
        assert row.objective.__name__ == name and method(name) is row
    with pytest.raises(
        ValueError,
        match="unknown objective 'elbo': choose one of mvae, mmvae, mmjsd, mmvae_iwae, mmvae_dreg, mopoe, mvtcae, mmvm",
    ):
        method("elbo")


def test_masked():
    values, present = torch.tensor([[1.0, 2.0], [3.0, float("nan")]]), torch.tensor([[True, False], [True, False]])
    assert masked(values, present).tolist() == [[1.0, 0.0], [3.0, 0.0]]
