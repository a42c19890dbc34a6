"""The conditional explorer: some modalities given, all of them generated, styles and temperature by hand."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

import ipywidgets as widgets
import torch
from torch import Tensor

from workbench.explorers import controls, generation, pictures
from workbench.explorers.controls import explorer, in_turn, named
from workbench.explorers.faces import asked_of, draw_faces
from workbench.explorers.generation import MANY, POSTERIORS, GenerationSettings, Item
from workbench.explorers.inputs import Input, item_of
from workbench.explorers.inputs_faces import inputs_of
from workbench.explorers.models import ExploredModel
from workbench.explorers.subjects import Faces

REACH = 3.0  # standard deviations that a style slider goes to
MOST = 6  # style dimensions of a modality that have a slider, where there are more than MANY: those that change most
DRAWS = 10  # of faces, each in a random style
GIVEN_SIDE = 56  # pixels of what is given: smaller than what is generated


def draw_conditional(
    explored: ExploredModel, item: Item, settings: GenerationSettings, notes: Sequence[str] = ()
) -> str:
    """Show what a model makes of an item as HTML: a row a modality, what is given at the left, draws to its right."""
    made, verdict, rows = generation.generate(explored, item, settings), explored.subject.verdict, []
    for modality in explored.model.modalities:
        letter, name = modality.letter, modality.name
        cells = [pictures.cell(f"{name}, given", item[letter], side=GIVEN_SIDE) if letter in item else "not given"]
        draws = zip(made.origins, made.values[letter], made.opinions[letter], strict=True)
        for number, (origin, x, opinion) in enumerate(draws, start=1):
            cells.append(pictures.cell(f"{name}, draw {number} from {origin}", x, verdict(opinion)))
        rows.append((f"{letter}: {name}", cells))
    headings = ["given", *(f"from {origin}" for origin in made.origins)]
    return pictures.page(*map(pictures.message, notes), pictures.table(headings, rows))


class StyleSliders:
    """Sliders over the style of one modality, the dimension that changes most first; of many, over a few.

    Which dimensions these are takes a moment to measure. The others stay at the prior's mean, or where they were set.
    """

    def __init__(self, explored: ExploredModel, letter: str) -> None:
        effects = generation.style_effects(explored, letter)
        self.letter, self.size = letter, len(effects)
        self.order = sorted(range(self.size), key=lambda dim: -effects[dim])
        self._style = [0.0] * self.size
        unit = "probability" if len(explored.data.shapes[explored.index(letter)]) == 1 else "brightness"
        self.sliders = [
            widgets.FloatSlider(
                0.0,
                min=-REACH,
                max=REACH,
                step=0.1,
                description=f"{letter} style {dim + 1}",
                tooltip=f"dimension {dim + 1} of {letter}'s style; from -2 to 2 {unit} changes by {effects[dim]:.3f}",
                readout_format=".1f",
                layout=widgets.Layout(width="250px"),
            )
            for dim in (self.order[:MOST] if self.size > MANY else self.order)
        ]

    @property
    def values(self) -> list[float]:
        """The style, in the order of the model's dimensions."""
        style = self._style.copy()
        for dim, slider in zip(self.order, self.sliders, strict=False):
            style[dim] = slider.value
        return style

    @values.setter
    def values(self, style: Sequence[float]) -> None:
        self._style = [*style]
        for dim, slider in zip(self.order, self.sliders, strict=False):
            slider.value = min(max(style[dim], -REACH), REACH)


