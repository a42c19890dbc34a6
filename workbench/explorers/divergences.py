"""Sliders around pictures: a pure `draw_...` for each explorer, and widgets that call it again when a value changes.

The picture is an Image widget, redrawn on `observe`, so an explorer is silent until it is touched. No maths here.
"""

import io
from collections.abc import Sequence

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure

from workbench.distributions import Gaussian, Mixture
from workbench.divergences import geometric_mean, jensen_shannon_bounds
from workbench.explorers.controls import named, on_change, slider
from workbench.fusion import dynamic_prior_weights, with_prior
from workbench.plotting.curves import bell_curves
from workbench.theory.statements import lemma_2_terms


def draw_divergences(means: Sequence[float], deviations: Sequence[float], prior_weight: float = 0.25) -> Figure:
    """Draw posteriors N(mean, deviation^2), p(z) = N(0, 1), both dynamic priors, and what they cost in nats."""
    mean, deviation = (torch.tensor(x, dtype=torch.float64)[:, None, None] for x in (means, deviations))
    experts = Gaussian(mean, 2 * deviation.log())
    everyone, present = with_prior(experts), torch.ones(len(means), 1, dtype=torch.bool)
    weights = dynamic_prior_weights(present, prior_weight, torch.float64).flatten()
    terms = lemma_2_terms(experts, prior_weight)
    low, high = jensen_shannon_bounds(everyone, weights)
    numbers = {
        "JS geometric": terms["JS_G"],
        "JS arithmetic, upper bound": high,
        "JS arithmetic": terms["JS_A"],
        "JS arithmetic, lower bound": low,
        "KL(q || p)": terms["KL(q || p)"],
    }
    return bell_curves(*densities(everyone, weights), {name: x.item() for name, x in numbers.items()})


def densities(everyone: Gaussian, weights: torch.Tensor) -> tuple:
    """Return a grid of codes, the densities of the experts and of their two means on it."""
    z = torch.linspace(-6, 6, 601, dtype=torch.float64)
    grid = z.view(-1, 1, 1)
    names = [f"q{m}" for m in range(1, len(weights))] + ["p"]
    experts = {name: everyone[k].log_prob(grid).exp().flatten() for k, name in enumerate(names)}
    pi = weights.unsqueeze(1)
    means = {"arithmetic": Mixture(everyone, pi), "geometric": geometric_mean(everyone, pi)}
    return z, experts, {name: mean.log_prob(grid).exp().flatten() for name, mean in means.items()}


def to_png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=96)
    return buffer.getvalue()


def explore_divergences() -> widgets.VBox:
    """Move two or three posteriors by hand: sliders for means, standard deviations and the weight of p(z)."""
    count = widgets.ToggleButtons(options=[2, 3], value=3, description="posteriors")
    means = [slider(f"mean {m}", start, -4.0, 4.0) for m, start in enumerate((-1.5, 0.0, 1.5), start=1)]
    deviations = [slider(f"deviation {m}", 0.6, 0.1, 3.0) for m in (1, 2, 3)]
    prior = slider("weight of p", 0.25, 0.02, 0.9)
    picture = widgets.Image(format="png")

    def redraw(*_: object) -> None:
        shown = slice(count.value)
        for control in (means[2], deviations[2]):
            control.disabled = count.value == 2
        values = [[control.value for control in row[shown]] for row in (means, deviations)]
        picture.value = to_png(draw_divergences(*values, prior.value))

    on_change([count, *means, *deviations, prior], redraw)
    redraw()
    rows = [count, widgets.HBox(means), widgets.HBox(deviations), prior, picture]
    return named(widgets.VBox(rows), "Densities of the posteriors, p(z) and their two means; bars of the divergences.")
