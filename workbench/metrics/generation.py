"""What a model generates, judged: coherence with what was given, classes confused, quality of the images.

Conditional generation draws content from the posterior of a subset and styles from their prior; random generation draws
both from the prior. Judges read every generated modality. Images of modalities that were not given are also compared,
as a set, with the real test images (`metrics.quality`).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.data.dataset import Batch
from workbench.inference import CHUNK, EVERY_SUBSET_OF, Encoded, evaluated_subsets, subset_posterior
from workbench.metrics.classifiers import Classifier
from workbench.metrics.coherence import confusion
from workbench.metrics.features import features_for
from workbench.metrics.quality import FeatureSet, quality, reference
from workbench.model import MultimodalVAE


@dataclass(frozen=True)
class Panel:
    """The judge of every modality, by letter, and what an extractor sees in the real images of image modalities."""

    judges: dict[str, Classifier]
    real: dict[str, FeatureSet]

    @classmethod
    def of(
        cls, letters: Sequence[str], judges: Sequence[Classifier], tests: Sequence[Batch], inception: Path | None = None
    ) -> "Panel":
        """A panel for test items in batches; `inception`: where its weights are, if it is to see the images."""
        images = [m for m, x in enumerate(tests[0].values) if x.dim() == 4]
        real = {
            letters[m]: reference(features_for(judges[m], inception), [batch.values[m] for batch in tests])
            for m in images
        }
        return cls(dict(zip(letters, judges, strict=True)), real)

    @property
    def items(self) -> int:
        """Real images of each modality, and so generated ones in every set."""
        return min((len(images) for images in self.real.values()), default=0)


class Look:
    """What the panel sees in one set of generations: judged classes, and features of the images asked for."""

    def __init__(self, panel: Panel, images_of: Sequence[str] = ()) -> None:
        self.panel = panel
        self.images = {letter: FeatureSet(panel.real[letter].extractor) for letter in images_of}
        self._judged: list[Tensor] = []

    def at(self, generated: Sequence[Tensor]) -> None:
        """One more batch of generations of all modalities."""
        named = dict(zip(self.panel.judges, generated, strict=True))
        self._judged.append(torch.stack([judge.predict(named[letter]) for letter, judge in self.panel.judges.items()]))
        for letter, images in self.images.items():
            images.add(named[letter].clamp(0, 1))

    @property
    def judged(self) -> Int[Tensor, "M n"]:
        """The classes that the judges give."""
        return torch.cat(self._judged, dim=1)

    def quality(self, letter: str) -> dict[str, float]:
        """Quality of one modality's images, by name of the measure."""
        return asdict(quality(self.panel.real[letter], self.images[letter]))


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
) -> tuple[dict[str, dict[str, list[list[int]]]], dict[str, dict[str, dict[str, float]]]]:
    """Confusion counts `[given class][judged class]` and quality, each by target and given subset.

    Quality is that of the images of modalities that were not given; with more than 4 modalities only where all others
    were, since a set of images takes a third of a second. `tick` is called after every subset.
    """
    labels = torch.cat([y for _, y in encoded])
    confused: dict = {letter: {} for letter in model.letters}
    qualities: dict = {letter: {} for letter in panel.real}
    for subset in evaluated_subsets(model.letters):
        telling = len(model.letters) <= EVERY_SUBSET_OF or len(subset) == len(model.letters) - 1
        look = Look(panel, [letter for letter in panel.real if with_quality and telling and letter not in subset])
        for q, _ in encoded:
            look.at(model.generate(subset_posterior(model, q, subset, how, prior_weight), generator=generator))
        for letter, judged in zip(model.letters, look.judged, strict=True):
            confused[letter][",".join(subset)] = confusion(judged, labels).tolist()
        for letter in look.images:
            qualities[letter][",".join(subset)] = look.quality(letter)
        tick()
    return confused, qualities


@torch.no_grad()
def judge_random(
    model: MultimodalVAE, panel: Panel, items: int, generator: torch.Generator, with_quality: bool = True
) -> tuple[Int[Tensor, "M n"], dict[str, dict[str, float]]]:
    """Judged classes of random generations, and the quality of as many of their images as there are real ones."""
    look = Look(panel, list(panel.real) if with_quality else [])
    for start in range(0, items, CHUNK):
        look.at(model.generate(min(CHUNK, items - start), generator=generator))
    return look.judged, {letter: look.quality(letter) for letter in look.images}
