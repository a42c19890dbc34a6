"""The explorer of what to measure next: what is drawn against the gains themselves, and every switch redrawing."""

from dataclasses import replace

import ipywidgets as widgets
import numpy as np
import pytest
import torch
from helpers import seeded
from linear_models import exact_model, table_world

from workbench import explorers
from workbench.explorers.acquisition import advice, expected, shown_item
from workbench.studies.acquisition import Acquisition
from workbench.studies.acquisition_codes import Classifier


@pytest.fixture(scope="module")
def world():
    """A model, an `Acquisition` about classes, and items of which the second lacks a modality."""
    exact, train, test = table_world(120, noise=(0.3, 3.0, 12.0), labels=True)
    model, present = exact_model(train, exact), torch.ones(len(test), 3, dtype=torch.bool)
    present[1, 2] = False
    return Acquisition(model, Classifier(model, train, "product"), fusion="product"), replace(test, present=present)


def test_bars_are_the_expected_gains_and_the_classes_chances(world):
    asked, test = world
    shown = shown_item(asked, test, 0)
    gains = expected(shown, ["b"])
    same = asked.expected_gain(shown.given(["b"]), seeded())
    np.testing.assert_array_equal(gains.bits, same.bits)
    left, middle, right = explorers.draw_acquisition(shown, ["b"], ["c"], gains).axes
    widths = [bar.get_width() for bar in left.patches]
    np.testing.assert_allclose(widths, np.nan_to_num(gains.bits[0]))
    assert [text.get_text().strip() for text in left.texts] == ["known"]
    drawn = [[bar.get_width() for bar in bars] for bars in middle.containers]
    np.testing.assert_allclose(drawn, [asked.chances(shown.given([m]))[0] for m in "cb"], rtol=1e-6)
    assert [line.get_label() for line in right.lines] == ["other items", "before", "now"]
    best = "abc"[gains.best()[0]]
    assert advice(shown, gains).startswith(f"Measure next: {best} {np.nanmax(gains.bits):.2f} ± ")
    costly = replace(asked, of="rest", classifier=None, costs={"a": 4.0, "b": 1.0, "c": 1.0})
    shown = replace(shown, asked=costly)
    assert "bits for 4" in advice(shown, expected(shown, ["b"])) and "what else is missing" in advice(shown, gains)
    assert len(explorers.draw_acquisition(shown, ["b"]).axes) == 2


def test_every_switch_and_the_next_item_redraw_and_nothing_known_is_told(world):
    explorer = explorers.explore_acquisition(*world)
    controls, words, picture, names = explorer.children
    *switches, following = controls.children
    assert [s.description for s in switches] == ["a", "b", "c"] and [s.value for s in switches] == [True, False, False]
    seen = {picture.value}
    for switch in switches[1:]:
        switch.value = True
        seen.add(picture.value)
    assert len(seen) == 3 and "nothing left to measure" in words.value
    for switch in switches:
        switch.value = False
    assert 'role="alert"' in words.value and "switch one modality on" in words.value
    switches[1].value = True
    assert "Measure next" in words.value and "Never measured" not in words.value
    following.click()
    assert switches[2].disabled and "Never measured: c." in words.value
    following.click()
    assert not switches[2].disabled and isinstance(picture, widgets.Image) and names.picture
