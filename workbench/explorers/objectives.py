"""The same input under several objectives side by side, while modalities are switched off one by one.

Models are compared by their contents alone: styles stay at the prior's mean, and all contents are drawn with the same
noise. What the styles do is shown by `grids`.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import ipywidgets as widgets
import torch
from jaxtyping import Bool
from matplotlib.figure import Figure
from torch import Tensor

from workbench.explorers import controls, generation, pictures
from workbench.explorers.controls import explorer
from workbench.explorers.generation import POSTERIORS, Generated, GenerationSettings, Item, generate, own_posterior
from workbench.explorers.inputs_faces import face_kinds
from workbench.explorers.models import ExploredModel, comparable
from workbench.explorers.subjects import Digits, Faces, subject_by
from workbench.fusion import subsets
from workbench.modality import Modality
from workbench.plotting.base import item_grid

SETTINGS = GenerationSettings(draws=4)
MEANS = GenerationSettings(temperature=0.0)
SMALL = 56  # pixels of a picture, so that three models with four draws each go beside each other
WORD = 78  # pixels of a string
OWN = "each method's own"


def compare(
    models: Sequence[ExploredModel], item: Item, settings: GenerationSettings = SETTINGS, own: bool = True
) -> list[Generated]:
    """Generate by each model, in their order, given an item; `own`: by its method's posterior, not `settings.fusion`.

    ValueError for models that cannot be compared, for a modality or a fusion that a model does not have.
    """
    alike = comparable(models)
    fused = zip(alike, _posteriors(alike, settings, own), strict=True)
    return [generate(explored, item, replace(settings, fusion=fusion)) for explored, fusion in fused]


def _posteriors(models: Sequence[ExploredModel], settings: GenerationSettings, own: bool) -> list[str]:
    return [own_posterior(explored) if own else settings.fusion for explored in models]


def agreement(generated: Generated, label: int | Tensor) -> tuple[int, int]:
    """Count how much of what is true of an item with this label is found in draws of all modalities, and of how much.

    Of a class: how many draws are judged to be of it, and how many draws there are.
    """
    found = _found(generated)
    asked = subject_by(found.shape[-1]).words(torch.as_tensor(label))
    return int((found & asked).sum()), int(asked.sum()) * found[..., 0].numel()


def _found(generated: Generated) -> Bool[Tensor, "M draws K"]:
    opinions = torch.stack([*generated.opinions.values()])
    return subject_by(opinions.shape[-1]).found(opinions)


def draw_objectives(
    models: Sequence[ExploredModel],
    item: Item,
    label: int | Tensor,
    settings: GenerationSettings = SETTINGS,
    own: bool = True,
) -> str:
    """Show as an HTML table, for each modality, the input and what each model draws, and how often that is right.

    `item` holds what is given of a test item with this label, a class or attributes; errors as those of `compare`.
    """
    alike = comparable(models)
    generated = compare(alike, item, settings, own)
    words = {fusion: name for name, fusion in POSTERIORS.items()}
    fused = [words.get(fusion, fusion.replace("_", " ")) for fusion in _posteriors(alike, settings, own)]
    rows = [("fused by", ["", *fused])] if item else []
    for modality in alike[0].model.modalities:
        drawn = [_draws(e, modality, made) for e, made in zip(alike, generated, strict=True)]
        rows.append((f"{modality.name} ({modality.letter})", [_input(alike[0], modality, item), *drawn]))
    rows.append(_score(alike[0], generated, item, label))
    given = ", ".join(modality.name for modality in alike[0].model.modalities if modality.letter in item)
    given = given or "nothing, so that contents are drawn from p(c)"
    caption = f"Given {given}: {settings.draws} draws of each model, styles at the prior's mean"
    table = pictures.table(["input", *(e.name for e in alike)], rows, caption)
    return pictures.page(table, pictures.note(*(e.note for e in alike)))


def _score(
    explored: ExploredModel, generated: Sequence[Generated], item: Item, label: int | Tensor
) -> tuple[str, list[str]]:
    """The last row: coherence with the input, or, where nothing is given, among the modalities."""
    subject = explored.subject
    if not item:
        return "in all", [subject.nothing, *(subject.together(_found(made)) for made in generated)]
    said = [subject.again(*agreement(made, label), int(_found(made).sum())) for made in generated]
    return "in all", [subject.name(torch.as_tensor(label)), *said]


def _input(explored: ExploredModel, modality: Modality, item: Item) -> str:
    if modality.letter not in item:
        return '<span style="white-space: nowrap">not given</span>'
    return pictures.cell(f"input: {modality.name}", item[modality.letter], side=round(SMALL * explored.subject.scale))


def _draws(explored: ExploredModel, modality: Modality, generated: Generated) -> str:
    """A cell of the table: all draws of one modality, in pairs that stay together where the page is narrow."""
    values, opinions = generated.values[modality.letter], generated.opinions[modality.letter]
    side = round(SMALL * explored.subject.scale)
    width = side if isinstance(explored.subject, Digits) and values.dim() == 4 else WORD * explored.subject.scale
    gap = 1 if isinstance(explored.subject, Digits) else 6
    box = f"display: inline-block; vertical-align: top; margin: 1px {gap}px; width: {width:.0f}px; white-space: normal"
    parts = []
    for draw, (x, opinion, origin) in enumerate(zip(values, opinions, generated.origins, strict=True), start=1):
        said = f"{explored.name}: {modality.name}, draw {draw} from {origin}"
        parts.append(f'<div style="{box}">{pictures.cell(said, x, explored.subject.verdict(opinion), side)}</div>')
    pairs = ("".join(parts[first : first + 2]) for first in range(0, len(parts), 2))
    drawn = "".join(f'<div style="display: inline-block; white-space: nowrap">{pair}</div>' for pair in pairs)
    return f'<div style="max-width: {4 * side + 24}px; margin: 0 auto">{drawn}</div>'


def objective_grid(
    models: Sequence[ExploredModel],
    item: Item,
    letters: Sequence[str] = (),
    settings: GenerationSettings = MEANS,
    own: bool = True,
) -> Figure:
    """Draw what each model generates given every subset of an item's modalities, all at once; the input is in front.

    Rows are the models for each of `letters` (none: all modalities), columns the subsets, larger ones first. One draw
    each, by default of the posterior's mean; of a mixture, of a component taken at random, the same for all models.
    ValueError when the item lacks one of `letters`.
    """
    alike = comparable(models)
    letters = tuple(letters) or alike[0].letters
    for letter in letters:
        if letter not in item:
            raise ValueError(f"the item has no {letter} to stand in front of its row: it has {', '.join(item)}")
    given = sorted(subsets([letter for letter in alike[0].letters if letter in item]), key=len, reverse=True)
    parts = [{letter: item[letter] for letter in subset} for subset in given]
    made = [compare(alike, part, replace(settings, draws=len(part)), own) for part in parts]
    generator = torch.Generator().manual_seed(settings.seed)
    draws = [int(torch.randint(len(subset), (), generator=generator)) for subset in given]
    rows, names = [], []
    for letter, place in itertools.product(letters, range(len(alike))):
        rows.append([item[letter], *(of[place].values[letter][n] for of, n in zip(made, draws, strict=True))])
        names.append(f"{alike[place].name}: {letter}")
    return item_grid(rows, names, ["input", *(",".join(subset) for subset in given)])


@explorer
def explore_objectives(models: Sequence[ExploredModel]) -> widgets.VBox:
    """Explore one input under every model: choose its class or attribute, and which of its modalities are given."""
    models = comparable(models)
    picture = widgets.HTML()
    shown = controls.model_choice(models, range(len(models)))
    first = models[0]
    kind = face_kinds(first) if isinstance(first.subject, Faces) else controls.classes()
    following, given = controls.next_example(f"another {first.subject.another}"), controls.given(first)
    fusion = widgets.Dropdown(options=[(OWN, "own"), *POSTERIORS.items()], description="posterior")
    warmth, again = controls.temperature(), controls.resample("contents")

    def redraw(*_: object) -> None:
        whole = generation.test_item(first, kind.value, following.clicks)
        label = first.data.labels[generation.test_row(first, kind.value, following.clicks)]
        item = {letter: x for letter, x in whole.items() if given[letter].value}
        own = fusion.value == "own"
        settings = replace(SETTINGS, fusion="" if own else fusion.value, temperature=warmth.value, seed=again.clicks)
        try:
            chosen = [models[place] for place in shown.value]
            picture.value = draw_objectives(chosen, item, label, settings, own)
        except ValueError as error:
            picture.value = pictures.page(pictures.message(str(error)))

    controls.on_change([shown, kind, following, *given.values(), fusion, warmth, again], redraw)
    redraw()
    lines = [kind, following], given.values(), [fusion, warmth, again]
    return controls.lay_out(*lines, below=[shown, picture] if len(models) > 1 else [picture])
