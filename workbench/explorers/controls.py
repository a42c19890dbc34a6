"""Controls that several explorers share. Each says by its own words what it does, for those who do not see it."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import ipywidgets as widgets
import traitlets

from workbench.data.images import DataError
from workbench.explorers.models import NO_MODEL, ExploredModel, exhibits
from workbench.explorers.pictures import message, page


class Counter(widgets.Button):
    """A button whose clicks are counted, so that they are observed like the value of a slider."""

    clicks = traitlets.Int(0)

    def __init__(self, description: str, tooltip: str, icon: str = "") -> None:
        super().__init__(description=description, tooltip=tooltip, icon=icon, layout=widgets.Layout(width="auto"))
        self.on_click(self._count)

    def _count(self, _: widgets.Button) -> None:
        self.clicks += 1


def on_change(controls: Sequence[widgets.Widget], redraw: Callable[..., None]) -> None:
    """Call `redraw` whenever one of the controls gets another value or a button is pressed, one call at a time.

    JupyterLab may deliver two changes to two threads of the kernel. A call that began earlier must not end later and
    put an older picture over a newer one, so each waits for its turn and then reads the values as they are.
    """
    turn = RLock()

    def locked(change: object) -> None:
        with turn:
            redraw(change)

    for control in controls:
        control.observe(locked, names="clicks" if isinstance(control, Counter) else "value")


def in_turn(method: Callable[..., None]) -> Callable[..., None]:
    """The same for a method that observes: all such methods of an object share its lock, the attribute `turn`."""

    @functools.wraps(method)
    def locked(self: Any, *changes: object) -> None:
        with self.turn:
            method(self, *changes)

    return locked


def slider(description: str, value: float, low: float, high: float, step: float = 0.02) -> widgets.FloatSlider:
    """A slider that speaks when it is let go: what it moves may take a moment to draw."""
    return widgets.FloatSlider(value, min=low, max=high, step=step, description=description, continuous_update=False)


def temperature() -> widgets.FloatSlider:
    """How far contents are drawn from the posterior's mean: 0 is the mean itself, 1 the posterior's own spread."""
    found = slider("temperature", 1.0, 0.0, 2.0, 0.05)
    found.style.description_width = "initial"
    found.tooltip = "0: the mean of the content's distribution; 1: its own spread; more: wider than it"
    return found


def classes() -> widgets.ToggleButtons:
    """The class of the input, 0 to 9."""
    found = choice("class", [*range(10)], 34)
    found.tooltips = [f"an input of class {digit}" for digit in range(10)]
    found.value = 3
    return found


def choice(description: str, options: Sequence, width: int) -> widgets.ToggleButtons:
    """One of a few, as buttons of so many pixels beside each other, none of them clipped."""
    found = widgets.ToggleButtons(options=options, description=description)
    found.style.button_width = f"{width}px"
    found.layout.width = f"{(width + 6) * len(options)}px"
    return found


def next_example(what: str = "another test item of the same class") -> Counter:
    """To the next test item."""
    return Counter("next example", what, "step-forward")


def resample(what: str) -> Counter:
    """Other draws of `what`."""
    return Counter(f"resample {what}", f"draw other {what}", "refresh")


def given(exhibit: ExploredModel) -> dict[str, widgets.Checkbox]:
    """One box for each modality, by its letter: ticked where the model is given it."""
    boxes = {}
    for modality in exhibit.model.modalities:
        name = f"{modality.name} ({modality.letter}) given"
        boxes[modality.letter] = widgets.Checkbox(True, description=name, indent=False)
        boxes[modality.letter].layout.width = "auto"
    return boxes


def models(exhibits: Sequence[ExploredModel], chosen: Sequence[int]) -> widgets.SelectMultiple:
    """Which of the models are shown, by their places."""
    names = [(exhibit.name, place) for place, exhibit in enumerate(exhibits)]
    found = widgets.SelectMultiple(options=names, value=[*chosen], description="models", rows=min(len(names), 5))
    found.tooltip = "several: hold Ctrl (Command on a Mac) or Shift"
    return found


def row(*controls: widgets.Widget, align: str = "flex-end") -> widgets.HBox:
    """Controls side by side, on further lines where the page is narrow; `align`: which edge they share, as in CSS."""
    layout = widgets.Layout(flex_flow="row wrap", align_items=align, grid_gap="2px 16px")
    return widgets.HBox(list(controls), layout=layout)


def refusal(text: str) -> widgets.VBox:
    """In place of an explorer that cannot be: why, and the cure."""
    return widgets.VBox([widgets.HTML(page(message(text)))])


def explorer(lay_out: Callable[..., widgets.VBox]) -> Callable[..., widgets.VBox]:
    """An explorer of exhibits that also takes a folder of runs, or nothing for the models that come with the project.

    Where there is no such run, or its data are missing, or models cannot be shown together, it is a message.
    """

    @functools.wraps(lay_out)
    def shown(models: Sequence[ExploredModel] | str | Path | None = None, *options: Any, **named: Any) -> widgets.VBox:
        try:
            found = exhibits(models) if models is None or isinstance(models, str | Path) else list(models)
            if not found:
                raise ValueError(NO_MODEL)
            return lay_out(found, *options, **named)
        except (ValueError, FileNotFoundError, DataError) as error:
            return refusal(str(error))

    return shown
