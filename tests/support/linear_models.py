"""Linear and Gaussian models of three modalities of one number each, whose evidence is known in closed form."""

import math

import torch
from helpers import seeded

from workbench.data.dataset import Batch
from workbench.distributions import Gaussian
from workbench.modality import Modality
from workbench.model import MultimodalVAE
from workbench.theory.linear_gaussian import LinearGaussian

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
