"""Explorers close what they no longer show: however often one is changed, as many widgets are open as at first."""

import ipywidgets as widgets
import pytest

from workbench import explorers
from workbench.explorers.controls import close, row, show


def is_open(widget: widgets.Widget) -> bool:
    return widget.comm is not None


def opened() -> int:
    return len(widgets.widget._instances)


def test_what_a_box_shows_no_more_is_closed_and_what_stays_or_is_kept_is_not():
    stays, goes, kept = (widgets.FloatSlider() for _ in range(3))
    box = widgets.VBox([row(stays, goes), kept])
    before = box.children[0]
    show(box, [row(stays)], [kept])
    assert is_open(stays) and is_open(kept) and is_open(stays.style)
    assert not any(map(is_open, (goes, goes.layout, goes.style, before, before.layout)))
    close(box, but=[stays])
    assert is_open(stays) and not is_open(box) and is_open(kept)


CHANGES = {
    "conditional": lambda e: [lambda k=k: setattr(e.choice, "value", k) for k in (1, 2, 0)],
    "begin": lambda e: [e.begin.click],
    "given": lambda e: [lambda x=x, on=on: setattr(x.given, "value", on) for x in e.inputs for on in (False, True)],
    "mode": lambda e: [lambda how=how: setattr(e.mode, "value", how) for how in ("set", "random")],
    "drawing": lambda e: [lambda x=x: setattr(e.inputs[0].source, "value", x) for x in ("drawing", "test item")],
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_of_the_conditional_explorer_leave_as_many_widgets(change, models):
    explorer = explorers.explore_conditional([models[0], explorers.shipped_models("faces")[0], models[1]])
    if change == "mode":
        explorer.choice.value = 1
    counts = []
    for _ in range(3):
        for step in CHANGES[change](explorer):
            step()
        counts.append(opened())
    assert counts == counts[:1] * 3


def test_other_modalities_on_the_map_leave_as_many_widgets(models):
    explorer = explorers.explore_latent([models[0], explorers.shipped_models("faces")[0]], items=30)
    (model,) = [control for control in explorer.children[0].children if control.description == "model"]
    counts = []
    for _ in range(3):
        model.value = 1
        model.value = 0
        counts.append(opened())
    assert counts == counts[:1] * 3
