"""How long each explorer takes to answer a touch: measured and printed, for the reader to judge."""

import statistics
import time

import ipywidgets as widgets
import pytest
from helpers import controls_of

from workbench import explorers
from workbench.data.celeba.attributes import PHRASES
from workbench.explorers.inputs_faces import DescriptionInput

TOUCHES = 40


@pytest.fixture(scope="module")
def models():
    return explorers.exhibits()


def conditional(models):
    """A style slider of the conditional explorer, and its page."""
    explorer = explorers.explore_conditional(models)
    return explorer.styles[0].sliders[0], [n / 20 - 1.01 for n in range(TOUCHES)], explorer.output


def faces(models):
    """Another word typed into the explorer of faces: ten draws."""
    explorer = explorers.explore_conditional(explorers.shipped_exhibits("faces"))
    (description,) = [one for one in explorer.inputs if isinstance(one, DescriptionInput)]
    return description.text, PHRASES[-TOUCHES:], explorer.output


def objectives(models):
    """The next example, for three models."""
    found = controls_of(explorers.explore_objectives(models))
    return found["next example"], range(1, TOUCHES + 1), found["picture"]


def grid(models):
    """Other styles in a grid of 5 x 10 pictures."""
    found = controls_of(explorers.explore_grid(models))
    return found["resample styles"], range(1, TOUCHES + 1), found["picture"]


def latent(models):
    """Another point of the map, its ellipses and the line to it."""
    *_, picture, strip, _ = explorers.explore_latent(models).children
    return picture.children[0], range(100, 100 + TOUCHES), strip


def divergences(models):
    """A mean in the explorer of notebook 02, which draws a figure."""
    _, means, *_, picture, _ = explorers.explore_divergences().children
    return means.children[0], [n / 20 - 1.0 for n in range(TOUCHES)], picture


NAMES = {"Counter": "clicks", "Map": "b"}


@pytest.mark.parametrize("explorer", [conditional, faces, grid, latent, objectives, divergences])
def test_every_touch_is_answered_and_how_fast(explorer, models, capsys):
    control, values, shown = explorer(models)
    assert isinstance(control, widgets.Widget)
    name, seen, times = NAMES.get(type(control).__name__, "value"), {shown.value}, []
    for value in values:
        start = time.perf_counter()
        setattr(control, name, value)
        times.append(1000 * (time.perf_counter() - start))
        seen.add(shown.value)
    assert len(seen) == TOUCHES + 1
    with capsys.disabled():
        median, slow = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        print(f"\n{explorer.__name__} explorer, a redraw: median {median:.0f} ms, p95 {slow:.0f} ms")
