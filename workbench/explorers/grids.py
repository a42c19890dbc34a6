"""Style by content: rows share a random style, columns a content, for one model or several side by side.

With contents inferred from test items it is Figure 1 of the paper, with contents from p(c) its Figure 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as widgets
import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from workbench.explorers import controls, pictures
from workbench.explorers.controls import explorer
from workbench.explorers.exhibit import Exhibit, comparable
from workbench.explorers.generation import Item, at_temperature, encode_items, from_prior, own_posterior, test_item
from workbench.explorers.names import named
from workbench.inference import subset_posterior
from workbench.model import Posteriors
from workbench.plotting import item_grid

CLASSES = 10
SIDE = 36  # pixels of a picture in a grid
MOST_ROWS = 8
STYLE = """<style>
.workbench .grids { display: flex; flex-wrap: wrap; gap: 4px 20px }
.workbench .grids td { padding: 1px 2px; vertical-align: middle }
.workbench .grids .text { font-size: 11px }
.workbench caption { text-align: left; font-weight: 600 }
</style>"""


@dataclass(frozen=True)
class Plan:
    """What stands in a grid."""

    letter: str  # the modality that is generated
    given: tuple[str, ...] = ()  # modalities of a test item of each class to infer contents from; none: p(c)
    rows: int = 5
    temperature: float = 1.0  # of the contents: 0 is the mean of what they are drawn from
    number: int = 0  # which test item of each class
    content_seed: int = 0
    style_seed: int = 0


@dataclass(frozen=True)
class Grid:
    """What was generated, and what the judge reads in it."""

    values: Float[Tensor, "rows columns ..."]
    judged: Int[Tensor, "rows columns"]
    classes: Int[Tensor, "columns"]  # of the test items; of random contents, what most of a column is judged to be

    @property
    def hits(self) -> tuple[int, int]:
        """How many cells are judged to be of their column's class, and how many there are."""
        return int((self.judged == self.classes).sum()), self.judged.numel()


@torch.no_grad()
def style_content(
    exhibit: Exhibit,
    letter: str,
    contents: Float[Tensor, "columns content"],
    styles: Float[Tensor, "rows style"],
) -> Float[Tensor, "rows columns ..."]:
    """Every content in every style in one modality: pixels in [0, 1], or probabilities of characters."""
    m, model = exhibit.index(letter), exhibit.model
    content, style = contents.repeat(len(styles), 1), styles.repeat_interleave(len(contents), dim=0)
    output = model.decode_one(m, content, style)
    return model.modalities[m].likelihood.mean(output).unflatten(0, (len(styles), len(contents)))


def random_styles(exhibit: Exhibit, rows: int, seed: int = 0) -> Float[Tensor, "rows style"]:
    """Styles from the prior; a single one, of no dimensions, of a model that has none."""
    rows = rows if exhibit.model.style_dim else 1
    return from_prior(exhibit, rows, exhibit.model.style_dim, seed=seed)


def random_contents(exhibit: Exhibit, columns: int = CLASSES, seed: int = 0) -> Float[Tensor, "columns content"]:
    """Contents from the prior p(c)."""
    return from_prior(exhibit, columns, exhibit.model.content_dim, seed=seed)


@torch.no_grad()
def inferred_contents(
    exhibit: Exhibit, items: Sequence[Item], temperature: float = 1.0, seed: int = 0
) -> Float[Tensor, "columns content"]:
    """One content for each item, drawn from its posterior under the method's own fusion; all have the same letters.

    Of a mixture, from a component taken at random.
    """
    given, generator = list(items[0]), torch.Generator().manual_seed(seed)
    encoded, copies = encode_items(exhibit, items), len(given) * [*range(len(items))]
    content, style, present = encoded.content[:, copies], encoded.style[:, copies], encoded.present[:, copies]
    how, weight = own_posterior(exhibit), exhibit.config.prior_weight
    # a mixture of as many components as copies: all items from the first, then all from the second, and so on
    q = subset_posterior(exhibit.model, Posteriors(content, style, present), given, how, weight)
    q = q[torch.randint(len(given), (len(items),), generator=generator) * len(items) + torch.arange(len(items))]
    return at_temperature(q, temperature, generator)


def items_of(exhibit: Exhibit, plan: Plan) -> list[Item]:
    """A test item of each class, what the plan gives of it; none when contents come from p(c).

    ValueError for a modality that the model does not have.
    """
    for letter in plan.given:
        exhibit.index(letter)
    whole = [test_item(exhibit, digit, plan.number) for digit in range(CLASSES)] if plan.given else []
    return [{letter: item[letter] for letter in plan.given} for item in whole]


@torch.no_grad()
def fill(exhibit: Exhibit, plan: Plan) -> Grid:
    """The grid of a plan; a single row of a model without styles. ValueError for a modality that there is not."""
    items = items_of(exhibit, plan)
    if items:
        contents = inferred_contents(exhibit, items, plan.temperature, plan.content_seed)
    else:
        contents = plan.temperature * random_contents(exhibit, seed=plan.content_seed)
    styles = random_styles(exhibit, plan.rows, plan.style_seed)
    values = style_content(exhibit, plan.letter, contents, styles)
    judged = exhibit.judges[exhibit.index(plan.letter)].predict(values.flatten(0, 1)).view(values.shape[:2])
    return Grid(values, judged, torch.arange(CLASSES) if items else judged.mode(0).values)


