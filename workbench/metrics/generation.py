"""What a model generates, judged: coherence with what was given, classes confused, quality of the images.

Conditional generation draws content from the posterior of a subset and styles from their prior; random generation draws
both from the prior. Judges read every generated modality. Images of modalities that were not given are also compared,
as a set, with the real test images (`metrics.quality`).

What is generated from a component of posteriors serves all subsets, and all ways to infer, whose posteriors have it:
the mixture of two modalities shows half of what is shown given either of them.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workbench.data.dataset import Batch
from workbench.inference import (
    EVERY_SUBSET_OF,
    Component,
    Parts,
    component_choice,
    component_posterior,
    components,
    evaluated_places,
    parts_posterior,
)
from workbench.metrics.attributes import reading, written
from workbench.metrics.encode import Encoded, at_a_time
from workbench.metrics.features import FeatureSet, features_for, kept_reference
from workbench.metrics.judges import AttributeClassifier, Classifier
from workbench.metrics.quality import quality
from workbench.metrics.scores import score_of
from workbench.model import MultimodalVAE, Posteriors

Scores = dict[str, float]  # by name


@dataclass(frozen=True)
class Judges:
    """The judge of every modality, by letter, and what an extractor sees in the real images of image modalities."""

    judges: dict[str, Classifier]
    real: dict[str, FeatureSet]

    @classmethod
    def of(
        cls,
        model: MultimodalVAE,
        judges: Sequence[Classifier],
        tests: Iterable[Batch],
        inception: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> "Judges":
        """A panel for test items, whose batches are gone through for each modality of images.

        `inception`: where its weights are, if it is to see the images, on `device`; judges are where they are.
        """
        real = {}
        for m, modality in enumerate(model.modalities):
            if len(modality.shape) == 3:
                extractor = features_for(judges[m], inception, device)
                real[modality.letter] = kept_reference(extractor, lambda m=m: (batch.values[m] for batch in tests))
        return cls(dict(zip(model.letters, judges, strict=True)), real)

    def look(self, generated: Sequence[Tensor], images_of: Container[str]) -> "Judged":
        """See generations of all modalities, with features of the images of some."""
        judged = Judged({}, {}, {})
        for (letter, judge), x in zip(self.judges.items(), generated, strict=True):
            judged.judged[letter] = judge.read(x)
            if letter in images_of:
                judged.features[letter] = self.real[letter].see(x.clamp(0, 1))
            if x.dim() == 3 and isinstance(judge, AttributeClassifier):
                judged.written[letter] = written(x)
        return judged


class Judged(NamedTuple):
    """What the panel sees in a batch of generations, by letter: judges' findings, features of images, texts' words."""

    judged: dict[str, Tensor]  # classes `[n]`, or logits `[n, attributes]`
    features: dict[str, Tensor]
    written: dict[str, Tensor]  # which attributes `[n, 40]` the descriptions name, of modalities that are descriptions


class Found(NamedTuple):
    """What is made of it, by target; in conditional generation, by target and given subset."""

    tallies: dict[str, Any]  # by the judge: counts of classes, or average precisions of attributes
    quality: dict[str, Any]  # of images, by name of the measure
    written: dict[str, Any]  # of descriptions: attributes read off their characters


class JudgedSet:
    """What the panel sees in one set of generations: what judges find, and features of the images asked for."""

    def __init__(self, panel: Judges, images_of: Sequence[str] = ()) -> None:
        self.panel = panel
        self.images = {letter: FeatureSet(panel.real[letter].extractor) for letter in images_of}
        self._parts: list[Judged] = []

    def at(self, generated: Sequence[Tensor]) -> None:
        """One more batch of generations of all modalities."""
        self.take([self.panel.look(generated, self.images)])

    def take(self, several: Sequence[Judged], chosen: Tensor | None = None) -> None:
        """One more batch, of each item what was seen in the chosen one of several generations."""

        def pick(kind: str, letters: Iterable[str]) -> dict[str, Tensor]:
            return {letter: _pick([getattr(one, kind)[letter] for one in several], chosen) for letter in letters}

        for letter, features in pick("features", self.images).items():
            self.images[letter].parts.append(features)
        self._parts.append(Judged(pick("judged", several[0].judged), {}, pick("written", several[0].written)))

    def _joined(self, kind: str) -> dict[str, Tensor]:
        parts = [getattr(part, kind) for part in self._parts]
        return {letter: torch.cat([part[letter] for part in parts]) for letter in parts[0]}

    @property
    def judged(self) -> dict[str, Tensor]:
        """What each modality's judge finds in the items."""
        return self._joined("judged")

    def quality(self) -> dict[str, Scores]:
        """Quality of the images of each modality."""
        return {letter: asdict(quality(self.panel.real[letter], images)) for letter, images in self.images.items()}

    def found(self, labels: Tensor) -> Found:
        """Everything, of items with these labels."""
        score = score_of(labels)
        tallies = {letter: score.tally(judged, labels) for letter, judged in self.judged.items()}
        read = {letter: reading(present, labels) for letter, present in self._joined("written").items()}
        return Found(tallies, self.quality(), read)


