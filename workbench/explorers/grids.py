"""Style by content: rows share a random style, columns a content, for one model or several side by side.

With contents inferred from test items it is Figure 1 of the paper, with contents from p(c) its Figure 4. Columns of
digits are their classes; columns of faces are attributes, each of a test face that has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as widgets
import torch
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from torch import Tensor

from workbench.explorers import controls, pictures
from workbench.explorers.controls import explorer
from workbench.explorers.generation import Item, at_temperature, encode_items, from_prior, own_posterior, test_item
from workbench.explorers.models import ExploredModel, comparable
from workbench.explorers.names import named
from workbench.explorers.subjects import Faces, Kind
from workbench.inference import subset_posterior
from workbench.model import Posteriors
from workbench.plotting.base import item_grid

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
    given: tuple[str, ...] = ()  # modalities of a test item of each kind to infer contents from; none: p(c)
    rows: int = 5
    temperature: float = 1.0  # of the contents: 0 is the mean of what they are drawn from
    number: int = 0  # which test item of each kind
    content_seed: int = 0
    style_seed: int = 0


@dataclass(frozen=True)
class Grid:
    """What was generated, and what the judge reads in it: of K classes one, of K attributes any."""

    values: Float[Tensor, "rows columns ..."]
    opinions: Float[Tensor, "rows columns K"]
    found: Bool[Tensor, "rows columns K"]
    asked: Bool[Tensor, "columns K"]  # of the test items; of random contents, what most of a column is judged to be
    kinds: list[Kind]  # of the test items; none of random contents

    @property
    def hits(self) -> tuple[int, int]:
        """How much of what is asked of the columns is found in their cells, and how much there is."""
        return int((self.found & self.asked).sum()), int(self.asked.sum()) * len(self.found)


@torch.no_grad()
def style_content(
    exhibit: ExploredModel,
    letter: str,
    contents: Float[Tensor, "columns content"],
    styles: Float[Tensor, "rows style"],
) -> Float[Tensor, "rows columns ..."]:
    """Every content in every style in one modality: pixels in [0, 1], or probabilities of characters."""
    m, model = exhibit.index(letter), exhibit.model
    content, style = contents.repeat(len(styles), 1), styles.repeat_interleave(len(contents), dim=0)
    output = model.decode_one(m, content, style)
    return model.modalities[m].likelihood.mean(output).unflatten(0, (len(styles), len(contents)))


def random_styles(exhibit: ExploredModel, rows: int, seed: int = 0) -> Float[Tensor, "rows style"]:
    """Styles from the prior; a single one, of no dimensions, of a model that has none."""
    rows = rows if exhibit.model.style_dim else 1
    return from_prior(exhibit, rows, exhibit.model.style_dim, seed=seed)


def random_contents(exhibit: ExploredModel, columns: int = CLASSES, seed: int = 0) -> Float[Tensor, "columns content"]:
    """Contents from the prior p(c)."""
    return from_prior(exhibit, columns, exhibit.model.content_dim, seed=seed)


@torch.no_grad()
def inferred_contents(
    exhibit: ExploredModel, items: Sequence[Item], temperature: float = 1.0, seed: int = 0
) -> Float[Tensor, "columns content"]:
    """One content for each item, drawn from its posterior under the method's own fusion; all have the same letters.

    Of a mixture, from a component taken at random.
    """
    given, generator = list(items[0]), torch.Generator().manual_seed(seed)
    encoded, copies = encode_items(exhibit, items), len(given) * [*range(len(items))]
    content, style, present = encoded.content[:, copies], encoded.style[:, copies], encoded.present[:, copies]
    fusion, weight = own_posterior(exhibit), exhibit.config.prior_weight
    # a mixture of as many components as copies: all items from the first, then all from the second, and so on
    q = subset_posterior(exhibit.model, Posteriors(content, style, present), given, fusion, weight)
    q = q[torch.randint(len(given), (len(items),), generator=generator) * len(items) + torch.arange(len(items))]
    return at_temperature(q, temperature, generator)


def kinds_of(exhibit: ExploredModel) -> list[Kind]:
    """The columns: the ten classes, or attributes that there are test faces with; ValueError where there are none."""
    kinds = exhibit.subject.columns(exhibit.data.labels)
    if not kinds:
        raise ValueError(f"no test face of {exhibit.data.name} has any of the attributes that columns are made of")
    return kinds


def items_of(exhibit: ExploredModel, plan: Plan) -> list[Item]:
    """A test item of each kind, what the plan gives of it; none when contents come from p(c).

    ValueError for a modality that the model does not have.
    """
    for letter in plan.given:
        exhibit.index(letter)
    whole = [test_item(exhibit, kind, plan.number) for kind in kinds_of(exhibit)] if plan.given else []
    return [{letter: item[letter] for letter in plan.given} for item in whole]


@torch.no_grad()
def fill(exhibit: ExploredModel, plan: Plan) -> Grid:
    """The grid of a plan; a single row of a model without styles. ValueError for a modality that there is not."""
    items, subject = items_of(exhibit, plan), exhibit.subject
    if items:
        contents = inferred_contents(exhibit, items, plan.temperature, plan.content_seed)
    else:
        contents = plan.temperature * random_contents(exhibit, seed=plan.content_seed)
    styles = random_styles(exhibit, plan.rows, plan.style_seed)
    values = style_content(exhibit, plan.letter, contents, styles)
    logits = exhibit.judges[exhibit.index(plan.letter)].network(values.flatten(0, 1))
    opinions = subject.opinions(logits).unflatten(0, values.shape[:2])
    found, kinds = subject.found(opinions), kinds_of(exhibit) if items else []
    asked = torch.stack([subject.asked(kind) for kind in kinds]) if items else subject.usual(found)
    return Grid(values, opinions, found, asked, kinds)


def draw_grids(exhibits: Sequence[ExploredModel], plan: Plan) -> str:
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


def _inputs(exhibit: ExploredModel, plan: Plan) -> str:
    """The test items that contents are inferred from."""
    items, kinds, rows = items_of(exhibit, plan), kinds_of(exhibit), []
    for letter in plan.given:
        name = exhibit.model.modalities[exhibit.index(letter)].name
        cells = [
            pictures.cell(f"given: {name} of {exhibit.subject.of(kind)}", item[letter], side=_side(exhibit))
            for kind, item in zip(kinds, items, strict=True)
        ]
        rows.append((name, cells))
    return pictures.table([str(kind) for kind in kinds], rows, f"Given: {exhibit.subject.each}")


def _side(exhibit: ExploredModel) -> int:
    return round(SIDE * exhibit.subject.scale)


def _table(exhibit: ExploredModel, plan: Plan) -> str:
    grid, given, rows = fill(exhibit, plan), bool(plan.given), []
    for row in range(len(grid.values)):
        name = f"style {row + 1}" if exhibit.model.style_dim else "no style"
        rows.append((name, [_cell(exhibit, name, grid, row, column) for column in range(len(grid.asked))]))
    subject = exhibit.subject
    score = (subject.in_column if given else subject.as_most).format(*grid.hits)
    return pictures.table(headings(exhibit, grid), rows, f"{exhibit.name}: {score}")


def headings(exhibit: ExploredModel, grid: Grid) -> list[str]:
    """Over the columns: the kind of the test item, or the number of the random content."""
    return [str(kind) for kind in grid.kinds] or [f"c{column}" for column in range(1, len(grid.asked) + 1)]


def _cell(exhibit: ExploredModel, name: str, grid: Grid, row: int, column: int) -> str:
    of = f"{exhibit.subject.of(grid.kinds[column])}, " if grid.kinds else ""
    name = f"{of}content {column + 1}, {name}"
    said = exhibit.subject.short(grid.opinions[row, column], grid.asked[column])
    judged = exhibit.subject.likeliest(grid.opinions[row, column])
    picture = pictures.cell(f"{name}, judged {judged}", grid.values[row, column], side=_side(exhibit))
    return picture + pictures.note(said)


def style_content_grid(exhibits: Sequence[ExploredModel], plan: Plan) -> Figure:
    """The grids of a plan as a figure, one model below the other; errors as those of `fill`."""
    alike = comparable(exhibits)
    items, names = [], []
    for exhibit in alike:
        grid = fill(exhibit, plan)
        items += [list(row) for row in grid.values]
        name = f"{exhibit.name}, " if len(alike) > 1 else ""
        names += [f"{name}style {row + 1}" for row in range(len(grid.values))]
    return item_grid(items, names, headings(exhibit, grid))


@explorer
def explore_grid(exhibits: Sequence[ExploredModel]) -> widgets.VBox:
    """Styles by contents: choose the models, the modality, where the contents come from, and draw others."""
    exhibits = comparable(exhibits)
    picture = widgets.HTML()
    first_rows = 4 if isinstance(exhibits[0].subject, Faces) else 5  # faces take longer to draw
    modalities, each = exhibits[0].model.modalities, exhibits[0].subject.each
    shown, given = controls.models(exhibits, [0]), controls.given(exhibits[0])
    target = widgets.Dropdown(
        options=[(f"{m.name} ({m.letter})", m.letter) for m in modalities], description="generated"
    )
    source = controls.choice("contents", [(each, "items"), ("random, from p(c)", "random")], 200)
    following = controls.next_example(each.replace("a test", "another test", 1))
    rows = widgets.IntSlider(first_rows, min=1, max=MOST_ROWS, description="styles", continuous_update=False)
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
