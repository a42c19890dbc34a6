"""Explorers: the pure drawing against the package's numbers, and the widgets redrawing when a slider moves."""

import io
from threading import Event, Thread

import ipywidgets as widgets
import pytest
import torch
from PIL import Image

from workbench import divergences, explorers
from workbench.distributions import Gaussian
from workbench.explorers.controls import Counter, on_change
from workbench.fusion import with_prior
from workbench.theory import quadrature


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


def test_every_control_draws_its_own_picture():
    explorer = explorers.explore_divergences()
    count, means, deviations, prior, picture, _ = explorer.children
    assert Image.open(io.BytesIO(picture.value)).format == "PNG"
    seen = {picture.value}
    for control, value in (
        (means.children[2], 2.0), (deviations.children[0], 0.3), (prior, 0.5), (count, 2), (means.children[1], -1.0),
    ):  # fmt: skip
        control.value = value
        shown = [[slider.value for slider in row.children[: count.value]] for row in (means, deviations)]
        assert picture.value == explorers.to_png(explorers.draw_divergences(*shown, prior.value))
        seen.add(picture.value)
    assert len(seen) == 6


def test_the_third_posterior_can_be_switched_off():
    count, means, deviations, *_ = explorers.explore_divergences().children
    count.value = 2
    assert means.children[2].disabled and deviations.children[2].disabled and not means.children[1].disabled
    count.value = 3
    assert not means.children[2].disabled


def test_changes_in_two_threads_end_in_a_picture_of_both():
    """The first redraw waits for the second, in vain: it would otherwise put its older picture over the newer one."""
    slider, button, shown = widgets.IntSlider(), Counter("again", "draw again"), []
    begun, overtaken = Event(), Event()

    def redraw(_):
        values = slider.value, button.clicks
        begun.set()
        if not values[1]:
            assert not overtaken.wait(0.5)
        shown.append(values)
        overtaken.set()

    on_change([slider, button], redraw)
    first = Thread(target=lambda: setattr(slider, "value", 1))
    first.start()
    begun.wait()
    button.click()
    first.join()
    assert shown == [(1, 0), (1, 1)]
