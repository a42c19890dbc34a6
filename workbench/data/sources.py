"""Where items come from: sources by name, what each is in one honest line, and the data set of several of them."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from workbench.data.celeba.attributes import DescriptionStorage
from workbench.data.celeba.load import load_celeba
from workbench.data.dataset import MultimodalDataset, Storage
from workbench.data.images import Images, check_split
from workbench.data.mnist import load_mnist
from workbench.data.pairing import pair_table
from workbench.data.svhn import load_svhn
from workbench.data.synthetic import polydigits
from workbench.data.synthetic.faces import load_faces
from workbench.data.text import StringTable, TextStorage, string_table
from workbench.paths import data_root


class Source(NamedTuple):
    """Where one modality's items come from: `load(split, root, seed)`, and what it is in one honest line."""

    modality: str
    load: Callable[[str, Path, int], Images | StringTable]
    provenance: str
    rendered: bool = False


def _uci(split: str, root: Path, seed: int) -> Images:
    from workbench.data.synthetic.handwriting import load_uci  # brings scikit-learn

    return load_uci(split, seed)


def _rendered(source: str, split: str, root: Path, seed: int) -> Images:
    from workbench.data.synthetic.street import load_rendered  # brings matplotlib

    return load_rendered(source, split, seed)


def _polydigits(style: str, split: str, root: Path, seed: int) -> Images:
    from workbench.data.synthetic.polydigits_images import load_polydigits  # brings matplotlib and scikit-learn

    return load_polydigits(style, split, seed)


SOURCES = {
    "mnist": Source(
        "handwriting", lambda split, root, seed: load_mnist(split, root), "real handwriting, 28x28 digits of MNIST"
    ),
    "uci": Source(
        "handwriting",
        _uci,
        "real handwriting, 8x8 UCI digits bundled with scikit-learn, resampled and varied by this project",
    ),
    "svhn": Source(
        "street", lambda split, root, seed: load_svhn(split, root), "real house numbers, 32x32 colour crops of SVHN"
    ),
    "rendered": Source(
        "street",
        partial(_rendered, "rendered"),
        "rendered by this project from matplotlib's fonts to look like house numbers: NOT real house numbers",
        rendered=True,
    ),
    "plain": Source(
        "street",
        partial(_rendered, "plain"),
        "rendered by this project from matplotlib's fonts, one bright digit on a darker ground: NOT real house numbers",
        rendered=True,
    ),
    "text": Source(
        "text",
        lambda split, root, seed: string_table(),
        "the digit's English name in 8 characters, written by this project, start position redrawn at every visit",
    ),
}
# Each style of polydigits is a source of its own name, most of which only the name of the family calls.
STYLES = {
    style: Source(style, partial(_polydigits, style), polydigits.describe(style), rendered=True)
    for style in polydigits.STYLES
}


FACES = {
    "celeba": Source(
        "image", lambda split, root, seed: load_celeba(split, root), "real faces, CelebA's photographs cut to 64x64"
    ),
    "faces": Source(
        "image",
        lambda split, root, seed: load_faces(split, seed),
        "faces drawn by this project from 40 attributes: NOT real faces",
        rendered=True,
    ),
}
ANYWHERE = "-anywhere"


class FaceSet(NamedTuple):
    """A data set of faces with their descriptions, which belong together: nothing is matched, nothing to be joined."""

    source: str  # one of FACES
    anywhere: bool  # whether descriptions begin at a random place

    @property
    def provenance(self) -> str:
        """What it is in one honest line."""
        place = "at a random place, redrawn at every visit" if self.anywhere else "filled at the end"
        return f"{FACES[self.source].provenance}; their attributes as text of 256 characters, {place}"


FACE_SETS = {f"{source}{end}": FaceSet(source, end == ANYWHERE) for source in FACES for end in ("", ANYWHERE)}


def _source(part: str) -> Source:
    return SOURCES[part] if part in SOURCES else STYLES[part]


