"""One data set for any number of modalities: storages of whole sources, a table of pairs, and batches as gathers.

Everything stays where it is put (`to(device)`): images as uint8, pairs as indices, text as a table of strings.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.config import whole
from workbench.data.images import Images, Labels
from workbench.data.own.encodings import Encoding, Image
from workbench.errors import Refused


class Batch(NamedTuple):
    """Items of all modalities side by side; what is absent in `present` still has values, to be ignored."""

    # images: float32 [batch, C, H, W] in [0, 1]; text: int64 tokens [batch, length]; tables: float32 [batch, columns],
    # NaN where an entry is missing
    values: tuple[Tensor, ...]
    present: Bool[Tensor, "M batch"]
    labels: Labels

    @property
    def size(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> "Batch":
        return Batch(tuple(x.to(device) for x in self.values), self.present.to(device), self.labels.to(device))

    def split(self, size: int) -> "list[Batch]":
        """Split into batches of so many items, one after the other; the last has what is left."""
        if size >= self.size:
            return [self]
        values = zip(*(x.split(size) for x in self.values), strict=True)
        return [*map(Batch, values, self.present.split(size, dim=1), self.labels.split(size))]


def _moved(data: Any, device: torch.device | str) -> Any:
    """A copy of a dataclass with all its tensors on a device."""
    return replace(data, **{name: x.to(device) for name, x in vars(data).items() if isinstance(x, Tensor)})


@dataclass(frozen=True, eq=False)
class Storage:
    """All items of one modality on a device. Its column of the pair table holds their places."""

    name: str  # of the modality
    source: str
    values: Tensor  # as the encoding keeps them: bytes of images, tokens, numbers
    labels: Labels
    encoding: Encoding  # how raw arrays become values, and what is kept is read

    @classmethod
    def of_images(cls, name: str, source: str, images: Images) -> "Storage":
        """Make a storage of the images of one source."""
        return cls(name, source, *images, Image(tuple(images.values.shape[1:])))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.encoding.shape

    @property
    def gaps(self) -> bool:
        """Whether an item lacks some of its entries; items that lack all of them lack the modality."""
        missing = (self.values.isnan() if self.values.is_floating_point() else self.values < 0).flatten(1)
        return bool((missing.any(1) & ~missing.all(1)).any())

    def gather(self, index: Int[Tensor, "batch"], generator: torch.Generator) -> Tensor:
        """Gather items in the model's units, images in [0, 1]; what is free in them is drawn by the generator."""
        return self.encoding.read(self.values[index])

    def to(self, device: torch.device | str) -> "Storage":
        return _moved(self, device)