def _pick(parts: Sequence[Tensor], chosen: Tensor | None) -> Tensor:
    """Of each item the row of the chosen part."""
    if chosen is None:
        return parts[0]
    return torch.stack([*parts])[chosen, torch.arange(len(chosen), device=chosen.device)]


@torch.no_grad()
def judge_conditional(
    model: MultimodalVAE,
    encoded: Encoded,
    panel: Judges,
    fusions: Sequence[str],
    generator: torch.Generator,
    prior_weight: float | None = None,
    with_quality: bool = True,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Found]:
    """Generate every modality given every evaluated subset, by each way to infer, and have it judged.

    Quality is that of the images of modalities that were not given; with more than 4 modalities only where all others
    were, since a set of images takes a third of a second. `tick` is called after every batch.
    """
    looks: dict[Parts, JudgedSet] = {}
    letters = model.letters
    for subset in evaluated_places(model):
        telling = with_quality and (len(letters) <= EVERY_SUBSET_OF or len(subset) == len(letters) - 1)
        images_of = [x for m, x in enumerate(letters) if telling and x in panel.real and m not in subset]
        for parts in (components(fusion, subset) for fusion in fusions):
            looks.setdefault(parts, JudgedSet(panel, images_of))
    for q, _ in encoded:
        _generate(model, q, panel, looks, generator, prior_weight)
        tick()
    labels = torch.cat([y for _, y in encoded])
    found = {parts: look.found(labels) for parts, look in looks.items()}
    return {fusion: _by_target(model, found, fusion) for fusion in fusions}


def _generate(
    model: MultimodalVAE,
    q: Posteriors,
    panel: Judges,
    looks: dict[Parts, JudgedSet],
    generator: torch.Generator,
    prior_weight: float | None,
) -> None:
    """Generate from every component once, and show it to the looks at all posteriors that have it.

    Where components outnumber posteriors, as of products of many modalities, each mixture is generated from by itself.
    """
    judged: dict[Component, Judged] = {}
    if len({part for parts in looks for part in parts}) > len(looks):
        for parts in (parts for parts in looks if len(parts) > 1):
            looks[parts].at(model.generate(parts_posterior(model, q, parts, prior_weight), generator=generator))
        looks = {parts: look for parts, look in looks.items() if len(parts) == 1}
    for part in dict.fromkeys(part for parts in looks for part in parts):
        images_of = {letter for parts, look in looks.items() if part in parts for letter in look.images}
        posterior = component_posterior(model, q, part, prior_weight)
        judged[part] = panel.look(model.generate(posterior, generator=generator), images_of)
    for parts, look in looks.items():
        look.take([judged[part] for part in parts], component_choice(model, q, parts) if len(parts) > 1 else None)


def _by_target(model: MultimodalVAE, found: dict[Parts, Found], fusion: str) -> Found:
    """What one way to infer gives, by target and given subset; of a kind the targets that have any."""
    names = {model.called.title(subset): found[components(fusion, subset)] for subset in evaluated_places(model)}
    tables = []
    for kind in Found._fields:
        of = {name: getattr(one, kind) for name, one in names.items()}
        table = {j: {name: row[j] for name, row in of.items() if j in row} for j in model.letters}
        tables.append({target: row for target, row in table.items() if row})
    return Found(*tables)


@torch.no_grad()
def judge_random(
    model: MultimodalVAE, panel: Judges, items: int, generator: torch.Generator, with_quality: bool = True
) -> tuple[list[Tensor], dict[str, Scores]]:
    """What judges find in random generations, and the quality of as many of their images as there are real ones."""
    look = judge_drawn(model, panel, items, lambda count: model.generate(count, generator=generator), with_quality)
    return [*look.judged.values()], look.quality()


def judge_drawn(
    model: MultimodalVAE,
    panel: Judges,
    items: int,
    draw: Callable[[int], Sequence[Tensor]],
    with_quality: bool = True,
) -> JudgedSet:
    """Have random items judged, of which `draw` makes some at a time."""
    look = JudgedSet(panel, list(panel.real) if with_quality else [])
    chunk = at_a_time([modality.shape for modality in model.modalities], next(model.parameters()).device)
    for start in range(0, items, chunk):
        look.at(draw(min(chunk, items - start)))
    return look
