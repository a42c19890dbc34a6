"""Controls that several explorers share. Each says by its own words what it does, for those who do not see it."""

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import anywidget
import ipywidgets as widgets
import traitlets

from workbench.data.images import DataError
from workbench.explorers.generation import SAMPLED
from workbench.explorers.models import NO_MODEL, ExploredModel, explored_models
from workbench.explorers.pictures import message, page

Box = TypeVar("Box", bound=widgets.Box)


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
    """Do the same for a method that observes: all such methods of an object share its lock, the attribute `turn`."""

    @functools.wraps(method)
    def locked(self: Any, *changes: object) -> None:
        with self.turn:
            method(self, *changes)

    return locked


# Single controls


def slider(description: str, value: float, low: float, high: float, step: float = 0.02) -> widgets.FloatSlider:
    """Make a slider that speaks when it is let go: what it moves may take a moment to draw."""
    return widgets.FloatSlider(value, min=low, max=high, step=step, description=description, continuous_update=False)


def temperature() -> widgets.FloatSlider:
    """Ask how far contents are drawn from the posterior's mean: 0 is the mean itself, 1 the posterior's own spread."""
    control = slider("temperature", 1.0, 0.0, 2.0, 0.05)
    control.style.description_width = "initial"
    control.tooltip = "0: the mean of the content's distribution; 1: its own spread; more: wider than it"
    return control


def classes() -> widgets.ToggleButtons:
    """Ask for the class of the input, 0 to 9."""
    control = choice("class", [*range(10)], 34)
    control.tooltips, control.value = [f"an input of class {digit}" for digit in range(10)], 3
    return control


def choice(description: str, options: Sequence, width: int) -> widgets.ToggleButtons:
    """Offer one of a few, as buttons of so many pixels beside each other, none of them clipped."""
    control = widgets.ToggleButtons(options=options, description=description)
    control.style.button_width = f"{width}px"
    control.layout.width = f"{(width + 6) * len(options)}px"
    return control


def tick(name: str, on: bool = True, **layout: str) -> widgets.Checkbox:
    """Make a box to tick, no wider than its name."""
    return widgets.Checkbox(on, description=name, indent=False, layout=widgets.Layout(width="auto", **layout))


def next_example(what: str = "another test item of the same class") -> Counter:
    """Make a button that goes to the next test item."""
    return Counter("next example", what, "step-forward")


def resample(what: str) -> Counter:
    """Make a button that asks for other draws of `what`."""
    return Counter(f"resample {what}", f"draw other {what}", "refresh")


def sampler() -> widgets.Dropdown:
    """Ask what random codes are drawn from."""
    control = widgets.Dropdown(options=[*SAMPLED.items()], description="drawn from")
    control.tooltip = "all but p(c) are fitted to training items when they are first asked for, which takes a moment"
    return control


def given(explored: ExploredModel) -> dict[str, widgets.Checkbox]:
    """Make a box for each modality, by its letter: ticked where the model is given it."""
    return {m.letter: tick(f"{m.name} ({m.letter}) given") for m in explored.model.modalities}


def model_choice(models: Sequence[ExploredModel], chosen: Sequence[int]) -> widgets.SelectMultiple:
    """Ask which of the models are shown, by their places."""
    names = [(explored.name, place) for place, explored in enumerate(models)]
    control = widgets.SelectMultiple(options=names, value=[*chosen], description="models", rows=min(len(names), 5))
    control.tooltip = "several: hold Ctrl (Command on a Mac) or Shift"
    return control


# Explorers as a whole


def row(*controls: widgets.Widget, align: str = "flex-end") -> widgets.HBox:
    """Put controls side by side, on further lines where the page is narrow; `align`: their common edge, as in CSS."""
    return widgets.HBox(controls, layout=widgets.Layout(flex_flow="row wrap", align_items=align, grid_gap="2px 16px"))


def beside(left: Sequence[widgets.Widget], pictures: widgets.Widget) -> widgets.HBox:
    """Put controls at the left of what they change, or below it where the page is narrow."""
    pictures.layout.flex, pictures.layout.overflow = "1000 1 600px", "auto"
    column = [widgets.VBox(left, layout=widgets.Layout(flex="1 1 256px"))] if left else []
    # the last line of a reversed wrap is the upper one, and its end the upper edge
    shape = widgets.Layout(flex_flow="row wrap-reverse", align_items="flex-end", grid_gap="2px 16px")
    return widgets.HBox([*column, pictures], layout=shape)


def lay_out(*rows: Iterable[widgets.Widget], below: Iterable[widgets.Widget]) -> widgets.VBox:
    """Put controls into rows, and the widgets `below` under them."""
    return named(widgets.VBox([*(row(*controls) for controls in rows), *below]))


def close(*closed: widgets.Widget, but: Iterable[widgets.Widget] = ()) -> None:
    """Close widgets with all that is in them, but for some and what is in those, and with their layouts and styles.

    Open ones stay in memory, here and in the browser.
    """
    stays = _within(but)
    for widget in (widget for widget in _within(closed) if widget not in stays):
        for part in (widget, *(getattr(widget, name, None) for name in ("layout", "style"))):
            if isinstance(part, widgets.Widget):
                part.close()


def show(box: widgets.Box, children: Iterable[widgets.Widget], kept: Iterable[widgets.Widget] = ()) -> None:
    """Give a box other children, and close what it showed and shows no more, but for what is `kept` for later."""
    before, box.children = box.children, tuple(children)
    close(*before, but=[*box.children, *kept])


def _within(some: Iterable[widgets.Widget]) -> dict[widgets.Widget, None]:
    """Widgets and all that they hold, each once."""
    found: dict[widgets.Widget, None] = {}
    for widget in some:
        found |= {widget: None} | _within(getattr(widget, "children", ()))
    return found


class Names(anywidget.AnyWidget):
    """Shows nothing; names the sliders and rows of buttons of the explorer that it stands in."""

    _esm = Path(__file__).with_name("names.js")
    picture = traitlets.Unicode("").tag(sync=True)


def named(box: Box, picture: str = "") -> Box:
    """Give all controls of an explorer accessible names: `Names` is put at the end of its box.

    `picture` is the alternative text of its Image widget, if it has one, for which ipywidgets has no place.
    """
    box.add_class("workbench-explorer")
    box.children = (*box.children, Names(picture=picture))
    return box


def explorer(lay_out: Callable[..., widgets.VBox]) -> Callable[..., widgets.VBox]:
    """Make an explorer also take a folder of runs, or nothing for the models that come with the project.

    Where there is no such run, or its data are missing, or models cannot be shown together, it is a message.
    """

    @functools.wraps(lay_out)
    def shown(models: Sequence[ExploredModel] | str | Path | None = None, *options: Any, **named: Any) -> widgets.VBox:
        try:
            chosen = explored_models(models) if models is None or isinstance(models, str | Path) else list(models)
            if not chosen:
                raise ValueError(NO_MODEL)
            return lay_out(chosen, *options, **named)
        except (ValueError, FileNotFoundError, DataError) as error:
            return widgets.VBox([widgets.HTML(page(message(str(error))))])

    return shown
