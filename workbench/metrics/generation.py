"""What a model generates, judged: coherence with what was given, classes confused, quality of the images.

Conditional generation draws content from the posterior of a subset and styles from their prior; random generation draws
both from the prior. Judges read every generated modality. Images of modalities that were not given are also compared,
as a set, with the real test images (`metrics.quality`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from workbench.data.dataset import Batch
from workbench.inference import EVERY_SUBSET_OF, Encoded, at_a_time, evaluated_subsets, subset_posterior
from workbench.metrics.attributes import reading, written
from workbench.metrics.classifiers import AttributeClassifier, Classifier
from workbench.metrics.features import features_for
from workbench.metrics.quality import FeatureSet, quality, reference
from workbench.metrics.scores import score_of
from workbench.model import MultimodalVAE

Scores = dict[str, float]  # by name


@dataclass(frozen=True)
class Panel:
    """The judge of every modality, by letter, and what an extractor sees in the real images of image modalities."""

    judges: dict[str, Classifier]
    real: dict[str, FeatureSet]

    @classmethod
    def of(
        cls, model: MultimodalVAE, judges: Sequence[Classifier], tests: Iterable[Batch], inception: Path | None = None
    ) -> "Panel":
        """A panel for test items, whose batches are gone through once for each modality of images.

        `inception`: where its weights are, if it is to see the images.
        """
        real = {
            modality.letter: reference(features_for(judges[m], inception), (batch.values[m] for batch in tests))
            for m, modality in enumerate(model.modalities)
            if len(modality.shape) == 3
        }
        return cls(dict(zip(model.letters, judges, strict=True)), real)

    @property
    def items(self) -> int:
        """Real images of each modality, and so generated ones in every set."""
        return min((len(images) for images in self.real.values()), default=0)


class Look:
    """What the panel sees in one set of generations: what judges find, and features of the images asked for."""

    def __init__(self, panel: Panel, images_of: Sequence[str] = ()) -> None:
        self.panel = panel
        self.images = {letter: FeatureSet(panel.real[letter].extractor) for letter in images_of}
        self._judged: dict[str, list[Tensor]] = {letter: [] for letter in panel.judges}
        self._written: dict[str, list[Tensor]] = {}

    def at(self, generated: Sequence[Tensor]) -> None:
        """One more batch of generations of all modalities."""
        for (letter, judge), x in zip(self.panel.judges.items(), generated, strict=True):
            self._judged[letter].append(judge.read(x))
            if letter in self.images:
                self.images[letter].add(x.clamp(0, 1))
            if x.dim() == 3 and isinstance(judge, AttributeClassifier):
                self._written.setdefault(letter, []).append(written(x))

    @property
    def judged(self) -> dict[str, Tensor]:
        """What each modality's judge finds in the items: classes `[n]`, or logits `[n, attributes]`."""
        return {letter: torch.cat(parts) for letter, parts in self._judged.items()}

    @property
    def written(self) -> dict[str, Tensor]:
        """Which attributes `[n, 40]` the descriptions name, of modalities that are descriptions."""
        return {letter: torch.cat(parts) for letter, parts in self._written.items()}

    def quality(self, letter: str) -> Scores:
        """Quality of one modality's images, by name of the measure."""
        return asdict(quality(self.panel.real[letter], self.images[letter]))


class Conditional(NamedTuple):
    """What is seen in conditional generations, each by target and given subset."""

    tallies: dict[str, dict[str, list]]  # by the judge: counts of classes, or average precisions of attributes
    quality: dict[str, dict[str, Scores]]  # of images
    written: dict[str, dict[str, Scores]]  # of descriptions: attributes read off their characters


@torch.no_grad()
def judge_conditional(
    model: MultimodalVAE,
    encoded: Encoded,
    panel: Panel,
    how: str,
    generator: torch.Generator,
    prior_weight: float | None = None,
    with_quality: bool = True,
    tick: Callable[[], None] = lambda: None,
) -> Conditional:
    """Generate every modality given every evaluated subset, and have it judged.

    Quality is that of the images of modalities that were not given; with more than 4 modalities only where all others
    were, since a set of images takes a third of a second. `tick` is called after every subset.
    """
    labels = torch.cat([y for _, y in encoded])
    score = score_of(labels)
    found = Conditional({letter: {} for letter in model.letters}, {letter: {} for letter in panel.real}, {})
    for subset in evaluated_subsets(model.letters):
        name = ",".join(subset)
        telling = len(model.letters) <= EVERY_SUBSET_OF or len(subset) == len(model.letters) - 1
        look = Look(panel, [letter for letter in panel.real if with_quality and telling and letter not in subset])
        for q, _ in encoded:
            look.at(model.generate(subset_posterior(model, q, subset, how, prior_weight), generator=generator))
        for letter, judged in look.judged.items():
            found.tallies[letter][name] = score.tally(judged, labels)
        for letter in look.images:
            found.quality[letter][name] = look.quality(letter)
        for letter, there in look.written.items():
            found.written.setdefault(letter, {})[name] = reading(there, labels)
        tick()
    return found


@torch.no_grad()
def judge_random(
    model: MultimodalVAE, panel: Panel, items: int, generator: torch.Generator, with_quality: bool = True
) -> tuple[list[Tensor], dict[str, Scores]]:
    """What judges find in random generations, and the quality of as many of their images as there are real ones."""
    look = Look(panel, list(panel.real) if with_quality else [])
    chunk = at_a_time([modality.shape for modality in model.modalities])
    for start in range(0, items, chunk):
        look.at(model.generate(min(chunk, items - start), generator=generator))
    return [*look.judged.values()], {letter: look.quality(letter) for letter in look.images}
