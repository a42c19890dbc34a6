"""Linear and Gaussian models with evidence in closed form: of three modalities of one number each, and of tables."""

import math

import torch
from helpers import seeded

from workbench.data.dataset import Batch, MultimodalDataset
from workbench.distributions import Gaussian
from workbench.modality import Modality, modalities_of
from workbench.model import MultimodalVAE
from workbench.networks.general import Beside
from workbench.theory.linear_gaussian import LinearGaussian

SLOPE = 2.5  # of labels of tables: p(1 | c) = sigmoid(SLOPE c)
LOADINGS, NOISE, STYLE_LOADINGS = (1.0, -0.8, 0.5), (0.5, 1.0, 0.3), (0.7, 0.4, -0.6)


class GaussianLikelihood:
    """x ~ N(output, noise), so that the whole model is linear and Gaussian."""

    def __init__(self, noise: float) -> None:
        self.noise = noise

    def log_prob(self, output, x):
        return Gaussian(output, torch.full_like(output, math.log(self.noise))).log_prob(x)

    def mean(self, output):
        return output

    def sample(self, output, generator=None):
        return output + self.noise**0.5 * torch.randn(output.shape, generator=generator, dtype=output.dtype)


class Line(torch.nn.Module):
    """Encoder and decoder of one number: the number itself, or a linear map of the code."""

    features = 1

    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(size, 1)

    def forward(self, x):
        return self.layer(x)


def linear_model(style: int, noises: tuple[float, ...] = NOISE) -> tuple[MultimodalVAE, LinearGaussian]:
    """A model of three modalities of one number each whose evidence is known, with posteriors that are not exact."""
    modalities = [
        Modality(n, n.upper(), (1,), Line, Line, GaussianLikelihood(v)) for n, v in zip("abc", noises, strict=True)
    ]
    model = MultimodalVAE(modalities, 1, style).double()
    for m, (encoder, heads, decoder) in enumerate(zip(model.encoders, model.heads, model.decoders, strict=True)):
        exact = 1 / (1 + LOADINGS[m] ** 2 / noises[m])
        values = [(exact * LOADINGS[m] / noises[m], 0.1), (0.0, math.log(2 * exact)), (0.3, 0.0), (0.0, 0.1)]
        for layer, (slope, shift) in zip([encoder.layer, *heads.layers], [(1.0, 0.0), *values], strict=False):
            torch.nn.init.constant_(layer.weight, slope)
            torch.nn.init.constant_(layer.bias, shift)
        row = [STYLE_LOADINGS[m], LOADINGS[m]] if style else [LOADINGS[m]]
        decoder.layer.weight.data.copy_(torch.tensor([row]))
        torch.nn.init.constant_(decoder.layer.bias, 0.2 * m)
    column = [torch.tensor([[w]]).double() for w in LOADINGS]
    variances = [n + (STYLE_LOADINGS[m] ** 2 if style else 0) for m, n in enumerate(noises)]  # a style is more noise
    biases, logvars = (
        [torch.tensor([v]).double() for v in part] for part in ((0.0, 0.2, 0.4), map(math.log, variances))
    )
    return model, LinearGaussian(tuple(column), tuple(biases), tuple(logvars))


def linear(style: int, items: int, noises: tuple[float, ...] = NOISE) -> tuple[MultimodalVAE, LinearGaussian, Batch]:
    """Such a model, what it is exactly, and items of it."""
    model, exact = linear_model(style, noises)
    _, values = exact.sample(items, seeded(3))
    present = torch.ones(3, items, dtype=torch.bool)
    return model, exact, Batch(values, present, torch.zeros(items, dtype=torch.long))


class HandedOn(torch.nn.Module):
    """An encoder that hands a table of three columns on, for heads that are set by hand."""

    features = 3

    def forward(self, x):
        return x


def linear_decoder(code_dim: int) -> torch.nn.Module:
    """A linear map of the code to three columns, and their deviations."""
    return torch.nn.Sequential(torch.nn.Linear(code_dim, 3), Beside((3,)))


def exact_model(train: MultimodalDataset, exact: LinearGaussian, style_dim: int = 0) -> MultimodalVAE:
    """A model on tables of three columns whose product of experts is the posterior of `exact`, of one latent dimension.

    The product with p(z) is exact where expert m has the precision w' w / v and the mean w' (x - b) / w' w of the
    likelihood as a function of the content.
    """
    networks = dict.fromkeys(train.modalities, (HandedOn, linear_decoder))
    model = MultimodalVAE(modalities_of(train, networks=networks), 1, style_dim)
    for m, (w, b, logvar) in enumerate(zip(exact.loadings, exact.biases, exact.logvars, strict=True)):
        w, b, logvar = w.float(), b.float(), logvar.float()
        precision = (w.T @ w).item() / math.exp(logvar[0])
        mean, spread = model.heads[m].layers[:2]
        mean.weight.data, mean.bias.data = w.T / (w.T @ w), -(b @ w) / (w.T @ w).squeeze(0)
        spread.weight.data.zero_(), spread.bias.data.fill_(-math.log(precision))
        linear, beside = model.decoders[m]
        linear.weight.data = torch.cat([torch.zeros(3, style_dim), w], 1)
        linear.bias.data, beside.number.data = b, logvar / 2
    return model.eval()


def table_world(items: int = 60, noise: tuple[float, ...] = (1.0, 0.6, 2.0), seed: int = 0, labels: bool = False):
    """Model, its closed form and both parts of data of it: tables of three columns that share one dimension."""
    generator = seeded(seed)
    # columns of deviation one, whose noise is alike: standardising changes them little, and all of a table alike
    signs = torch.tensor([[1.0], [-1.0], [1.0]]).double()
    loadings = [signs / math.sqrt(1 + v) for v in noise]
    logvars = [torch.full((3,), v / (1 + v)).double().log() for v in noise]
    exact = LinearGaussian(tuple(loadings), tuple(torch.zeros(3).double() for _ in loadings), tuple(logvars))
    z, x = exact.sample(items, generator)
    y = torch.bernoulli(torch.sigmoid(SLOPE * z[:, 0]), generator=generator).long().numpy() if labels else None
    train, test = MultimodalDataset.from_arrays(
        {name: values.numpy() for name, values in zip("abc", x, strict=True)}, labels=y, split=0.5
    )
    # the data set standardises: the same model in its units
    scales = [torch.tensor(e.scale).double() for e in train.encodings]
    means = [torch.tensor(e.mean).double() for e in train.encodings]
    return _standardised(exact, scales, means), train, test


def _standardised(exact: LinearGaussian, scales, means) -> LinearGaussian:
    """The model in standardised units, of one deviation a table, which `exact_model` needs."""
    one = [s.mean() for s in scales]
    loadings = tuple(w / s for w, s in zip(exact.loadings, one, strict=True))
    biases = tuple((b - m) / s for b, m, s in zip(exact.biases, means, one, strict=True))
    logvars = tuple(v - 2 * s.log() for v, s in zip(exact.logvars, one, strict=True))
    return LinearGaussian(loadings, biases, logvars)
