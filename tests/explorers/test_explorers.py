"""Explorers: the pure drawing against the package's numbers, widgets redrawing, and how fast they answer."""

import io
import statistics
import time
from collections.abc import Sequence
from threading import Event, Thread

import ipywidgets as widgets
import pytest
import torch
from helpers import controls_of
from PIL import Image

from workbench import divergences, explorers
from workbench.data.celeba.attributes import PHRASES
from workbench.distributions import Gaussian
from workbench.explorers.controls import Counter, on_change
from workbench.explorers.inputs_faces import DescriptionInput
from workbench.fusion import with_prior
from workbench.theory import quadrature


@pytest.mark.parametrize("kind", ["conditional", "grid", "latent", "objectives"])
def test_no_model_is_told(kind):
    (only,) = getattr(explorers, f"explore_{kind}")([]).children
    assert "no model to explore: train one" in only.value and 'role="alert"' in only.value


# The explorer of divergences
@pytest.mark.parametrize("prior_weight", [1 / 3, 0.6])
def test_the_numbers_drawn_are_those_of_the_package(prior_weight):
    ax = explorers.draw_divergences([-1.0, 1.5], [0.5, 0.8], prior_weight).axes[1]
    names = [label.get_text() for label in ax.get_yticklabels()]
    drawn = dict(zip(names, [bar.get_width() for bar in ax.patches], strict=True))
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
    assert list(drawn) == list(expected)
    for name, value in expected.items():
        assert drawn[name] == pytest.approx(value.item(), abs=1e-5), name


def test_the_curves_are_densities():
    figure = explorers.draw_divergences([0.0, 1.0], [0.5, 1.0])
    lines = {line.get_label(): torch.tensor(line.get_xydata()).T for line in figure.axes[0].lines}
    assert set(lines) == {"q1", "q2", "p", "arithmetic", "geometric"}
    for name, (x, y) in lines.items():
        assert torch.trapezoid(y, x).item() == pytest.approx(1, abs=1e-3), name


def test_every_control_draws_its_own_picture_and_the_third_posterior_can_be_switched_off():
    count, means, deviations, prior, picture, _ = explorers.explore_divergences().children
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
    assert means.children[2].disabled and deviations.children[2].disabled and not means.children[1].disabled
    count.value = 3
    assert not means.children[2].disabled


# Redrawing
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


def touched(kind: str, models, touches: int) -> tuple[widgets.Widget, str, Sequence, widgets.Widget]:
    """A control of an explorer, the name of its value, other values, and what it changes."""
    counts, shares = range(1, touches + 1), [n / 20 - 1.01 for n in range(touches)]
    if kind == "divergences":  # a mean in the explorer of notebook 02, which draws a figure
        _, means, *_, picture, _ = explorers.explore_divergences().children
        return means.children[0], "value", shares, picture
    if kind == "latent":  # another point of the map, its ellipses and the line to it
        *_, picture, strip, _ = explorers.explore_latent(models).children
        return picture.children[0], "b", range(100, 100 + touches), strip
    if kind in ("grid", "objectives"):  # other styles in a grid of 5 x 10 pictures; the next example, for three models
        controls = controls_of(getattr(explorers, f"explore_{kind}")(models))
        return controls["resample styles" if kind == "grid" else "next example"], "clicks", counts, controls["picture"]
    if kind == "faces":  # another word typed into the explorer of faces: ten draws
        explorer = explorers.explore_conditional(explorers.shipped_models("faces"))
        (description,) = [one for one in explorer.inputs if isinstance(one, DescriptionInput)]
        return description.text, "value", PHRASES[-touches:], explorer.output
    explorer = explorers.explore_conditional(models)  # a style slider, and the page
    return explorer.styles[0].sliders[0], "value", shares, explorer.output


@pytest.mark.parametrize("touches", [4, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["conditional", "faces", "grid", "latent", "objectives", "divergences"])
def test_every_touch_is_answered_and_how_fast(kind, touches, models, capsys):
    """The time of a redraw is printed, for the reader to judge."""
    control, name, values, shown = touched(kind, models, touches)
    seen, times = {shown.value}, []
    for value in values:
        start = time.perf_counter()
        setattr(control, name, value)
        times.append(1000 * (time.perf_counter() - start))
        seen.add(shown.value)
    assert len(seen) == touches + 1
    with capsys.disabled():
        median, slow = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        print(f"\n{kind} explorer, a redraw: median {median:.0f} ms, p95 {slow:.0f} ms")
