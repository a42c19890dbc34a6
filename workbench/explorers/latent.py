"""The latent explorer: a map of content posteriors beside what the model makes of the point that is meant."""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from threading import RLock

import ipywidgets as widgets
from jaxtyping import Float
from torch import Tensor

from workbench.explorers import latent_drawing as drawing
from workbench.explorers.controls import explorer, in_turn, named, show, tick
from workbench.explorers.latent_drawing import NONE, Map
from workbench.explorers.latent_map import (
    ITEMS,
    JOINT,
    LatentMap,
    interpolate,
    joint_choices,
    latent_map,
    tsne,
    with_joint,
)
from workbench.explorers.models import ExploredModel
from workbench.explorers.pictures import message, page

PCA, TSNE = "PCA", "t-SNE"
NOTES = {
    PCA: "Ellipses are at 1 and 2 standard deviations (39 % and 86 % of a Gaussian in the plane). All is decoded with "
    "styles at the prior's mean.",
    TSNE: "t-SNE has places for these points only: ellipses and the line from A to B, which lie between them, are not "
    "drawn, and distances mean little.",
}
OF_MIXTURE = (
    "The joint's point is the mean of the mixture and its ellipses show the mixture's covariance; the model itself "
    "draws from its components."
)


@explorer
def explore_latent(models: Sequence[ExploredModel], items: int = ITEMS) -> widgets.VBox:
    """Explore `items` test items on a map: points to hover over, two to choose, ellipses, the line between."""
    return _Explorer(models, items).box