def draw_grids(exhibits: Sequence[Exhibit], plan: Plan) -> str:
    """What is given, if anything, and one grid for each model as HTML tables; errors as those of `fill`."""
    alike = comparable(exhibits)
    without = [exhibit.name for exhibit in alike if exhibit.model.style_dim == 0]
    parts = [pictures.message(_without_styles(without))] if without else []
    if plan.given:
        parts.append(_beside(_inputs(alike[0], plan)))
    return pictures.page(STYLE, *parts, _beside(*(_table(exhibit, plan) for exhibit in alike)))


def _beside(*tables: str) -> str:
    return f'<div class="grids">{"".join(tables)}</div>'


def _without_styles(names: Sequence[str]) -> str:
    return f"{', '.join(names)}: trained without styles (style_dim 0), so every row would be the same and there is one"


def _inputs(exhibit: Exhibit, plan: Plan) -> str:
    """The test items that contents are inferred from."""
    items = items_of(exhibit, plan)
    rows = []
    for letter in plan.given:
        name = exhibit.model.modalities[exhibit.index(letter)].name
        cells = [pictures.cell(f"given: {name} of class {k}", item[letter], side=SIDE) for k, item in enumerate(items)]
        rows.append((name, cells))
    return pictures.table([str(k) for k in range(CLASSES)], rows, "Given: a test item of each class")


def _table(exhibit: Exhibit, plan: Plan) -> str:
    grid, given = fill(exhibit, plan), bool(plan.given)
    rows = []
    for row in range(len(grid.values)):
        name = f"style {row + 1}" if exhibit.model.style_dim else "no style"
        cells = [_cell(f"content {column + 1}, {name}", grid, row, column, given) for column in range(CLASSES)]
        rows.append((name, cells))
    return pictures.table(headings(grid, given), rows, f"{exhibit.name}: {_score(grid, given)}")


def headings(grid: Grid, given: bool) -> list[str]:
    """Over the columns: the class of the test item, or the number of the random content."""
    return [str(k) if given else f"c{column}" for column, k in enumerate(grid.classes.tolist(), start=1)]


def _score(grid: Grid, given: bool) -> str:
    hits, cells = grid.hits
    if given:
        return f"judged to be of its column's class in {hits} of {cells}"
    return f"judged as most of its column in {hits} of {cells}"


def _cell(name: str, grid: Grid, row: int, column: int, given: bool) -> str:
    judged, asked = int(grid.judged[row, column]), int(grid.classes[column])
    said = f"{judged} {'✓' if judged == asked else '✗'}"
    name = f"class {asked}, {name}" if given else name
    x = grid.values[row, column]
    return f"{pictures.cell(f'{name}, judged {judged}', x, side=SIDE)}{pictures.note(said)}"


def style_content_grid(exhibits: Sequence[Exhibit], plan: Plan) -> Figure:
    """The grids of a plan as a figure, one model below the other; errors as those of `fill`."""
    alike = comparable(exhibits)
    items, names = [], []
    for exhibit in alike:
        grid = fill(exhibit, plan)
        items += [list(row) for row in grid.values]
        name = f"{exhibit.name}, " if len(alike) > 1 else ""
        names += [f"{name}style {row + 1}" for row in range(len(grid.values))]
    return item_grid(items, names, headings(grid, bool(plan.given)))


@explorer
def explore_grid(exhibits: Sequence[Exhibit]) -> widgets.VBox:
    """Styles by contents: choose the models, the modality, where the contents come from, and draw others."""
    exhibits = comparable(exhibits)
    picture = widgets.HTML()
    modalities = exhibits[0].model.modalities
    shown, given = controls.models(exhibits, [0]), controls.given(exhibits[0])
    target = widgets.Dropdown(
        options=[(f"{m.name} ({m.letter})", m.letter) for m in modalities], description="generated"
    )
    source = controls.choice("contents", [("a test item of each class", "items"), ("random, from p(c)", "random")], 180)
    following = controls.next_example("another test item of each class")
    rows = widgets.IntSlider(5, min=1, max=MOST_ROWS, description="styles", continuous_update=False)
    warmth = controls.temperature()
    contents, styles = controls.resample("contents"), controls.resample("styles")

    def redraw(*_: object) -> None:
        random = source.value == "random"
        for control in (following, *given.values()):
            control.disabled = random
        letters = () if random else tuple(letter for letter, box in given.items() if box.value)
        try:
            if not random and not letters:
                raise ValueError("nothing is given: tick a modality, or take random contents")
            plan = Plan(
                target.value, letters, rows.value, warmth.value, following.clicks, contents.clicks, styles.clicks
            )
            picture.value = draw_grids([exhibits[place] for place in shown.value], plan)
        except ValueError as error:
            picture.value = pictures.page(pictures.message(str(error)))

    everything = [shown, target, source, *given.values(), following, rows, warmth, contents, styles]
    controls.on_change(everything, redraw)
    redraw()
    return named(
        widgets.VBox(
            [
                controls.row(source, following),
                controls.row(*given.values()),
                controls.row(target, rows, styles),
                controls.row(warmth, contents),
                *([shown] if len(exhibits) > 1 else []),
                picture,
            ]
        )
    )
