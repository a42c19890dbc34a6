"""One data set for any number of modalities: storages of whole sources, a table of pairs, and batches as gathers.

Everything stays where it is put (`to(device)`): images as uint8, pairs as indices, text as a table of strings.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.data import polydigits
from workbench.data.images import Images, ImageStorage, check_split
from workbench.data.mnist import load_mnist
from workbench.data.pairing import pair_table
from workbench.data.svhn import load_svhn
from workbench.data.text import StringTable, TextStorage, string_table
from workbench.paths import data_root


class Batch(NamedTuple):
    """Items of all modalities side by side; what is absent in `present` still has values, to be ignored."""

    values: tuple[Tensor, ...]  # images: float32 [batch, C, H, W] in [0, 1]; text: int64 tokens [batch, 8]
    present: Bool[Tensor, "M batch"]
    labels: Int[Tensor, "batch"]

    @property
    def size(self) -> int:
        return len(self.labels)


Storage = ImageStorage | TextStorage


@dataclass(frozen=True, eq=False)
class MultimodalDataset:
    """Items in M modalities: row n shows item `pairs[n, m]` of storage m. Rows come repeat after repeat."""

    name: str
    split: str
    storages: tuple[Storage, ...]
    pairs: Int[Tensor, "N M"]
    labels: Int[Tensor, "N"]
    present: Bool[Tensor, "N M"] | None = None  # None: nothing is missing
    repeats: int = 1

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
        """Shape of one item of each modality: (C, H, W), or (8,) for text."""
        return tuple(storage.shape for storage in self.storages)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Dimensions of one item of each modality, from which likelihood weights are made: 784, 3072, 8."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def counts(self) -> tuple[int, ...]:
        """Labelled items in each source, paired or not."""
        return tuple(len(storage.labels) for storage in self.storages)

    def to(self, device: torch.device | str) -> "MultimodalDataset":
        return replace(
            self,
            storages=tuple(storage.to(device) for storage in self.storages),
            pairs=self.pairs.to(device),
            labels=self.labels.to(device),
            present=None if self.present is None else self.present.to(device),
        )

    def batch(self, rows: Int[Tensor, "batch"], generator: torch.Generator) -> Batch:
        """The rows `rows` of the pair table, as a gather on the data set's device."""
        rows = rows.to(self.pairs.device)
        index = self.pairs[rows].long().unbind(dim=1)
        values = tuple(storage.gather(i, generator) for storage, i in zip(self.storages, index, strict=True))
        if self.present is None:
            present = torch.ones(len(self.storages), len(rows), dtype=torch.bool, device=rows.device)
        else:
            present = self.present[rows].T.contiguous()
        return Batch(values, present, self.labels[rows])

    def first_repeat(self, limit: int | None = None) -> Int[Tensor, "rows"]:
        """Rows that show each paired item once, or the first `limit` of them (mixed classes)."""
        return torch.arange(len(self) // self.repeats, device=self.pairs.device)[:limit]

    def unimodal(self, k: int) -> Images | StringTable:
        """Values and labels of all items of modality k, paired or not: what classifiers are trained on."""
        return self.storages[k].unimodal()

    def steps_per_epoch(self, batch_size: int) -> int:
        """Whole batches in one pass over the pair table; ValueError when not even one fits."""
        if not 1 <= batch_size <= len(self):
            raise ValueError(
                f"batch size {batch_size} does not fit {self.name} ({self.split}), which has {len(self)} rows: "
                "choose one between 1 and that number"
            )
        return len(self) // batch_size

    def batches(self, batch_size: int, device: torch.device | str, generator: torch.Generator) -> "Batches":
        """Endless batches of this size on `device`; the generator (on any device) draws order and text."""
        return Batches(self.to(device), batch_size, generator)


class Batches(Iterator[Batch]):
    """Endless batches of one size: a new order in each epoch, whose last partial batch is dropped.

    To resume exactly, keep `state()` and the generator's own state, and restore both.
    """

    def __init__(self, dataset: MultimodalDataset, batch_size: int, generator: torch.Generator):
        self.dataset = dataset
        self.batch_size = batch_size
        self.generator = generator
        self.steps_per_epoch = dataset.steps_per_epoch(batch_size)
        self.epoch = 0  # the epoch that the next batch belongs to, or just ended when position is at its end
        self.position = 0  # batches already taken in this epoch
        self._epoch_seed: int | None = None  # drawn when an epoch's first batch is taken
        self._order: Tensor | None = None

    def __next__(self) -> Batch:
        if self.position == self.steps_per_epoch:
            self.epoch, self.position, self._epoch_seed = self.epoch + 1, 0, None
        if self._epoch_seed is None:
            draw = torch.randint(2**62, (), generator=self.generator, device=self.generator.device)
            self._start_epoch(int(draw))
        rows = self._order[self.position * self.batch_size : (self.position + 1) * self.batch_size]
        self.position += 1
        return self.dataset.batch(rows, self.generator)

    def state(self) -> dict[str, Any]:
        """Where the iterator stands, as numbers that JSON can hold."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "epoch_seed": self._epoch_seed,
            "batch_size": self.batch_size,
            "rows": len(self.dataset),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go to `state()` of an iterator over the same rows; ValueError when batch size or rows differ."""
        here = (self.batch_size, len(self.dataset))
        if (state["batch_size"], state["rows"]) != here:
            raise ValueError(
                f"the saved position belongs to batch size {state['batch_size']} over {state['rows']} rows, this "
                f"iterator has {here[0]} over {here[1]}: resume with the configuration that the run was started with"
            )
        self.epoch, self.position = state["epoch"], state["position"]
        self._epoch_seed = self._order = None
        if state["epoch_seed"] is not None:
            self._start_epoch(state["epoch_seed"])

    def _start_epoch(self, seed: int) -> None:
        # Drawn on the CPU whatever the device, so that a seed means one order everywhere.
        self._epoch_seed = seed
        order = torch.randperm(len(self.dataset), generator=torch.Generator().manual_seed(seed))
        self._order = order.to(self.dataset.pairs.device)


class Source(NamedTuple):
    """Where one modality's items come from: `load(split, root, seed)`, and what it is in one honest line."""

    modality: str
    load: Callable[[str, Path, int], Images | StringTable]
    provenance: str
    rendered: bool = False


def _uci(split: str, root: Path, seed: int) -> Images:
    from workbench.data.uci import load_uci  # brings scikit-learn

    return load_uci(split, seed)


def _rendered(source: str, split: str, seed: int) -> Images:
    from workbench.data.rendered import load_rendered  # brings matplotlib

    return load_rendered(source, split, seed)


SOURCES = {
    "mnist": Source(
        "handwriting",
        lambda split, root, seed: load_mnist(split, root),
        "real handwriting, 28x28 digits of MNIST",
    ),
    "uci": Source(
        "handwriting",
        _uci,
        "real handwriting, 8x8 UCI digits bundled with scikit-learn, resampled and varied by this project",
    ),
    "svhn": Source(
        "street",
        lambda split, root, seed: load_svhn(split, root),
        "real house numbers, 32x32 colour crops of SVHN",
    ),
    "rendered": Source(
        "street",
        lambda split, root, seed: _rendered("rendered", split, seed),
        "rendered by this project from matplotlib's fonts to look like house numbers: NOT real house numbers",
        rendered=True,
    ),
    "plain": Source(
        "street",
        lambda split, root, seed: _rendered("plain", split, seed),
        "rendered by this project from matplotlib's fonts, one bright digit on a darker ground: NOT real house numbers",
        rendered=True,
    ),
    "text": Source(
        "text",
        lambda split, root, seed: string_table(),
        "the digit's English name in 8 characters, written by this project, start position redrawn at every visit",
    ),
}


def _polydigits(style: str, split: str, root: Path, seed: int) -> Images:
    from workbench.data.polydigits_images import load_polydigits  # brings matplotlib and scikit-learn

    return load_polydigits(style, split, seed)


# Each style of polydigits is a source of its own name, most of which only the name of the family calls.
STYLES = {
    style: Source(style, partial(_polydigits, style), polydigits.describe(style), rendered=True)
    for style in polydigits.STYLES
}


def _source(part: str) -> Source:
    return SOURCES[part] if part in SOURCES else STYLES[part]


def _words(name: str) -> list[str]:
    """Sources and families in a name: "polydigits-5-text" is polydigits-5 and text."""
    return re.split(rf"(?<!{polydigits.FAMILY})-", name)


def parse_name(name: str) -> tuple[str, ...]:
    """Sources in the name of a data set; ValueError for an unknown source or two of one modality."""
    parts = tuple(part for word in _words(name) for part in polydigits.members(word))
    if unknown := [part for part in parts if part not in SOURCES and part not in STYLES]:
        raise ValueError(
            f"unknown source {unknown[0]!r} in {name!r}: join some of {', '.join(SOURCES)} by '-', or take "
            f"{polydigits.FAMILY}-M with M from {polydigits.FEWEST} to {polydigits.MOST}"
        )
    modalities = [_source(part).modality for part in parts]
    if twice := [modality for modality in modalities if modalities.count(modality) > 1]:
        raise ValueError(f"{name!r} names the modality {twice[0]} twice: choose one source for it")
    return parts


def describe(name: str) -> str:
    """What a source is, or the sources of a data set's name: one line that says what is real and what is not."""
    parse_name(name)
    return "; ".join(_provenance(word) for word in _words(name))


def _provenance(word: str) -> str:
    styles = polydigits.members(word)
    return polydigits.describe_family(styles) if len(styles) > 1 else _source(word).provenance


def is_known(name: str) -> bool:
    """Whether this version has all sources in the name of a data set."""
    try:
        return bool(parse_name(name))
    except ValueError:
        return False


def is_rendered(name: str) -> bool:
    """Whether any image source of `name` was drawn by this project instead of photographed or written by hand."""
    return any(_source(part).rendered for part in parse_name(name))


def load_dataset(
    name: str, split: str, root: str | Path | None = None, repeats: int = 20, seed: int = 0
) -> MultimodalDataset:
    """Data set of the sources in `name` (such as "uci-plain-text" or "polydigits-5"), modalities in that order.

    Raises ValueError for an unknown name or split, DataError when a file is missing or damaged.
    """
    check_split(split)
    storages = tuple(_storage(part, split, data_root(root), seed) for part in parse_name(name))
    # Text has a string for every item, so it does not take part in the matching unless it stands alone.
    matched = [storage for storage in storages if isinstance(storage, ImageStorage)] or list(storages)
    table = pair_table([storage.labels for storage in matched], repeats, seed)
    labels = matched[0].labels[table[:, 0].long()]
    column = dict(zip((storage.name for storage in matched), table.unbind(dim=1), strict=True))
    column["text"] = labels.to(table.dtype)
    pairs = torch.stack([column[storage.name] for storage in storages], dim=1)
    return MultimodalDataset(name, split, storages, pairs, labels, repeats=repeats)


def _storage(source: str, split: str, root: Path, seed: int) -> Storage:
    modality, load, *_ = _source(source)
    items = load(split, root, seed)
    return TextStorage(items) if isinstance(items, StringTable) else ImageStorage(modality, source, *items)
