"""Explorers: the pure drawing against the package's numbers, and the widgets redrawing when a slider moves."""

import io

import pytest
import torch
from PIL import Image

from workbench import divergences, explorers, quadrature
from workbench.distributions import Gaussian
from workbench.fusion import with_prior


def bars(figure) -> dict[str, float]:
    """Names and lengths of the bars of the right panel."""
    ax = figure.axes[1]
    names = [label.get_text() for label in ax.get_yticklabels()]
    return dict(zip(names, [bar.get_width() for bar in ax.patches], strict=True))


@pytest.mark.parametrize("prior_weight", [1 / 3, 0.6])
def test_the_numbers_drawn_are_those_of_the_package(prior_weight):
    found = bars(explorers.draw_divergences([-1.0, 1.5], [0.5, 0.8], prior_weight))
    mean, deviation = torch.tensor([[-1.0], [1.5]]).double(), torch.tensor([[0.5], [0.8]]).double()
    everyone = with_prior(Gaussian(mean, 2 * deviation.log()))
    weights = torch.tensor([(1 - prior_weight) / 2] * 2 + [prior_weight]).double()
    low, high = divergences.jensen_shannon_bounds(everyone, weights)
    expected = {
        "JS geometric": divergences.jensen_shannon_geometric(everyone, weights),
        "JS arithmetic, upper bound": high,
        "JS arithmetic": quadrature.jensen_shannon_arithmetic(everyone, weights),
        "JS arithmetic, lower bound": low,
        "KL(q || p)": quadrature.mixture_kl(everyone[:2], torch.tensor([0.5, 0.5]).double(), everyone[2]),
    }
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value.item(), abs=1e-5), name


def test_the_curves_are_densities():
    figure = explorers.draw_divergences([0.0, 1.0], [0.5, 1.0])
    lines = {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}
    assert set(lines) == {"q1", "q2", "p", "arithmetic", "geometric"}
    for name, points in lines.items():
        assert torch.trapezoid(torch.tensor(points[:, 1]), torch.tensor(points[:, 0])).item() == pytest.approx(
            1, abs=1e-3
        ), name


def test_moving_a_slider_draws_the_new_picture():
    explorer = explorers.explore_divergences(count=2)
    means, deviations, prior, picture = explorer.children
    start = picture.value
    assert Image.open(io.BytesIO(start)).format == "PNG"
    assert prior.value == pytest.approx(1 / 3, abs=0.01) and len(means.children) == len(deviations.children) == 2
    means.children[0].value = 2.0
    moved = picture.value
    assert moved != start
    values = [[slider.value for slider in row.children] for row in (means, deviations)]
    assert moved == explorers.to_png(explorers.draw_divergences(*values, prior.value))
