"""The objectives against a loop over items written from the equations, with torch.distributions for every density."""

import itertools
import math

import pytest
import torch
import torch.distributions as td
from helpers import fewer_modalities, is_text, marked, rows_of, seeded, spoiled, tiny_batch, tiny_model

from workbench import objectives
from workbench.config import DYNAMIC_PRIORS, Config
from workbench.data.dataset import Batch
from workbench.distributions import Gaussian, Mixture
from workbench.losses import masked
from workbench.model import MultimodalVAE
from workbench.objectives import METHODS, method

OBJECTIVES = sorted(METHODS)
SAMPLED = ("mmvae_dreg", "mmvae_iwae")
CLOSED = [name for name in OBJECTIVES if name not in SAMPLED]  # those whose divergences are closed forms
CONFIG = Config(beta=2.5, beta_style=1.7, importance_samples=3, mvtcae_alpha=0.7)
PRIORS = [CONFIG.replace(dynamic_prior=choice) for choice in DYNAMIC_PRIORS if choice != CONFIG.dynamic_prior]
EVERY = pytest.mark.parametrize(
    ("name", "config"), [(name, CONFIG) for name in OBJECTIVES] + [("mmjsd", config) for config in PRIORS]
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
        mean = fuse(experts, pi)
        return sum(w * td.kl_divergence(e, mean) for w, e in zip(pi, experts, strict=True))

    def to_arithmetic_mean(self, experts: list, pi: list[float], noise: torch.Tensor) -> torch.Tensor:
        """sum_k pi_k E_{q_k}[ln q_k - ln sum_j pi_j q_j], by draws `[draws, experts, latent]`."""
        normals = td.Normal(*(torch.stack([getattr(e.base_dist, x) for e in experts]) for x in ("loc", "scale")))
        mixture = td.MixtureSameFamily(td.Categorical(torch.tensor(pi).double()), td.Independent(normals, 1))
        draws = [self.sample(e, u) for e, u in zip(experts, noise.unbind(1), strict=True)]
        return sum(w * (e.log_prob(z) - mixture.log_prob(z)).mean() for w, e, z in zip(pi, experts, draws, strict=True))

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
        if self.config.dynamic_prior == "arithmetic":
            draws = objectives.ARITHMETIC_SAMPLES
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
        total = config.beta * td.kl_divergence(product, prior)
        for m in shown:
            modality, style = self.model.modalities[m], self.posteriors[m][b][1]
            total = total + modality.weight * self.nll(m, b, content, self.sample(style, style_noise[m][b]))
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

    def subset_products(self, b: int) -> list[td.Distribution]:
        there = self.there[b]
        subsets = [c for size in range(1, len(there) + 1) for c in itertools.combinations(there, size)]
        return [fuse([self.posteriors[m][b][0] for m in subset], [1.0] * len(subset)) for subset in subsets]

    def mopoe(self) -> torch.Tensor:
        outnumbered = 2**self.count - 1 > self.items  # then the split among the products begins at random
        start = torch.rand((), generator=self.generator).item() if outnumbered else 0.5
        content_noise, style_noise = self.noise(self.items, self.model.content_dim), self.styles()
        prior, total = standard(self.model.content_dim), torch.zeros((), dtype=torch.float64)
        for b, there in enumerate(self.there):
            products = self.subset_products(b)
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

    def log_weight(self, b: int, content, style_noise) -> torch.Tensor:
        """ln w of one code and its styles: weighted likelihoods, and beta times what the densities differ."""
        config, mixture = self.config, [self.posteriors[m][b][0].log_prob(content) for m in self.there[b]]
        log_q = torch.logsumexp(torch.stack(mixture), 0) - math.log(len(mixture))
        found = config.beta * (standard(self.model.content_dim).log_prob(content) - log_q)
        for m in self.there[b]:
            q_style, weight = self.posteriors[m][b][1], self.model.modalities[m].style_weight
            style = self.sample(q_style, style_noise[m])
            ratio = standard(self.model.style_dim).log_prob(style) - q_style.log_prob(style)
            found = found + config.beta * config.beta_style * weight * ratio
        return found - self.weighted_nll(b, content, style_noise)

    def mmvae_iwae(self) -> torch.Tensor:
        k, m, b = self.config.importance_samples, self.count, self.items
        content_noise = self.noise(k, m, b, self.model.content_dim)
        style_noise = self.noise(k, m, m, b, self.model.style_dim)
        total = torch.zeros((), dtype=torch.float64)
        for b, there in enumerate(self.there):
            for source in there:
                q = self.posteriors[source][b][0]
                codes = [self.sample(q, content_noise[i, source, b]) for i in range(k)]
                weights = [self.log_weight(b, codes[i], style_noise[i, source, :, b]) for i in range(k)]
                total = total - (torch.logsumexp(torch.stack(weights), 0) - math.log(k)) / len(there)
        return total / self.items

    mmvae_dreg = mmvae_iwae  # the same bound; its gradient is another


def total(name: str, model: MultimodalVAE, batch: Batch, config: Config = CONFIG, seed: int = 5) -> torch.Tensor:
    return method(name).objective(model, batch, config, seeded(seed)).total


def with_something(batch: Batch) -> Batch:
    """The items of which at least one modality is there."""
    return rows_of(batch, batch.present.any(0))


# with four modalities there are more products of experts than items, among which the split begins at random
LARGE = [marked((name, 4), name != "mopoe") for name in OBJECTIVES]


@pytest.mark.parametrize(("name", "count"), [*itertools.product(OBJECTIVES, [1, 2, 3]), *LARGE])
@pytest.mark.parametrize("style", [0, 2])
@pytest.mark.parametrize("missing", [False, True])
def test_totals_by_hand(name, style, count, missing):
    model = tiny_model(count, 2, style)
    batch = with_something(tiny_batch(count, items=11, missing=missing))
    expected = getattr(ByHand(model, batch, CONFIG, seed=5), name)()
    torch.testing.assert_close(total(name, model, batch), expected)


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
    assert len({round(value, 6) for value in values}) == 3
    assert torch.equal(losses["geometric"].terms["nll_a"], losses["none"].terms["nll_a"])


# ------------------------------------------------------------------------------- masks against physically smaller ones


@pytest.fixture
def means_drawn(monkeypatch):
    """Every draw is its distribution's mean, whatever the order of the draws; no split begins at random."""
    monkeypatch.setattr(Gaussian, "_noise", lambda self, generator: torch.zeros_like(self.mean))
    monkeypatch.setattr(Mixture, "_start", lambda self, generator: 0.5)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("style", [0, 1])
@pytest.mark.parametrize("keep", [[0], [2], [0, 1], [0, 2], [1, 2]])
def test_absent_modalities_are_a_smaller_model(name, style, keep, means_drawn):
    model, batch = tiny_model(3, 2, style), tiny_batch(3)
    absent = torch.tensor([m in keep for m in range(3)])[:, None].expand(3, 7).contiguous()
    small_batch = Batch(tuple(batch.values[m] for m in keep), batch.present[keep], batch.labels)
    small = total(name, fewer_modalities(model, keep), small_batch)
    torch.testing.assert_close(total(name, model, batch._replace(present=absent)), small)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("style", [0, 1])
def test_a_mixed_batch_is_its_patterns_one_by_one(name, style, means_drawn):
    model, batch = tiny_model(3, 2, style), tiny_batch(3, items=21, missing=True)
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
        model = tiny_model(3, 2, style)
        loss = total(name, model, given, config)
        loss.backward()
        results.append([loss.detach(), *(p.grad for p in model.parameters())])
    for clean, dirty in zip(*results, strict=True):
        assert torch.isfinite(dirty).all() and torch.equal(clean, dirty)


@EVERY
@pytest.mark.parametrize("prior_weight", [None, 0.0])
def test_an_item_without_any_modality_costs_nothing(name, config, prior_weight):
    batch = tiny_batch(3)._replace(present=torch.zeros(3, 7, dtype=torch.bool))
    loss = total(name, tiny_model(3, 2, 1), batch, config.replace(prior_weight=prior_weight))
    assert loss.item() == pytest.approx(0, abs=1e-12)


# ------------------------------------------------------------------------------------------------ weights and gradients


@pytest.mark.parametrize("name", [name for name in CLOSED if name != "mvtcae"])  # which weighs reconstructions less
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


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "mmvae_dreg"])  # whose gradient is another
@pytest.mark.parametrize("style", [marked(0, True), 1])
def test_gradients_are_those_of_finite_differences(name, style):
    model, batch = tiny_model(2, 1, style), with_something(tiny_batch(2, items=3, missing=True))
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
    model = tiny_model(3, 2, 2)
    total(name, model, tiny_batch(3), config).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_generator_alone_draws_the_noise(name):
    model, batch = tiny_model(3, 2, 1), tiny_batch(3)
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
    }
    for name, row in METHODS.items():
        assert row.objective.__name__ == name and method(name) is row
    with pytest.raises(
        ValueError,
        match="unknown objective 'elbo': choose one of mvae, mmvae, mmjsd, mmvae_iwae, mmvae_dreg, mopoe, mvtcae",
    ):
        method("elbo")


def test_masked():
    values, present = torch.tensor([[1.0, 2.0], [3.0, float("nan")]]), torch.tensor([[True, False], [True, False]])
    assert masked(values, present).tolist() == [[1.0, 0.0], [3.0, 0.0]]
