"""Sliders around pictures: a pure `draw_...` for each explorer, and widgets that call it again when a value changes.

The picture is an Image widget, redrawn on `observe`, so an explorer is silent until it is touched. No maths here.
"""

import io
from collections.abc import Sequence

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure

from workbench.claims import lemma_2_terms
from workbench.distributions import Gaussian, Mixture
from workbench.divergences import geometric_mean, jensen_shannon_bounds
from workbench.fusion import with_prior
from workbench.plotting_theory import bell_curves


def draw_divergences(means: Sequence[float], deviations: Sequence[float], prior_weight: float = 0.25) -> Figure:
    """Posteriors N(mean, deviation^2) with p(z) = N(0, 1): their two dynamic priors and what they cost, in nats."""
    column = torch.tensor(list(zip(means, deviations, strict=True)), dtype=torch.float64)
    experts = Gaussian(column[:, None, :1], 2 * column[:, None, 1:].log())
    everyone, count = with_prior(experts), len(means)
    weights = torch.tensor([(1 - prior_weight) / count] * count + [prior_weight], dtype=torch.float64)
    terms = lemma_2_terms(experts, prior_weight)
    low, high = jensen_shannon_bounds(everyone, weights)
    numbers = {
        "JS geometric": terms["JS_G"].item(),
        "JS arithmetic, upper bound": high.item(),
        "JS arithmetic": terms["JS_A"].item(),
        "JS arithmetic, lower bound": low.item(),
        "KL(q || p)": terms["KL(q || p)"].item(),
    }
    return bell_curves(*densities(everyone, weights), numbers)


def densities(everyone: Gaussian, weights: torch.Tensor) -> tuple:
    """A grid of codes, the densities of the experts and of their two means on it."""
    z = torch.linspace(-6, 6, 601, dtype=torch.float64)
    grid = z.view(-1, 1, 1)
    names = [f"q{m}" for m in range(1, len(weights))] + ["p"]
    experts = {name: everyone[k].log_prob(grid).exp().flatten() for k, name in enumerate(names)}
    pi = weights.unsqueeze(1)
    means = {"arithmetic": Mixture(everyone, pi), "geometric": geometric_mean(everyone, pi)}
    return z, experts, {name: mean.log_prob(grid).exp().flatten() for name, mean in means.items()}


def to_png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=96)
    return buffer.getvalue()


def explore_divergences(count: int = 3) -> widgets.VBox:
    """Sliders for the means and standard deviations of `count` posteriors and the weight of p(z), and the picture."""
    starts = torch.linspace(-1.5, 1.5, count).tolist()
    means = [_slider(f"mean {m}", start, -4.0, 4.0) for m, start in enumerate(starts, start=1)]
    deviations = [_slider(f"deviation {m}", 0.6, 0.1, 3.0) for m in range(1, count + 1)]
    prior = _slider("weight of p", 1 / (count + 1), 0.02, 0.9)
    picture = widgets.Image(format="png")

    def redraw(*_: object) -> None:
        figure = draw_divergences([s.value for s in means], [s.value for s in deviations], prior.value)
        picture.value = to_png(figure)

    for slider in (*means, *deviations, prior):
        slider.observe(redraw, names="value")
    redraw()
    return widgets.VBox([widgets.HBox(means), widgets.HBox(deviations), prior, picture])


def _slider(description: str, value: float, low: float, high: float) -> widgets.FloatSlider:
    return widgets.FloatSlider(value, min=low, max=high, step=0.02, description=description, continuous_update=False)
