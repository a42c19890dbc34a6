"""Pictures of the family: what is in their axes, and that names cover neither dots nor each other."""

import math
import random

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.text import Text

from workbench.plotting import family as pictures


def dots(ax):
    return {tuple(np.round(point, 9)) for line in ax.get_lines() for point in np.array(line.get_data()).T}


def test_points_with_bars_and_names_where_up_is_better():
    nan = math.nan
    found = {
        "a": {"one": ((0.1, 0.01), (0.5, 0.02)), "two": ((0.9, nan), (0.4, nan))},
        "b": {"one": ((0.2, 0.0), (30.0, 0.0))},
    }
    figure = pictures.named_points(found, {"one": "left", "two": "right"}, "x", ["up", "down"], [False, True])
    first, second = figure.axes
    assert [ax.get_title() for ax in (first, second)] == ["a", "b"]
    assert [ax.get_ylabel() for ax in (first, second)] == ["up", "down (up is less)"]
    assert (first.get_yscale(), second.get_yscale()) == ("linear", "log")
    assert {(0.1, 0.5), (0.9, 0.4)} <= dots(first) and second.yaxis_inverted() and not first.yaxis_inverted()
    segments = [s for c in first.collections for s in c.get_segments() if len(s)]
    lengths = sorted(round(float(np.ptp(s, axis=0).max()), 9) for s in segments)
    assert lengths == [0, 0, 0.01 * 2, 0.02 * 2], "half the interval to both sides, none of a single seed"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["left", "right"]


def test_names_cover_neither_dots_nor_each_other():
    rng = random.Random(0)
    crowd = {f"method {n}": ((0.9 + rng.gauss(0, 0.02), 0.01), (0.5 + rng.gauss(0, 0.03), 0.01)) for n in range(14)}
    crowd |= {"far": ((0.2, 0.01), (0.3, 0.01))}
    figure = pictures.named_points({"all": crowd}, dict.fromkeys(crowd, "one kind"), "x", ["y", "y"])
    figure.draw_without_rendering()
    (ax,) = figure.axes[:1]
    boxes = {text.get_text(): Text.get_window_extent(text) for text in ax.texts}
    assert {*boxes} == {*crowd}
    for name, box in boxes.items():
        assert ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1, name
        assert not any(box.overlaps(other) for n, other in boxes.items() if n != name), name
        at = ax.transData.transform([(x[0], y[0]) for x, y in crowd.values()])
        assert not any(box.contains(*point) for point in at), name


def test_lines_over_orders_and_the_barycenter_beside():
    line = {0.0: (0.5, 0.01), 0.5: (0.6, 0.01), 1.0: (0.7, math.nan), 1.3: (0.4, 0.02)}
    figure = pictures.over_orders({"coherence": {"shared": line}, "probe": {"shared": {0.0: (0.9, math.nan)}}}, 1.15)
    ax = figure.axes[0]
    ys = [[round(y, 9) for y in shown.get_ydata()] for shown in ax.get_lines()]
    assert [0.5, 0.6, 0.7] in ys and [0.4] in ys, "it is on no line with the orders"
    assert [label.get_text() for label in ax.get_xticklabels()][-2:] == ["1", "barycenter"]
    assert ax.get_xticks()[-1] == pytest.approx(1.3)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["shared"]


def test_the_dial_shows_what_it_is_given():
    z, orders = torch.linspace(-3, 3, 7), torch.linspace(0, 1, 3)
    names = ("q1", "p", pictures.POOLED, pictures.BESIDE)
    line = {name: torch.full((7,), float(n)) for n, name in enumerate(names)}
    density = torch.zeros(7, 7)
    density[6, 3] = 1.0  # first coordinate 3, second 0
    ellipses = {"q1": ((1.0, 2.0), (0.5, 0.25)), pictures.BESIDE: ((0.0, 0.0), (1.0, 1.0))}
    along = {"JS": (orders, torch.tensor([3.0, 2.0, 1.0]), 0.25, 2.5), "entropy": (orders, orders, 0.25, 0.5)}
    figure = pictures.dial(z, line, (z, density), ellipses, along)
    one, plane, js, _ = figure.axes
    assert [line.get_label() for line in one.get_lines()] == [*names]
    assert len({(to_hex(x.get_color()), x.get_linestyle()) for x in one.get_lines()}) == len(names)
    assert [(p.center, p.width, p.height) for p in plane.patches] == [((1.0, 2.0), 1.0, 0.5), ((0.0, 0.0), 2.0, 2.0)]
    highest = plane.collections[0].get_paths()[-1].vertices
    assert highest[:, 0].mean() > 2.5 and abs(highest[:, 1].mean()) < 0.5
    assert [line.get_ydata()[0] for line in js.get_lines()] == [3.0, 2.5, 2.5], "curve, where it stands, level beside"