@dataclass(frozen=True, eq=False)
class MultimodalDataset:
    """Items in M modalities: row n shows item `pairs[n, m]` of storage m. Rows come repeat after repeat.

    `MultimodalDataset.from_arrays` is `workbench.data.own.arrays.from_arrays`, which makes one of a user's own arrays.
    """

    name: str
    split: str
    storages: tuple[Storage, ...]
    pairs: Int[Tensor, "N M"]
    labels: Labels
    present: Bool[Tensor, "N M"] | None = None  # None: nothing is missing
    repeats: int = 1
    labelled: bool = True  # without labels they are zeros, to be ignored
    classes: tuple[str | int, ...] | None = None  # what a user calls the classes or attributes of the labels
    own: bool = False  # made of a user's arrays: its name alone does not find it again
    files: dict[str, str] | None = None  # digests of the files that it was read from, by their names

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names such as handwriting, street, text."""
        return tuple(storage.name for storage in self.storages)

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(storage.source for storage in self.storages)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of one item of each modality: (C, H, W), or (length,) for text."""
        return tuple(storage.shape for storage in self.storages)

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        """How raw arrays of each modality become values."""
        return tuple(storage.encoding for storage in self.storages)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Dimensions of one item of each modality, from which likelihood weights are made: 784, 3072, 8."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def counts(self) -> tuple[int, ...]:
        """Labelled items in each source, paired or not."""
        return tuple(len(storage.labels) for storage in self.storages)

    def to(self, device: torch.device | str) -> "MultimodalDataset":
        return replace(_moved(self, device), storages=tuple(storage.to(device) for storage in self.storages))

    def batch(self, rows: Int[Tensor, "batch"], generator: torch.Generator) -> Batch:
        """Gather the rows `rows` of the pair table, as a gather on the data set's device."""
        rows = rows.to(self.pairs.device)
        index = self.pairs[rows].long().unbind(dim=1)
        values = tuple(storage.gather(i, generator) for storage, i in zip(self.storages, index, strict=True))
        if self.present is None:
            present = torch.ones(len(self.storages), len(rows), dtype=torch.bool, device=rows.device)
        else:
            present = self.present[rows].T.contiguous()
        return Batch(values, present, self.labels[rows])

    def first_repeat(self, limit: int | None = None) -> Int[Tensor, "rows"]:
        """Return rows that show each paired item once, or the first `limit` of them (mixed classes)."""
        return torch.arange(len(self) // self.repeats, device=self.pairs.device)[:limit]

    def unimodal(self, k: int) -> Images:
        """Return values and labels of all items of modality k, paired or not: what classifiers are trained on."""
        return Images(self.storages[k].values, self.storages[k].labels)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Count the whole batches in one pass over the pair table; ValueError when not even one fits."""
        if not 1 <= batch_size <= len(self):
            raise ValueError(
                f"batch size {batch_size} does not fit {self.name} ({self.split}), which has {len(self)} rows: "
                "choose one between 1 and that number"
            )
        return len(self) // batch_size

    def batches(
        self,
        batch_size: int,
        device: torch.device | str,
        generator: torch.Generator,
        order: torch.Generator | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> "Batches":
        """Return endless batches of this size on `device`; the generator (on any device) draws order and text.

        `order` takes the drawing of the order from it. `share` (k, n) is the k-th of n equal parts of every batch.
        """
        return Batches(self.to(device), batch_size, generator, order or generator, share)


class Splits(NamedTuple):
    """The two parts of a data set: no item is in both."""

    train: MultimodalDataset
    test: MultimodalDataset


@dataclass(eq=False)
class Batches(Iterator[Batch]):
    """Endless batches of one size: a new order in each epoch, whose last partial batch is dropped.

    Of each batch the k-th of n equal shares is gathered, (0, 1) for all of it. To resume exactly, keep `state()` and
    the generators' own states, and restore both.
    """

    dataset: MultimodalDataset
    batch_size: int
    generator: torch.Generator
    order: torch.Generator
    share: tuple[int, int] = (0, 1)
    epoch: int = 0  # the epoch that the next batch belongs to, or just ended when position is at its end
    position: int = 0  # batches already taken in this epoch
    _epoch_seed: int | None = None  # drawn when an epoch's first batch is taken
    _order: Tensor | None = None

    def __post_init__(self) -> None:
        self.steps_per_epoch = self.dataset.steps_per_epoch(self.batch_size)

    def __next__(self) -> Batch:
        if self.position == self.steps_per_epoch:
            self.epoch, self.position, self._epoch_seed = self.epoch + 1, 0, None
        if self._epoch_seed is None:
            draw = torch.randint(2**62, (), generator=self.order, device=self.order.device)
            self._start_epoch(int(draw))
        part, parts = self.share
        size = self.batch_size // parts
        start = self.position * self.batch_size + part * size
        rows = self._order[start : start + size]
        self.position += 1
        return self.dataset.batch(rows, self.generator)

    def state(self) -> dict[str, Any]:
        """Return where the iterator stands, as numbers that JSON can hold."""
        where = {"epoch": self.epoch, "position": self.position, "epoch_seed": self._epoch_seed}
        return {**where, "batch_size": self.batch_size, "rows": len(self.dataset)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to `state()` of an iterator over the same rows; Refused when batch size or rows differ.

        ValueError on what is no such state.
        """
        here = (self.batch_size, len(self.dataset))
        if (state["batch_size"], state["rows"]) != here:
            raise Refused(
                f"the saved position belongs to batch size {state['batch_size']} over {state['rows']} rows, this "
                f"iterator has {here[0]} over {here[1]}: resume with the configuration that the run was started with"
            )
        self.epoch, self.position = (whole(name, state[name]) for name in ("epoch", "position"))
        if not (self.epoch >= 0 and 0 <= self.position <= self.steps_per_epoch):
            raise ValueError(
                f"batch {self.position} of epoch {self.epoch} cannot be: an epoch has {self.steps_per_epoch}"
            )
        self._epoch_seed = self._order = None
        if state["epoch_seed"] is not None:
            self._start_epoch(state["epoch_seed"])

    def _start_epoch(self, seed: int) -> None:
        # Drawn on the CPU whatever the device, so that a seed means one order everywhere.
        self._epoch_seed = seed
        order = torch.randperm(len(self.dataset), generator=torch.Generator().manual_seed(seed))
        self._order = order.to(self.dataset.pairs.device)
