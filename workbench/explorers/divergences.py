"""Sliders around pictures: a pure `draw_...` for each explorer, and widgets that call it again when a value changes.

The picture is an Image widget, redrawn on `observe`, so an explorer is silent until it is touched. The only maths here
is a mean of densities on a grid, `pooled`.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as widgets
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from workbench.distributions import Gaussian, Mixture
from workbench.divergences import geometric_mean, jensen_shannon_bounds, jensen_shannon_wasserstein, wasserstein_mean
from workbench.explorers.controls import choice, named, on_change, row, slider
from workbench.fusion import dynamic_prior_weights, with_prior
from workbench.plotting.curves import bell_curves
from workbench.plotting.family import BESIDE, POOLED, dial
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


def densities(everyone: Gaussian, weights: Tensor) -> tuple:
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


# The dial

# Three posteriors in two dimensions, (mean, deviation) of each: what the dial is turned on.
EXPERTS = {
    "two agree": (((-1.5, 0.6), (-0.9, -0.5), (2.0, 0.4)), ((0.5, 0.7), (0.6, 0.45), (0.6, 0.5))),
    "all apart": (((-2.2, -1.0), (0.2, 1.5), (2.2, -0.8)), ((0.45, 0.5), (0.45, 0.4), (0.5, 0.5))),
    "one is sure": (((-1.6, 0.2), (1.4, 1.1), (1.0, -1.2)), ((0.2, 0.25), (1.0, 0.8), (0.9, 0.7))),
    "all agree": (((0.9, 0.4), (1.0, 0.5), (1.1, 0.4)), ((0.5, 0.5), (0.55, 0.5), (0.5, 0.6))),
}
ORDERS = torch.linspace(0, 1, 21, dtype=torch.float64)
LINE = torch.linspace(-9, 9, 901, dtype=torch.float64)
PLANE = torch.linspace(-6, 6, 161, dtype=torch.float64)


@dataclass(frozen=True)
class Pooled:
    """A normalised mean of densities on a grid, and numbers of it, in nats where they are entropies and divergences."""

    density: Float[Tensor, "nodes"]
    mean: Float[Tensor, "latent"]
    variance: Float[Tensor, "latent"]
    entropy: Float[Tensor, ""]
    js: Float[Tensor, ""]  # sum_k w_k KL(q_k || mean)


def pooled(experts: Gaussian, weights: Float[Tensor, "K"], power: float, axis: Float[Tensor, "n"] = LINE) -> Pooled:
    """Pool K experts `[K, latent]` by the mean of order `power` in [0, 1], by quadrature: (sum_k w_k q_k^a)^(1/a).

    `axis` are even nodes along each of one or two dimensions, wide enough for all experts (else the
    tails are cut off); ValueError for more. Sums have ten digits where the spacing is below half of every deviation.
    """
    if (latent := experts.mean.shape[-1]) > 2:
        raise ValueError(f"a grid is for 1 or 2 dimensions, not {latent}: use divergences.jensen_shannon_power")
    z, cell = torch.cartesian_prod(*[axis] * latent).view(-1, latent), (axis[1] - axis[0]) ** latent
    log_q = experts.log_prob(z.unsqueeze(1))  # [nodes, K]
    log_mean = log_q @ weights if power == 0 else torch.logsumexp(weights.log() + power * log_q, 1) / power
    log_mean = log_mean - torch.logsumexp(log_mean, 0) - cell.log()
    density = log_mean.exp()
    mean = cell * density @ z
    js = cell * (log_q.exp() * (log_q - log_mean.unsqueeze(1))).sum(0) @ weights
    return Pooled(density, mean, cell * density @ (z - mean) ** 2, -cell * density @ log_mean, js)


def dial_experts(
    means: Sequence[Sequence[float]], deviations: Sequence[Sequence[float]]
) -> tuple[Gaussian, Float[Tensor, "K"]]:
    """Stack posteriors and, last, p(z) = N(0, I), with equal weights."""
    mean, deviation = (torch.tensor(x, dtype=torch.float64) for x in (means, deviations))
    experts = with_prior(Gaussian(mean, 2 * deviation.log()))
    return experts, torch.full((len(experts.mean),), 1 / len(experts.mean), dtype=torch.float64)


def draw_dial(power: float, means: Sequence[Sequence[float]], deviations: Sequence[Sequence[float]]) -> Figure:
    """Draw posteriors in two dimensions, p(z), their mean of order `power` and their Wasserstein barycenter.

    The first coordinates alone make the picture in one dimension, and the curves of divergence and entropy.
    """
    experts, weights = dial_experts(means, deviations)
    first = Gaussian(experts.mean[:, :1], experts.logvar[:, :1])
    names = [*(f"q{m}" for m in range(1, len(weights))), "p"]
    beside, on_line = wasserstein_mean(experts, weights), wasserstein_mean(first, weights)
    line = {name: first[k].log_prob(LINE.unsqueeze(1)).exp() for k, name in enumerate(names)}
    line |= {POOLED: pooled(first, weights, power).density, BESIDE: on_line.log_prob(LINE.unsqueeze(1)).exp()}
    shown = LINE.abs() <= 5
    stack = {**{name: experts[k] for k, name in enumerate(names)}, BESIDE: beside}
    ellipses = {name: (q.mean.tolist(), (q.logvar / 2).exp().tolist()) for name, q in stack.items()}
    turned = [pooled(first, weights, a) for a in ORDERS.tolist()]
    js = torch.stack([x.js for x in turned]), jensen_shannon_wasserstein(first, weights).item()
    entropy = torch.stack([x.entropy for x in turned]), on_line.entropy().item()
    along = {name: (ORDERS, x[0], power, x[1]) for name, x in (("divergence JS", js), ("entropy", entropy))}
    plane = pooled(experts, weights, power, PLANE).density.view(len(PLANE), len(PLANE))
    return dial(LINE[shown], {name: x[shown] for name, x in line.items()}, (PLANE, plane), ellipses, along)


def explore_dial() -> widgets.VBox:
    """Turn the dial from the geometric mean to the arithmetic one, on a few sets of posteriors."""
    order = slider("order a", 0.0, 0.0, 1.0, 0.05)
    experts = choice("posteriors", [*EXPERTS], 106)
    # no larger than it is drawn: the slider and all of it are to be seen together
    picture = widgets.Image(format="png", layout=widgets.Layout(width="653px", align_self="flex-start"))

    def redraw(*_: object) -> None:
        picture.value = to_png(draw_dial(order.value, *EXPERTS[experts.value]))

    on_change([order, experts], redraw)
    redraw()
    said = "Densities of three posteriors, p(z), their mean of order a and barycenter; divergence and entropy along a."
    return named(widgets.VBox([row(order, experts), picture]), said)
