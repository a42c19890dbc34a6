"""The data set of a name: items of sources, matched by their classes, or faces or tables, which belong together."""

from pathlib import Path
from typing import SupportsIndex

import torch

from workbench.config import whole
from workbench.data.celeba.attributes import DescriptionStorage
from workbench.data.dataset import MultimodalDataset, Storage
from workbench.data.images import check_split
from workbench.data.pairing import pair_table
from workbench.data.sources import EVERY, FACE_SETS, TABLE_SETS, files_of, parse_name
from workbench.data.tables import load_tables
from workbench.data.text import StringTable, TextStorage


def load_dataset(
    name: str, split: str, root: str | Path | None = None, repeats: int = 20, seed: SupportsIndex = 0
) -> MultimodalDataset:
    """Load the data set of the sources in `name`, such as "uci-plain-text" or "polydigits-5", modalities in that order.

    `repeats` is how often the items of a class are matched; faces and tables belong together and take no notice.
    Raises ValueError for an unknown name or split, DataError when a file is missing or damaged.
    """
    check_split(split)
    seed = whole("seed", seed)
    if name in FACE_SETS:
        return _load_faces(name, split, root, seed)
    if name in TABLE_SETS:
        return load_tables(name, split, seed)
    storages = tuple(_storage(part, split, root, seed) for part in parse_name(name))
    # Text has a string for every item, so it does not take part in the matching unless it stands alone.
    matched = [storage for storage in storages if not isinstance(storage, TextStorage)] or list(storages)
    table = pair_table([storage.labels for storage in matched], repeats, seed)
    labels = matched[0].labels[table[:, 0].long()]
    column = dict(zip((storage.name for storage in matched), table.unbind(dim=1), strict=True))
    column["text"] = labels.to(table.dtype)
    pairs = torch.stack([column[storage.name] for storage in storages], dim=1)
    return MultimodalDataset(name, split, storages, pairs, labels, repeats=repeats, files=files_of(name, root))


def _load_faces(name: str, split: str, root: str | Path | None, seed: int) -> MultimodalDataset:
    source, anywhere = FACE_SETS[name]
    images = _storage(source, split, root, seed)
    rows = torch.arange(len(images.labels), dtype=torch.int32).unsqueeze(1).repeat(1, 2)
    storages = images, DescriptionStorage.of(images.labels, anywhere)
    return MultimodalDataset(name, split, storages, rows, images.labels, files=files_of(name, root))


def _storage(source: str, split: str, root: str | Path | None, seed: int) -> Storage:
    modality, load, *_ = EVERY[source]
    items = load(split, root, seed)
    return TextStorage.of(items) if isinstance(items, StringTable) else Storage.of_images(modality, source, items)