def _words(name: str) -> list[str]:
    """Sources and families in a name: "polydigits-5-text" is polydigits-5 and text."""
    return re.split(rf"(?<!{polydigits.FAMILY})-", name)


def parse_name(name: str) -> tuple[str, ...]:
    """Return sources in the name of a data set; ValueError for an unknown source or two of one modality."""
    if name in FACE_SETS:
        source, anywhere = FACE_SETS[name]
        return source, f"description{ANYWHERE * anywhere}"
    parts = tuple(part for word in _words(name) for part in polydigits.members(word))
    if unknown := [part for part in parts if part not in SOURCES and part not in STYLES]:
        raise ValueError(
            f"unknown source {unknown[0]!r} in {name!r}: join some of {', '.join(SOURCES)} by '-', or take "
            f"{polydigits.FAMILY}-M with M from {polydigits.FEWEST} to {polydigits.MOST}, or one of "
            f"{', '.join(FACE_SETS)}; arrays of your own are given as fit(config, data=...)"
        )
    modalities = [_source(part).modality for part in parts]
    if twice := [modality for modality in modalities if modalities.count(modality) > 1]:
        raise ValueError(f"{name!r} names the modality {twice[0]} twice: choose one source for it")
    return parts


def describe(name: str) -> str:
    """Say what a source is, or the sources of a data set's name: one line that says what is real and what is not."""
    parse_name(name)
    if name in FACE_SETS:
        return FACE_SETS[name].provenance
    return "; ".join(_provenance(word) for word in _words(name))


def _provenance(word: str) -> str:
    styles = polydigits.members(word)
    return polydigits.describe_family(styles) if len(styles) > 1 else _source(word).provenance


def is_known(name: str) -> bool:
    """Return whether this version has all sources in the name of a data set."""
    try:
        return bool(parse_name(name))
    except ValueError:
        return False


def is_rendered(name: str) -> bool:
    """Return whether an image source of `name` was drawn by this project instead of photographed or written by hand."""
    if name in FACE_SETS:
        return FACES[FACE_SETS[name].source].rendered
    return any(_source(part).rendered for part in parse_name(name))


def load_dataset(
    name: str, split: str, root: str | Path | None = None, repeats: int = 20, seed: int = 0
) -> MultimodalDataset:
    """Load the data set of the sources in `name`, such as "uci-plain-text" or "polydigits-5", modalities in that order.

    `repeats` is how often the items of a class are matched; faces have their own descriptions and take no notice.
    Raises ValueError for an unknown name or split, DataError when a file is missing or damaged.
    """
    check_split(split)
    if name in FACE_SETS:
        return _load_faces(name, split, data_root(root), seed)
    storages = tuple(_storage(part, split, data_root(root), seed) for part in parse_name(name))
    # Text has a string for every item, so it does not take part in the matching unless it stands alone.
    matched = [storage for storage in storages if not isinstance(storage, TextStorage)] or list(storages)
    table = pair_table([storage.labels for storage in matched], repeats, seed)
    labels = matched[0].labels[table[:, 0].long()]
    column = dict(zip((storage.name for storage in matched), table.unbind(dim=1), strict=True))
    column["text"] = labels.to(table.dtype)
    pairs = torch.stack([column[storage.name] for storage in storages], dim=1)
    return MultimodalDataset(name, split, storages, pairs, labels, repeats=repeats)


def _load_faces(name: str, split: str, root: Path, seed: int) -> MultimodalDataset:
    source, anywhere = FACE_SETS[name]
    modality, load, *_ = FACES[source]
    images = load(split, root, seed)
    storages = (Storage.of_images(modality, source, images), DescriptionStorage.of(images.labels, anywhere))
    rows = torch.arange(len(images.labels), dtype=torch.int32)
    return MultimodalDataset(name, split, storages, torch.stack([rows, rows], dim=1), images.labels)


def _storage(source: str, split: str, root: Path, seed: int) -> Storage:
    modality, load, *_ = _source(source)
    items = load(split, root, seed)
    return TextStorage.of(items) if isinstance(items, StringTable) else Storage.of_images(modality, source, items)
