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
from workbench.explorers.generation import Item, encode_items, from_prior, own_posterior, random_codes, test_item
from workbench.explorers.models import ExploredModel, comparable
from workbench.explorers.subjects import Faces, Kind
from workbench.inference import subset_posterior
from workbench.metrics.samplers import at_temperature
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
    given: tuple[str, ...] = ()  # modalities of a test item of each kind to infer contents from; none: at random
    rows: int = 5
    temperature: float = 1.0  # of the contents: 0 is the mean of what they are drawn from
    number: int = 0  # which test item of each kind
    content_seed: int = 0
    style_seed: int = 0
    sampler: str = "prior"  # what random contents, and the styles beside them, are drawn from


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

    @property
    def headings(self) -> list[str]:
        """Names of the columns: the kind of the test item, or the number of the random content."""
        return [str(kind) for kind in self.kinds] or [f"c{column}" for column in range(1, len(self.asked) + 1)]


@torch.no_grad()
def style_content(
    explored: ExploredModel,
    letter: str,
    contents: Float[Tensor, "columns content"],
    styles: Float[Tensor, "rows style"],
) -> Float[Tensor, "rows columns ..."]:
    """Decode every content in every style in one modality: pixels in [0, 1], or probabilities of characters."""
    m, model = explored.index(letter), explored.model
    content, style = contents.repeat(len(styles), 1), styles.repeat_interleave(len(contents), dim=0)
    output = model.decode_one(m, content, style)
    return model.modalities[m].likelihood.mean(output).unflatten(0, (len(styles), len(contents)))


def random_styles(
    explored: ExploredModel, rows: int, seed: int = 0, sampler: str = "prior", letter: str | None = None
) -> Float[Tensor, "rows style"]:
    """Draw styles of a modality, alike for all from the prior; one of no dimensions of a model that has none."""
    rows = rows if explored.model.style_dim else 1
    if letter is None or sampler == "prior":
        return from_prior(explored, rows, explored.model.style_dim, seed=seed)
    return random_codes(explored, sampler, rows, seed).style[explored.index(letter)]


def random_contents(
    explored: ExploredModel, columns: int = CLASSES, seed: int = 0, sampler: str = "prior", temperature: float = 1.0
) -> Float[Tensor, "columns content"]:
    """Draw contents from the prior p(c), or another sampler."""
    return random_codes(explored, sampler, columns, seed, temperature).content


@torch.no_grad()
def inferred_contents(
    explored: ExploredModel, items: Sequence[Item], temperature: float = 1.0, seed: int = 0
) -> Float[Tensor, "columns content"]:
    """Draw a content for each item from its posterior under the method's own fusion; all have the same letters.

    Of a mixture, from a component taken at random.
    """
    given, generator = list(items[0]), torch.Generator().manual_seed(seed)
    encoded, copies = encode_items(explored, items), len(given) * [*range(len(items))]
    content, style, present = encoded.content[:, copies], encoded.style[:, copies], encoded.present[:, copies]
    fusion, weight = own_posterior(explored), explored.config.prior_weight
    # a mixture of as many components as copies: all items from the first, then all from the second, and so on
    q = subset_posterior(explored.model, Posteriors(content, style, present), given, fusion, weight)
    q = q[torch.randint(len(given), (len(items),), generator=generator) * len(items) + torch.arange(len(items))]
    return at_temperature(q, temperature, generator)


def kinds_of(explored: ExploredModel) -> list[Kind]:
    """List the columns: the ten classes, or attributes that test faces have; ValueError where there are none."""
    kinds = explored.subject.columns(explored.data.labels)
    if not kinds:
        raise ValueError(f"no test face of {explored.data.name} has any of the attributes that columns are made of")
    return kinds


def items_of(explored: ExploredModel, plan: Plan) -> list[Item]:
    """Return a test item of each kind, what the plan gives of it; none when contents are random.

    ValueError for a modality that the model does not have.
    """
    for letter in plan.given:
        explored.index(letter)
    whole = [test_item(explored, kind, plan.number) for kind in kinds_of(explored)] if plan.given else []
    return [{letter: item[letter] for letter in plan.given} for item in whole]


@torch.no_grad()
def fill(explored: ExploredModel, plan: Plan) -> Grid:
    """Fill the grid of a plan; a single row of a model without styles. ValueError for an unknown modality."""
    items, subject = items_of(explored, plan), explored.subject
    if items:
        contents = inferred_contents(explored, items, plan.temperature, plan.content_seed)
    else:
        contents = random_contents(explored, CLASSES, plan.content_seed, plan.sampler, plan.temperature)
    styles = random_styles(explored, plan.rows, plan.style_seed, "prior" if items else plan.sampler, plan.letter)
    values = style_content(explored, plan.letter, contents, styles)
    logits = explored.judges[explored.index(plan.letter)].network(values.flatten(0, 1))
    opinions = subject.opinions(logits).unflatten(0, values.shape[:2])
    found, kinds = subject.found(opinions), kinds_of(explored) if items else []
    asked = torch.stack([subject.asked(kind) for kind in kinds]) if items else subject.usual(found)
    return Grid(values, opinions, found, asked, kinds)