class _Explorer:
    """Collects the values of the controls and asks the pure functions again; encoded items are kept per model."""

    def __init__(self, models: Sequence[ExploredModel], items: int) -> None:
        self.models, self.items, self.turn = models, items, RLock()
        self.charts: dict[int, LatentMap] = {}
        self.neighbours: dict[tuple[int, str], Tensor] = {}  # places by t-SNE, which take seconds
        self.chart: LatentMap | None = None
        names = [(explored.name, k) for k, explored in enumerate(models)]
        self.model = _choice(names, "model", "270px", self._new_model)
        self.joint = _choice([], "joint", "230px", self._new_joint)
        self.joint.tooltip = "how the joint posterior is made of the unimodal ones"
        self.projection = _choice([PCA, TSNE], "projection", "230px", self._draw)
        self.colour = _choice([], "colour by", "270px", self._draw)
        self.ellipses = widgets.Checkbox(True, description="ellipses of A's item", indent=False)
        self.ellipses.observe(self._overlay, names="value")
        self.map = Map(title="Map of contents")
        self.map.observe(self._chosen, names=["a", "b"])
        self.map.observe(self._pointed, names="hovered")
        self.groups, (self.side, self.strip, self.note) = widgets.HBox(), (widgets.HTML() for _ in range(3))
        self._new_model()
        self.box = self._lay_out()

    def _lay_out(self) -> widgets.VBox:
        heading = widgets.Label("points from", layout=widgets.Layout(margin="2px 12px 2px 24px"))
        rows = [
            [self.model, self.joint, self.projection],
            [self.colour, heading, self.groups, self.ellipses],
            [self.map, self.side],
        ]
        which, fusion, picture = (widgets.HBox(row, layout=widgets.Layout(flex_flow="row wrap")) for row in rows)
        return named(widgets.VBox([which, fusion, self.note, picture, self.strip]))

    @in_turn
    def _new_model(self, *_: object) -> None:
        """Another model: its items are encoded unless they have been, and controls follow its modalities."""
        number = self.model.value
        self._offer_colours(self.models[number])
        try:
            if number not in self.charts:
                fusion = next(iter(joint_choices(self.models[number]).values()))
                self.charts[number] = latent_map(self.models[number], fusion, self.items)
        except ValueError as error:
            self._say_why(error)
            return
        before, self.chart = self.chart, self.charts[number]
        self._follow(before)
        self._renew()

    def _say_why(self, error: ValueError) -> None:
        """A model that has no map: a message, and nothing to point at."""
        self.chart = None
        with self.map.hold_sync():
            self.map.points, self.map.ellipses, self.map.path = {}, [], []
            self.map.a = self.map.b = self.map.hovered = NONE
        self.side.value = self.strip.value = ""
        self.note.value = page(message(str(error)))

    def _follow(self, before: LatentMap | None) -> None:
        """Controls of the new model; A and B stay where the new map has such points."""
        chart = self.chart
        _offer(self.joint, joint_choices(chart.explored).items(), chart.fusion, self._new_joint)
        if before is None or before.groups != chart.groups:
            show(self.groups, [tick(name, name != JOINT, margin="2px 12px 2px 0") for name in chart.groups])
            for box in self.groups.children:
                box.observe(self._regroup, names="value")
        if before is None or before.groups != chart.groups or before.items != chart.items:
            self._choose_first()

    def _offer_colours(self, explored: ExploredModel) -> None:
        """What points of a model's map can be coloured by; what was chosen stays where it can be."""
        offered = drawing.colours(explored)
        if tuple(self.colour.options) != offered:
            before = self.colour.value
            value = before if before in offered else drawing.first_colour(explored)
            _offer(self.colour, offered, value, self._draw)

    def _choose_first(self) -> None:
        """A is the first item, and B the first of another class or sex, both inferred from the first modality."""
        marks = drawing.signs(self.chart, drawing.first_colour(self.chart.explored))[0][: self.chart.items]
        other = next((item for item, mark in enumerate(marks) if mark != marks[0]), 0)
        with self.map.hold_trait_notifications():
            self.map.hovered, self.map.a, self.map.b = NONE, 0, other

    @in_turn
    def _new_joint(self, *_: object) -> None:
        """Another fusion for the joint: only its points move."""
        if self.chart is not None:
            self.chart = self.charts[self.model.value] = with_joint(self.chart, self.joint.value)
            self._renew()

    def _renew(self) -> None:
        self._draw()
        self._pointed()
        self._interpolate()

    @in_turn
    def _draw(self, *_: object) -> None:
        """Points, axes and legend, and what is drawn over them."""
        if self.chart is None:
            return
        self.ellipses.disabled = self.projection.value == TSNE
        places, (marks, colours) = self._places(), drawing.signs(self.chart, self.colour.value)
        with self.map.hold_sync():
            self.map.points = {
                "x": places[:, 0].tolist(), "y": places[:, 1].tolist(), "mark": marks, "colour": colours,
                "group": drawing.group_numbers(self.chart),
                "text": [*map(self.chart.describe, range(self.chart.points))],
            }  # fmt: skip
            self.map.legend = drawing.legend(self.chart, self.colour.value)
            self.map.axes = drawing.axis_names(self.chart) if self.projection.value == PCA else ["", ""]
            self.map.bounds = _bounds(places)
            self._regroup()
            self._overlay()
        self._say()

    def _places(self) -> Float[Tensor, "points 2"]:
        """Where the points are in the projection chosen; t-SNE is computed when it is first asked for."""
        if self.projection.value == PCA:
            return self.chart.positions().flatten(0, 1)
        key = self.model.value, self.chart.fusion
        if key not in self.neighbours:
            told = f"computing t-SNE of {self.chart.points} points: some seconds …"
            self.note.value = page(f'<p role="status">{told}</p>')
            self.neighbours[key] = tsne(self.chart.contents)
        return self.neighbours[key].flatten(0, 1)

    @in_turn
    def _regroup(self, *_: object) -> None:
        self.map.shown = [g for g, box in enumerate(self.groups.children) if box.value]

    @in_turn
    def _overlay(self, *_: object) -> None:
        """Ellipses of A's item and the line from A to B, which only the plane of the components has a place for."""
        a, b, flat = self.map.a, self.map.b, self.projection.value == PCA and self.chart is not None
        drawn = flat and self.ellipses.value and a != NONE
        self.map.ellipses = drawing.ellipse_lines(self.chart, self.chart.place(a)[1]) if drawn else []
        ends = [self.chart.content(point) for point in (a, b)] if flat and NONE not in (a, b) else []
        self.map.path = self.chart.plane.project(interpolate(*ends)).tolist() if ends else []

    @in_turn
    def _chosen(self, *_: object) -> None:
        if self.chart is None:
            return
        if max(self.map.a, self.map.b) >= self.chart.points:
            # a message that was under way when the model changed names a point that the new map does not have
            self._choose_first()
        else:
            self._overlay()
            self._pointed()
            self._interpolate()

    @in_turn
    def _pointed(self, *_: object) -> None:
        """Beside the map: the point that is hovered over, or else A."""
        name, point = ("pointed at", self.map.hovered) if self.map.hovered != NONE else ("A", self.map.a)
        if self.chart is not None and 0 <= point < self.chart.points:
            self.side.value = drawing.item_page(self.chart, point, name)

    def _interpolate(self) -> None:
        if NONE not in (self.map.a, self.map.b):
            self.strip.value = drawing.line_page(self.chart, self.map.a, self.map.b)

    def _say(self) -> None:
        chart = self.chart
        about = [f"{chart.explored.note}; {chart.items} test items.", "Each point is the mean of a posterior of c."]
        about += [OF_MIXTURE] * (chart.fusion == "mixture") + [NOTES[self.projection.value]]
        self.note.value = page(f'<p class="note">{escape(" ".join(about))}</p>')


def _choice(options: Sequence[object], description: str, width: str, call: Callable[..., None]) -> widgets.Dropdown:
    made = widgets.Dropdown(options=options, description=description, layout=widgets.Layout(width=width))
    made.observe(call, names="value")
    return made


def _offer(control: widgets.Dropdown, options: Iterable[object], value: object, call: Callable[..., None]) -> None:
    """Other options and another value, of which the control does not tell the function that observes it."""
    control.unobserve(call, names="value")
    control.options = [*options]
    control.value = value
    control.observe(call, names="value")


def _bounds(places: Float[Tensor, "points 2"]) -> list[float]:
    """Left, right, bottom and top of a map with a margin round its points."""
    low, high = places.amin(0), places.amax(0)
    margin = 0.04 * (high - low).max().clamp(min=1e-6)
    (left, bottom), (right, top) = (low - margin).tolist(), (high + margin).tolist()
    return [left, right, bottom, top]
