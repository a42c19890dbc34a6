"""Where items come from: sources by name, and what each is in one honest line."""

import functools
import gzip
import hashlib
import re
import zlib
from collections import ChainMap
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from workbench.data.celeba.load import load_celeba, stored_name
from workbench.data.images import SPLITS, DataError, Images
from workbench.data.mnist import files as mnist_files
from workbench.data.mnist import load_mnist
from workbench.data.svhn import files as svhn_files
from workbench.data.svhn import load_svhn
from workbench.data.synthetic import polydigits
from workbench.data.synthetic.faces import load_faces
from workbench.data.text import StringTable, string_table
from workbench.paths import data_root


class Source(NamedTuple):
    """Where one modality's items come from: `load(split, root, seed)`, and what it is in one honest line.

    `root` is that of `load_dataset`: only what has been downloaded asks `data_root` where that is. `digests(root)` says
    by digests, by name, which files these are, None where there are none; DataError or OSError where they are missing.
    """

    modality: str
    load: Callable[[str, str | Path | None, int], Images | StringTable]
    provenance: str
    rendered: bool = False
    digests: Callable[[Path], dict[str, str]] | None = None


def _of_files(files: Callable[[str, Path], tuple[Path, ...]]) -> Callable[[Path], dict[str, str]]:
    """Digests of both splits of a source that is a few files, as far as they are there."""

    def digests(root: Path) -> dict[str, str]:
        paths = {split: files(split, root) for split in SPLITS}
        there = {split: found for split, found in paths.items() if all(path.is_file() for path in found)}
        return {
            split: "-".join(_digest(path, path.stat().st_size, path.stat().st_mtime_ns) for path in found)
            for split, found in there.items()
        }

    return digests


@functools.cache
def _digest(path: Path, size: int, changed: int) -> str:
    """Eight hexadecimal digits of what a file holds, packed or not; it is read once, until it changes."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


def _drawn(module: str, loader: str, *of: str) -> Callable[[str, str | Path | None, int], Images]:
    """What this project draws, by modules that bring scikit-learn and matplotlib and are imported when needed."""
    path = f"workbench.data.synthetic.{module}"
    return lambda split, root, seed: getattr(import_module(path), loader)(*of, split, seed)


# What can be joined in the name of a data set.
SOURCES = {
    "mnist": Source(
        "handwriting",
        lambda split, root, seed: load_mnist(split, data_root(root)),
        "real handwriting, 28x28 digits of MNIST",
        digests=_of_files(mnist_files),
    ),
    "uci": Source(
        "handwriting",
        _drawn("handwriting", "load_uci"),
        "real handwriting, 8x8 UCI digits bundled with scikit-learn, resampled and varied by this project",
    ),
    "svhn": Source(
        "street",
        lambda split, root, seed: load_svhn(split, data_root(root)),
        "real house numbers, 32x32 colour crops of SVHN",
        digests=_of_files(svhn_files),
    ),
    "rendered": Source(
        "street",
        _drawn("street", "load_rendered", "rendered"),
        "rendered by this project from matplotlib's fonts to look like house numbers: NOT real house numbers",
        rendered=True,
    ),
    "plain": Source(
        "street",
        _drawn("street", "load_rendered", "plain"),
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
    style: Source(style, _drawn("polydigits_images", "load_polydigits", style), polydigits.describe(style), True)
    for style in polydigits.STYLES
}
FACES = {
    "celeba": Source(
        "image",
        lambda split, root, seed: load_celeba(split, data_root(root)),
        "real faces, CelebA's photographs cut to 64x64",
        digests=lambda root: {"photographs": stored_name(root).removeprefix("celeba-")},
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


class TableSet(NamedTuple):
    """A data set of tables of the same items, which belong together: what `workbench.data.tables` reads."""

    modalities: tuple[str, ...]
    provenance: str


TABLE_SETS = {
    "mfeat": TableSet(
        ("fourier", "profile", "karhunen", "morphology", "pixels", "zernike"),
        "real handwriting, 2,000 digits of the UCI Multiple Features in six tables of features",
    ),
    "miniacc": TableSet(
        ("rna", "copy_number", "protein", "mutations", "mirna"),
        "real patients, 92 of TCGA's adrenocortical carcinoma in five assays, of which 49 patients lack some",
    ),
}
FACE_SETS = {f"{source}{end}": FaceSet(source, end == ANYWHERE) for source in FACES for end in ("", ANYWHERE)}
EVERY = ChainMap(SOURCES, STYLES, FACES)


def _words(name: str) -> list[str]:
    """Sources and families in a name: "polydigits-5-text" is polydigits-5 and text."""
    return re.split(rf"(?<!{polydigits.FAMILY})-", name)


def parse_name(name: str) -> tuple[str, ...]:
    """Return sources in the name of a data set; ValueError for an unknown source or two of one modality."""
    if name in FACE_SETS:
        source, anywhere = FACE_SETS[name]
        return source, f"description{ANYWHERE * anywhere}"
    if name in TABLE_SETS:
        return tuple(f"{name} {modality}" for modality in TABLE_SETS[name].modalities)
    parts = tuple(part for word in _words(name) for part in polydigits.members(word))
    if unknown := [part for part in parts if part not in SOURCES and part not in STYLES]:
        raise ValueError(
            f"unknown source {unknown[0]!r} in {name!r}: join some of {', '.join(SOURCES)} by '-', or take "
            f"{polydigits.FAMILY}-M with M from {polydigits.FEWEST} to {polydigits.MOST}, or one of "
            f"{', '.join([*FACE_SETS, *TABLE_SETS])}; arrays of your own are given as fit(config, data=...)"
        )
    modalities = [EVERY[part].modality for part in parts]
    if twice := [modality for modality in modalities if modalities.count(modality) > 1]:
        raise ValueError(f"{name!r} names the modality {twice[0]} twice: choose one source for it")
    return parts


def describe(name: str) -> str:
    """Say what a source is, or the sources of a data set's name: one line that says what is real and what is not."""
    parse_name(name)
    if name in FACE_SETS or name in TABLE_SETS:
        return (FACE_SETS | TABLE_SETS)[name].provenance
    families = ((word, polydigits.members(word)) for word in _words(name))
    return "; ".join(
        polydigits.describe_family(styles) if len(styles) > 1 else EVERY[word].provenance for word, styles in families
    )


def is_known(name: str) -> bool:
    """Return whether this version has all sources in the name of a data set."""
    try:
        return bool(parse_name(name))
    except ValueError:
        return False


def is_rendered(name: str) -> bool:
    """Return whether an image source of `name` was drawn by this project instead of photographed or written by hand."""
    return any(EVERY[part].rendered for part in parse_name(name) if part in EVERY)


def files_of(name: str, root: str | Path | None = None) -> dict[str, str]:
    """Digests of the files that a data set's sources are read from, as {"mnist train": ...}, of those that are there.

    Where two places have the same keys and other digests, they hold other items. Own data are in their names.
    """
    found: dict[str, str] = {}
    for source in parse_name(name) if is_known(name) else ():
        if source in EVERY and (digests := EVERY[source].digests):
            try:
                found |= {f"{source} {part}": digest for part, digest in digests(data_root(root)).items()}
            except (DataError, OSError, EOFError, zlib.error):  # whoever loads them says what is missing or damaged
                continue
    return found