class ConditionalExplorer(widgets.VBox):
    """Given any modalities of one model: everything it generates, redrawn at each touch."""

    def __init__(self, models: Sequence[ExploredModel]) -> None:
        self.models, self.turn, self._held = list(models), RLock(), False
        self.choice = widgets.Dropdown(options=[(e.name, k) for k, e in enumerate(models)], description="model")
        self.fusion = controls.choice("posterior", list(POSTERIORS.items()), 120)
        self.temperature = controls.temperature()
        self.sampler = controls.sampler()
        self.resample = controls.resample("contents")
        self.restyle = controls.Counter("random styles", "one style for each modality, from p(s)", "refresh")
        self.plain = controls.Counter("styles to zero", "the mean of p(s)")
        self.mode = controls.choice("styles", [("random, one a draw", "random"), ("set by sliders", "set")], 160)
        self.begin = controls.Counter("start again", "inputs, styles and temperature as at the beginning", "undo")
        self.inputs: list[Input] = []
        self._left: list[Input] = []
        self.output = widgets.HTML()
        super().__init__()
        self.add_class("workbench-conditional")
        self.choice.observe(self.enter, names="value")
        self.mode.observe(self._new_mode, names="value")
        for control in (self.fusion, self.sampler, self.temperature):
            control.observe(self.redraw, names="value")
        self.resample.observe(self.redraw, names="clicks")
        self.restyle.observe(self._randomise, names="clicks")
        self.plain.observe(lambda _: self._style(torch.zeros), names="clicks")
        self.begin.observe(self._start_again, names="clicks")
        self.enter()

    @property
    def explored(self) -> ExploredModel:
        """The model that is shown."""
        return self.models[self.choice.value]

    @in_turn
    def enter(self, *_: Any) -> None:
        """Lay out sliders for the chosen model and its own posterior; what is given stays, where it can be."""
        self._keep_inputs()
        own = generation.own_posterior(self.explored)
        with self._at_once():
            self.fusion.value = own if own in POSTERIORS.values() else "mixture"
            self._new_mode()

    @property
    def at_random(self) -> bool:
        """Whether every draw has a random style: of a model with many style dimensions, unless sliders are wanted."""
        return self.explored.model.style_dim > MANY and self.mode.value == "random"

    @in_turn
    def _new_mode(self, *_: Any) -> None:
        """Sliders appear, or go; what they were set to is forgotten."""
        letters = () if self.at_random else self.explored.letters
        self.styles = [StyleSliders(self.explored, letter) for letter in letters]
        for slider in (slider for group in self.styles for slider in group.sliders):
            slider.observe(self.redraw, names="value")
        self._lay_out()
        self.redraw()

    def _keep_inputs(self) -> None:
        """The same item given to another model, if it has the same modalities and test items; else new inputs."""
        before = self.inputs[0].explored if self.inputs else None
        if before and (before.letters, before.data.name) == (self.explored.letters, self.explored.data.name):
            for one in self.inputs:
                one.explored = self.explored
            return
        self._new_inputs()

    def _new_inputs(self) -> None:
        self._left += self.inputs  # to be closed once others are shown
        self.inputs = inputs_of(self.explored)
        for one in self.inputs:
            one.on_change(self.redraw)

    @in_turn
    def _start_again(self, *_: Any) -> None:
        with self._at_once():
            self._new_inputs()
            self.temperature.value, self.resample.clicks = 1.0, 0
            self.enter()

    @in_turn
    def redraw(self, *_: Any) -> None:
        """Show what the controls ask for, or what is wrong with it."""
        if self._held:
            return
        item, faces = item_of(self.inputs), isinstance(self.explored.subject, Faces)
        notes = [text for one in self.inputs for text in (one.problem, one.remark) if text and one.given.value]
        self.sampler.disabled = bool(item)
        if not item:
            notes.append(f"Nothing is given: contents are drawn from {self.sampler.label}.")
        draw, asked = (draw_faces, asked_of(self.inputs)) if faces else (draw_conditional, ())
        try:
            self.output.value = draw(self.explored, item, self.settings, notes, *asked)
        except ValueError as error:
            self.output.value = pictures.page(pictures.message(str(error)))

    @property
    def settings(self) -> GenerationSettings:
        """What the controls ask for."""
        styles = {group.letter: group.values for group in self.styles}
        draws = DRAWS if isinstance(self.explored.subject, Faces) else GenerationSettings.draws
        drawn = self.restyle.clicks if self.at_random else None
        chosen = self.fusion.value, self.temperature.value, styles, draws, self.resample.clicks, drawn
        return GenerationSettings(*chosen, self.sampler.value)

    def _lay_out(self) -> None:
        columns = [widgets.VBox(group.sliders) for group in self.styles if group.size]
        note = pictures.page(pictures.note(self.explored.note))
        many = [self.mode] if self.explored.model.style_dim > MANY else []
        buttons = [*many, self.restyle, *([] if self.at_random else [self.plain])]
        rows = [
            controls.row(self.choice, self.begin, widgets.HTML(note)),
            controls.row(*(one.widget for one in self.inputs), align="flex-start"),
            controls.row(self.fusion, self.sampler, self.temperature, self.resample),
            controls.beside([controls.row(*buttons), controls.row(*columns)] if columns or many else [], self.output),
        ]
        own = [value for value in vars(self).values() if isinstance(value, widgets.Widget)]
        controls.show(self, rows, own)
        while self._left:
            self._left.pop().close()
        named(self)

    def _randomise(self, *_: Any) -> None:
        if self.at_random:
            return self.redraw()
        generator = torch.Generator().manual_seed(self.restyle.clicks)
        return self._style(lambda size: torch.randn(size, generator=generator))

    @in_turn
    def _style(self, draw: Callable[[int], Tensor]) -> None:
        """New values of all style sliders, drawn at once."""
        with self._at_once():
            for group in self.styles:
                group.values = draw(group.size).tolist()

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """Change several controls, redraw once, when the outermost of such blocks ends."""
        before, self._held = self._held, True
        try:
            yield
        finally:
            self._held = before
        self.redraw()


@explorer
def explore_conditional(models: Sequence[ExploredModel]) -> widgets.VBox:
    """Open the conditional explorer of one or more models."""
    return ConditionalExplorer(models)
