"""What a model makes of a face or a description, as cards: a draw of all modalities on each, and what its judge finds.

Descriptions are too long for the columns of a table; cards stand five in a line, or fewer where the page is narrow.
"""

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from workbench.data.celeba.attributes import PHRASES
from workbench.explorers import pictures
from workbench.explorers.generation import Generated, GenerationSettings, Item, generate
from workbench.explorers.inputs import Input
from workbench.explorers.inputs_faces import DescriptionInput, FaceInput
from workbench.explorers.models import ExploredModel
from workbench.explorers.subjects import MOST, phrases

GIVEN_SIDE, SIDE = 96, 128  # pixels of a face: multiples of half its 64
STYLE = """<style>
.workbench .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(176px, 1fr)); gap: 10px 12px;
  list-style: none; margin: 6px 0; padding: 0; max-width: 1060px }
.workbench .cards li { margin: 0 }
.workbench .cards .note { text-align: left; font-size: 12px; line-height: 1.35 }
.workbench .cards img { margin: 2px 0 }
.workbench .cards .words { margin: 4px 0 0; max-width: none; padding-left: 6px; border-left: 2px solid #888 }
.workbench .given { display: flex; gap: 14px; align-items: center; margin: 4px 0 }
.workbench .given img { margin: 0 }
.workbench .given .words { max-width: 480px; margin: 0 }
</style>"""


def asked_of(inputs: Sequence[Input]) -> tuple[Bool[Tensor, "40"] | None, str]:
    """Return the attributes that draws should have, and whose they are: those typed, else those of the face given."""
    given = [one for one in inputs if one.given.value]
    for kind, whose in ((DescriptionInput, "of the description"), (FaceInput, "of the face given")):
        for one in given:
            if isinstance(one, kind):
                return one.words(), whose
    return None, ""


def draw_faces(
    explored: ExploredModel,
    item: Item,
    settings: GenerationSettings,
    notes: Sequence[str] = (),
    asked: Bool[Tensor, "40"] | None = None,
    whose: str = "",
) -> str:
    """Show what a model makes of a face, a description, both or neither as HTML: a card for each draw.

    With attributes `asked` for, each card says which of them the judges find again; errors as those of `generate`.
    """
    made, given, tallies = generate(explored, item, settings), "", []
    for modality in explored.model.modalities:
        if modality.letter in item:
            given += pictures.cell(f"{modality.name}, given", item[modality.letter], side=GIVEN_SIDE)
        if asked is not None and asked.any():
            found = explored.subject.found(made.opinions[modality.letter]).sum(0)[asked].tolist()
            tally = ", ".join(f"{phrase} {n}" for phrase, n in zip(phrases(asked), found, strict=True))
            of = f"of the attributes {whose}, found in so many of {settings.draws} draws"
            tallies.append(f"{modality.name}: {of}: {tally}")
    given = f'<div class="given"><b>given</b>{given}</div>' if given else ""
    cards = "".join(_card(explored, made, draw, asked) for draw in range(settings.draws))
    drawn = f'<ol class="cards" aria-label="draws">{cards}</ol>'
    return pictures.page(STYLE, *map(pictures.message, notes), given, pictures.note(*tallies), drawn)


def _card(explored: ExploredModel, made: Generated, draw: int, asked: Bool[Tensor, "40"] | None) -> str:
    parts = [pictures.note(f"{draw + 1}, from {made.origins[draw]}")]
    for modality in explored.model.modalities:
        letter = modality.letter
        x, opinion = made.values[letter][draw], made.opinions[letter][draw]
        name = f"{modality.name}, draw {draw + 1} from {made.origins[draw]}"
        picture = pictures.cell(f"{name}, judged {explored.subject.verdict(opinion)}", x, side=SIDE)
        parts.append(picture + pictures.note(*judgement(explored, opinion, asked, short=x.dim() != 3)))
    return f"<li>{''.join(parts)}</li>"


def judgement(
    explored: ExploredModel, opinion: Float[Tensor, "40"], asked: Bool[Tensor, "40"] | None, short: bool = False
) -> list[str]:
    """List what a judge finds: the attributes asked for that it finds, those it does not, and the surest others.

    `short` says of those asked for only how many.
    """
    if asked is None:
        return [f"judged {explored.subject.verdict(opinion)}"]
    found = explored.subject.found(opinion)
    yes, no = phrases(asked & found), phrases(asked & ~found)
    if short:
        return [f"judged: {len(yes)} of {len(yes) + len(no)} found again"]
    lines = [f"{sign} {', '.join(words)}" for sign, words in (("✓", yes), ("✗", no)) if words]
    other = [k for k in opinion.argsort(descending=True).tolist() if found[k] and not asked[k]]
    others = ", ".join(f"{PHRASES[k]} ({opinion[k]:.0%})" for k in other[:MOST])
    return [*lines, f"also: {others}"] if others else lines