def draw_grids(models: Sequence[ExploredModel], plan: Plan) -> str:
    """Show what is given, if anything, and one grid for each model as HTML tables; errors as those of `fill`."""
    alike, parts = comparable(models), []
    if without := [explored.name for explored in alike if explored.model.style_dim == 0]:
        why = "trained without styles (style_dim 0), so every row would be the same and there is one"
        parts.append(pictures.message(f"{', '.join(without)}: {why}"))
    tables = [[_inputs(alike[0], plan)]] if plan.given else []
    tables.append([_table(explored, plan) for explored in alike])
    return pictures.page(STYLE, *parts, *(f'<div class="grids">{"".join(beside)}</div>' for beside in tables))


def _inputs(explored: ExploredModel, plan: Plan) -> str:
    subject, side, rows = explored.subject, _side(explored), []
    items = dict(zip(kinds_of(explored), items_of(explored, plan), strict=True))
    for letter in plan.given:
        name = explored.model.modalities[explored.index(letter)].name
        of = {kind: f"given: {name} of {subject.of(kind)}" for kind in items}
        rows.append((name, [pictures.cell(of[kind], item[letter], side=side) for kind, item in items.items()]))
    return pictures.table([*map(str, items)], rows, f"Given: {subject.each}")


def _side(explored: ExploredModel) -> int:
    return round(SIDE * explored.subject.scale)


def _table(explored: ExploredModel, plan: Plan) -> str:
    grid, subject, rows = fill(explored, plan), explored.subject, []
    for row in range(len(grid.values)):
        name = f"style {row + 1}" if explored.model.style_dim else "no style"
        rows.append((name, [_cell(explored, name, grid, row, column) for column in range(len(grid.asked))]))
    score = (subject.in_column if plan.given else subject.as_most).format(*grid.hits)
    return pictures.table(grid.headings, rows, f"{explored.name}: {score}")


def _cell(explored: ExploredModel, name: str, grid: Grid, row: int, column: int) -> str:
    subject, opinion = explored.subject, grid.opinions[row, column]
    of = f"{subject.of(grid.kinds[column])}, " if grid.kinds else ""
    name = f"{of}content {column + 1}, {name}, judged {subject.likeliest(opinion)}"
    picture = pictures.cell(name, grid.values[row, column], side=_side(explored))
    return picture + pictures.note(subject.short(opinion, grid.asked[column]))


def style_content_grid(models: Sequence[ExploredModel], plan: Plan) -> Figure:
    """Draw the grids of a plan as a figure, one model below the other; errors as those of `fill`."""
    alike = comparable(models)
    items, names = [], []
    for explored in alike:
        grid = fill(explored, plan)
        items += [list(row) for row in grid.values]
        name = f"{explored.name}, " if len(alike) > 1 else ""
        names += [f"{name}style {row + 1}" for row in range(len(grid.values))]
    return item_grid(items, names, grid.headings)


@explorer
def explore_grid(models: Sequence[ExploredModel]) -> widgets.VBox:
    """Explore styles by contents: choose models, modality and where contents come from, and draw others."""
    models = comparable(models)
    picture = widgets.HTML()
    first_rows = 4 if isinstance(models[0].subject, Faces) else 5  # faces take longer to draw
    modalities, each = models[0].model.modalities, models[0].subject.each
    shown, given = controls.model_choice(models, [0]), controls.given(models[0])
    targets = [(f"{m.name} ({m.letter})", m.letter) for m in modalities]
    target = widgets.Dropdown(options=targets, description="generated")
    source = controls.choice("contents", [(each, "items"), ("random", "random")], 200)
    sampler = controls.sampler()
    following = controls.next_example(each.replace("a test", "another test", 1))
    rows = widgets.IntSlider(first_rows, min=1, max=MOST_ROWS, description="styles", continuous_update=False)
    warmth = controls.temperature()
    contents, styles = controls.resample("contents"), controls.resample("styles")

    def redraw(*_: object) -> None:
        random = source.value == "random"
        for control in (following, *given.values()):
            control.disabled = random
        sampler.disabled = not random
        letters = () if random else tuple(letter for letter, box in given.items() if box.value)
        try:
            if not random and not letters:
                raise ValueError("nothing is given: tick a modality, or take random contents")
            numbers = following.clicks, contents.clicks, styles.clicks
            plan = Plan(target.value, letters, rows.value, warmth.value, *numbers, sampler.value)
            picture.value = draw_grids([models[place] for place in shown.value], plan)
        except ValueError as error:
            picture.value = pictures.page(pictures.message(str(error)))

    everything = [shown, target, source, sampler, *given.values(), following, rows, warmth, contents, styles]
    controls.on_change(everything, redraw)
    redraw()
    lines = [source, sampler, following], given.values(), [target, rows, styles], [warmth, contents]
    return controls.lay_out(*lines, below=[shown, picture] if len(models) > 1 else [picture])
