"""Faces and descriptions as inputs: test faces by number and attribute, and words that are typed or ticked."""

from typing import Any

import ipywidgets as widgets
import torch
from jaxtyping import Bool
from torch import Tensor

from workbench.data.celeba.attributes import LENGTH, PHRASES, describe, encode, parse
from workbench.explorers.controls import Counter, tick
from workbench.explorers.generation import test_item, test_row
from workbench.explorers.inputs import ImageInput, Input, TextInput, narrow
from workbench.explorers.models import ExploredModel
from workbench.explorers.subjects import ANY, Faces, Kind

FIRST = "attractive, blond hair, no beard, smiling, wavy hair, wearing lipstick, young"


class FaceInput(Input):
    """A test face: the `number`-th of all, or of those with an attribute."""

    def __init__(self, explored: ExploredModel, letter: str, given: bool = False) -> None:
        self.kind = face_kinds(explored)
        self.number = widgets.BoundedIntText(0, min=0, max=999_999, description="number", layout=narrow())
        super().__init__(explored, letter, given)
        self._watch(self.kind, self.number)

    def controls(self) -> list[widgets.Widget]:
        """Which faces, and which of them."""
        return [self.kind, self.number]

    def read(self) -> Tensor:
        """The pixels of the chosen face."""
        return test_item(self.explored, self.kind.value, self.number.value)[self.letter]

    def words(self) -> Bool[Tensor, "40"]:
        """The attributes of the chosen face, whether it is given or not."""
        return self.explored.data.labels[test_row(self.explored, self.kind.value, self.number.value)]


class DescriptionInput(Input):
    """Attributes, typed with commas between them, or ticked; field and ticks follow each other.

    What is typed is brought into the form that descriptions have: in alphabetical order, in lower case, and filled.
    What cannot be read leaves the last readable words in place, with a problem to tell.
    """

    def __init__(self, explored: ExploredModel, letter: str, given: bool = True, words: str = FIRST) -> None:
        self.text = widgets.Text(
            words, description="words", placeholder="smiling, young, blond hair", continuous_update=False,
            layout=narrow("99%"), tooltip="attributes with commas between them; Enter draws",
        )  # fmt: skip
        self.ticks = [tick(phrase, on=False) for phrase in PHRASES]
        columns = widgets.Layout(grid_template_columns="repeat(auto-fill, minmax(165px, 1fr))")
        grid = widgets.GridBox(self.ticks, layout=columns)
        self.choice = widgets.Accordion([grid], titles=("tick attributes",), layout=narrow("99%"))
        self.nothing = Counter("no words", "take all attributes away")
        self.copy = Counter("words of the face", "take the words that the chosen test face has")
        self.buttons = widgets.HBox([self.nothing])
        self.face: FaceInput | None = None
        self._last, self._following = parse(words), False
        super().__init__(explored, letter, given)
        self.widget.layout.width, self.widget.layout.max_width = "820px", "100%"  # a description in one line
        self._tick()
        self._watch(self.text)
        for box in self.ticks:
            box.observe(self._ticked, names="value")
        self.nothing.observe(lambda _: self.put(torch.zeros(len(PHRASES), dtype=torch.bool)), names="clicks")
        self.copy.observe(lambda _: self.face and self.put(self.face.words()), names="clicks")

    def controls(self) -> list[widgets.Widget]:
        """The field to type in, and the attributes to tick."""
        return [self.text, self.buttons, self.choice]

    def beside(self, face: FaceInput) -> None:
        """Offer the words of a face, too."""
        self.face, self.buttons.children = face, (self.nothing, self.copy)

    def words(self) -> Bool[Tensor, "40"]:
        """The attributes that are in use: the last that could be read."""
        return self._last

    def put(self, words: Bool[Tensor, "40"]) -> None:
        """Type these attributes, in their order."""
        self.text.value = describe(words)

    def read(self) -> Tensor:
        """Tokens of the attributes, in the form that the models know."""
        typed, self.problem, self.remark = self.text.value, "", ""
        try:
            self._last = parse(typed)
        except ValueError as error:
            end = "" if str(error).endswith("?") else "."
            self.problem = f"{self.letter}: {error}{end} The last readable words are still in use."
        else:
            self.remark = self._how_read(typed, describe(self._last))
        return encode(describe(self._last)).long()

    def _how_read(self, typed: str, written: str) -> str:
        """What was changed about the words, or is odd about them."""
        if not written:
            return f"{self.letter}: no words, a description that is nothing but filling."
        if len(written) > LENGTH:
            return f"{self.letter}: {len(written)} characters, of which a description holds {LENGTH}: its end is cut."
        if typed != written:
            return f"{self.letter}: read as {written!r}, in the order and form of the descriptions that models know."
        return ""

    def _changed(self, *changes: Any) -> None:
        if self._following:
            return
        self.read()
        self._tick()
        super()._changed(*changes)

    def _tick(self) -> None:
        self._following = True
        for box, present in zip(self.ticks, self._last.tolist(), strict=True):
            box.value = present
        self._following = False

    def _ticked(self, _: object) -> None:
        if not self._following:
            self.put(torch.tensor([box.value for box in self.ticks]))


def face_kinds(explored: ExploredModel) -> widgets.Dropdown:
    """Offer all test faces, or those with an attribute, and how many there are; attributes of none are left out."""
    labels = explored.data.labels
    counts = {kind: len(explored.subject.rows(labels, kind)) for kind in explored.subject.kinds()}
    options: list[tuple[str, Kind]] = [(f"{kind} ({count:,})", kind) for kind, count in counts.items() if count]
    return widgets.Dropdown(options=options, value=ANY, description="faces", layout=narrow("260px"))


def inputs_of(explored: ExploredModel) -> list[Input]:
    """Make one input for each modality of a model. Of a face, only its description is given at first."""
    kinds = (FaceInput, DescriptionInput) if isinstance(explored.subject, Faces) else (ImageInput, TextInput)
    shapes = zip(explored.letters, explored.data.shapes, strict=True)
    inputs = [kinds[len(shape) != 3](explored, letter) for letter, shape in shapes]
    faces = [one for one in inputs if isinstance(one, FaceInput)]
    for one in inputs:
        if faces and isinstance(one, DescriptionInput):
            one.beside(faces[0])
    return inputs
