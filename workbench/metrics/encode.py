"""Items of a data set, encoded chunk by chunk, and the codes of every evaluated subset, which are probed."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.data.dataset import Batch, MultimodalDataset
from workbench.device import room
from workbench.distributions import Diagonal
from workbench.inference import evaluated_places, subset_posterior
from workbench.model import MultimodalVAE, Posteriors

CHUNK = 1000  # items encoded or generated at a time, where they have no more than
VALUES = 3072  # numbers in any modality; larger ones come in smaller chunks, as the networks' own numbers do
Encoded = list[tuple[Posteriors, Tensor]]  # posteriors and labels of the items of a data set, in chunks


def at_a_time(shapes: Sequence[tuple[int, ...]], device: torch.device | None = None) -> int:
    """Return how many items of these shapes to encode or generate at a time: more on a GPU, which has room for them."""
    return max(1, CHUNK * room(device) * VALUES // max(VALUES, *map(math.prod, shapes)))


@dataclass(frozen=True, eq=False)
class Items:
    """Items of a data set in batches, made anew and alike at every visit, so that all are never held at once."""

    data: MultimodalDataset
    rows: Int[Tensor, "n"]
    seed: int  # of what a visit draws, such as the places of words
    count: int | None = None  # of the items to show; None: all

    def __iter__(self) -> Iterator[Batch]:
        generator, left = torch.Generator(self.rows.device).manual_seed(self.seed), len(self)
        for rows in self.rows.split(self._at_a_time):
            if left <= 0:
                return
            values, present, labels = self.data.batch(rows, generator)
            yield Batch(tuple(x[:left] for x in values), present[:, :left], labels[:left])
            left -= len(rows)

    def __len__(self) -> int:
        return len(self.rows) if self.count is None else min(self.count, len(self.rows))

    @property
    def batches(self) -> int:
        """How many batches there are."""
        return -(-len(self) // self._at_a_time)

    @property
    def _at_a_time(self) -> int:
        return at_a_time(self.data.shapes, self.rows.device)


def encode_rows(
    model: MultimodalVAE, dataset: MultimodalDataset, rows: Int[Tensor, "n"], generator: torch.Generator
) -> Encoded:
    """Posteriors and labels of rows of a data set."""
    size = at_a_time(dataset.shapes, rows.device)
    return encode_batches(model, (dataset.batch(chunk, generator) for chunk in rows.split(size)))


@torch.no_grad()
def encode_batches(model: MultimodalVAE, batches: Iterable[Batch]) -> Encoded:
    """Posteriors and labels of batches."""
    return [(model.encode(batch), batch.labels) for batch in batches]


def subset_posteriors(
    model: MultimodalVAE, encoded: Encoded, fusion: str, prior_weight: float | None = None
) -> dict[str, Diagonal]:
    """Content posteriors `[n, content]` of every evaluated subset, by name such as "M,S".

    A mixture takes its components in turn of the items' order: the first rows are one modality's. Shuffle before a cut.
    """
    places = evaluated_places(model)
    return {model.called.title(s): posterior_of(model, encoded, s, fusion, prior_weight) for s in places}


def posterior_of(
    model: MultimodalVAE,
    encoded: Encoded,
    subset: Sequence[str | int],
    fusion: str,
    prior_weight: float | None = None,
) -> Diagonal:
    """The same of one subset."""
    parts = [subset_posterior(model, q, subset, fusion, prior_weight) for q, _ in encoded]
    return model.family(torch.cat([p.mean for p in parts]), torch.cat([p.logvar for p in parts]))


def codes(model: MultimodalVAE, encoded: Encoded, fusion: str, prior_weight: float | None = None) -> dict[str, Tensor]:
    """Means of the posteriors that `subset_posteriors` gives."""
    return {name: q.mean for name, q in subset_posteriors(model, encoded, fusion, prior_weight).items()}


def style_codes(model: MultimodalVAE, encoded: Encoded) -> dict[str, Tensor]:
    """Means of the style posterior of each modality, by letter; none without styles."""
    if model.style_dim == 0:
        return {}
    return {letter: torch.cat([q.style.mean[m] for q, _ in encoded]) for m, letter in enumerate(model.letters)}
