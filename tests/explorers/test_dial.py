"""The explorer of the dial: its mean on a grid against adaptive quadrature and closed forms, its picture, controls."""

import io

import pytest
import torch
from adaptive_quadrature import CASES, exact, log_density, stack
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from workbench import divergences, explorers
from workbench.distributions import Gaussian, Mixture
from workbench.explorers.divergences import EXPERTS, LINE, ORDERS, dial_experts
from workbench.plotting.family import BESIDE, POOLED

close = torch.testing.assert_close


@pytest.mark.parametrize("power", [0.25, 0.5, 0.8])
@pytest.mark.parametrize(("rows", "weights"), CASES)
def test_density_and_divergence_meet_adaptive_quadrature(rows, weights, power):
    experts, pi = stack(rows, weights)
    axis = torch.linspace(-25, 25, 5001, dtype=torch.float64)  # the widest expert has a deviation of 1.6
    found = explorers.pooled(experts, pi, power, axis)
    assert found.js.item() == pytest.approx(exact(power, rows, weights), abs=1e-8)
    log_h, _ = log_density(power, rows, weights)
    places = [1900, 2400, 2500, 2740]
    close(found.density.log()[places], torch.tensor([log_h(z) for z in axis[places].tolist()]).double())


@given(st.sampled_from([*EXPERTS]), st.integers(1, 2))
def test_the_ends_and_the_middle_are_the_closed_forms(name, latent):
    experts, pi = dial_experts(*EXPERTS[name])
    q = Gaussian(experts.mean[:, :latent], experts.logvar[:, :latent])
    axis = LINE if latent == 1 else torch.linspace(-8, 8, 251, dtype=torch.float64)
    zero, half, one = (explorers.pooled(q, pi, a, axis) for a in (0.0, 0.5, 1.0))
    G = divergences.geometric_mean(q, pi)
    close(zero.entropy, G.entropy())
    close(zero.js, divergences.jensen_shannon_geometric(q, pi))
    middle, _ = divergences.hellinger_mean(q, pi)
    for found, form in ((zero, Mixture.of(G.unsqueeze(0))), (half, middle), (one, Mixture(q, pi))):
        close(found.mean, form.mean(), atol=1e-7, rtol=1e-7)
        close(found.variance, form.moments().logvar.exp())


@given(st.floats(0.01, 1), st.floats(0, 4), st.floats(0.3, 2))
def test_the_order_bounds_the_divergence(power, distance, deviation):
    q, pi = dial_experts([[-distance], [0.0], [distance]], [[deviation]] * 3)
    entropy = -(pi * pi.log()).sum()
    assert -1e-9 <= explorers.pooled(q, pi, power).js <= entropy / power + 1e-9


def test_three_dimensions_are_refused():
    experts, pi = dial_experts([[0.0] * 3], [[1.0] * 3])
    with pytest.raises(ValueError, match=r"for 1 or 2 dimensions, not 3: use divergences\.jensen_shannon_power"):
        explorers.pooled(experts, pi, 0.5)


def test_the_picture_shows_densities_and_where_the_dial_stands():
    means, deviations = EXPERTS["two agree"]
    figure = explorers.draw_dial(0.5, means, deviations)
    one, plane, js, entropy = figure.axes
    lines = {line.get_label(): torch.tensor(line.get_xydata()).T for line in one.get_lines()}
    assert [*lines] == ["q1", "q2", "q3", "p", POOLED, BESIDE]
    for name, (x, y) in lines.items():
        assert torch.trapezoid(y, x).item() == pytest.approx(1, abs=1e-5), name
    experts, pi = dial_experts(means, deviations)
    first = Gaussian(experts.mean[:, :1], experts.logvar[:, :1])
    here = explorers.pooled(first, pi, 0.5)
    for ax, value in ((js, here.js), (entropy, here.entropy)):
        curve, dot, _ = ax.get_lines()
        assert len(curve.get_xdata()) == len(ORDERS)
        assert dot.get_xydata()[0] == pytest.approx([0.5, value.item()], abs=1e-6)
    (*shown, _) = [(p.center, p.width, p.height) for p in plane.patches]
    for found, mean, deviation in zip(shown, [*means, (0.0, 0.0)], [*deviations, (1.0, 1.0)], strict=True):
        assert found == (pytest.approx(mean), pytest.approx(2 * deviation[0]), pytest.approx(2 * deviation[1]))
    assert explorers.to_png(figure) == explorers.to_png(explorers.draw_dial(0.5, means, deviations)), "deterministic"


def test_both_controls_redraw_and_the_picture_fits_a_narrow_page():
    controls, picture, names = explorers.explore_dial().children
    order, experts = controls.children
    assert names.picture.startswith("Densities of three posteriors")
    seen = {picture.value}
    for control, value in ((order, 0.5), (experts, "one is sure"), (order, 1.0)):
        control.value = value
        assert picture.value == explorers.to_png(explorers.draw_dial(order.value, *EXPERTS[experts.value]))
        seen.add(picture.value)
    assert len(seen) == 4
    width, height = Image.open(io.BytesIO(picture.value)).size
    assert width <= 700 and height <= 560
