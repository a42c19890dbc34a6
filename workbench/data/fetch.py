"""Download real data sets and Inception's weights, and say what is there: `workbench data fetch NAME`, `... check`.

A transfer goes to a partial file beside its goal, which takes the goal's name when its checksum matches. Whoever
interrupts a transfer loses nothing: the next one goes on where it stopped, if the server can.
"""

import gzip
import hashlib
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from tqdm.auto import tqdm

from workbench.data import mnist, svhn
from workbench.data.celeba import load
from workbench.data.celeba.fetch import ARCHIVE, arriving, fetch_celeba
from workbench.data.celeba.lists import ATTRIBUTE_LIST, COUNT, PARTITION_LIST, read_attributes, read_partition
from workbench.data.images import SPLITS, DataError
from workbench.paths import data_root, replacing

_READERS = {"mnist": mnist, "svhn": svhn}
NAMES = (*_READERS, "celeba", "inception")
INCEPTION = "pt_inception-2015-12-05-6726825d.pth"  # pytorch-fid's name for it; its last part begins the file's SHA-256
_CHUNK = 1 << 18
_TIMEOUT = 60  # seconds without a byte


@dataclass(frozen=True)
class Download:
    """One file: where to get it, its checksum as transferred or how that begins, where it belongs.

    Files whose address ends in .gz are unpacked on arrival.
    """

    urls: tuple[str, ...]
    checksum: str
    goal: Path
    algorithm: str = "md5"


class FileState(NamedTuple):
    """What `check` found out about one file; cure is empty where nothing is wrong."""

    source: str
    file: Path
    state: str
    cure: str

    @property
    def sound(self) -> bool:
        return self.state.startswith("ok")


def fetch(name: str, root: str | Path | None = None) -> list[Path]:
    """Download what is missing or damaged of `name` under the data root, and return all its files.

    Sound files stay untouched, whatever their size; where they are not all there is, that is said. Raises ValueError
    for an unknown name, DataError in one line when a transfer fails.
    """
    if name not in NAMES:
        raise ValueError(
            f"unknown data set {name!r}: choose one of {', '.join(NAMES)} (all other sources are built in)"
        )
    root = data_root(root)
    wanted = {row.file.name.removesuffix(".gz") for row in _states(name, root) if not row.sound}
    if name == "celeba" and wanted:
        fetch_celeba(root / "celeba", wanted)
    for download in downloads(name, root) if wanted else []:
        if download.goal.name in wanted:
            _transfer(name, download)
    states = _states(name, root)
    for row in states:
        if row.sound and row.cure:
            print(f"{row.file} stays as it is ({row.state}): {row.cure}", file=sys.stderr)
    return [row.file for row in states]


def check(root: str | Path | None = None) -> list[FileState]:
    """One row for each file of the real data sets, judged by its header and length, and one for Inception's weights.

    CelebA's photographs have one row together, judged by their number and by the lists; none is opened.
    """
    return [row for name in NAMES for row in _states(name, data_root(root))]


def inception_weights(root: str | Path | None = None) -> Path | None:
    """The file of pytorch-fid's Inception weights under the data root; None where it is missing or damaged."""
    (row,) = _states("inception", data_root(root))
    return row.file if row.sound else None


def downloads(name: str, root: Path) -> list[Download]:
    """Addresses and checksums of the files of a data set, as torchvision has them; Inception's are pytorch-fid's.

    None for CelebA: torchvision gets it from Google Drive, whose files have no addresses.
    """
    if name == "inception":
        return [_inception(root)]
    if name == "celeba":
        return []
    try:
        from torchvision import datasets
    except ImportError as error:
        raise DataError("torchvision knows where the data is: install it with `pip install torchvision`") from error
    if name == "svhn":
        parts = [datasets.SVHN.split_list[split] for split in SPLITS]
        return [Download((url,), md5, root / "svhn" / file) for url, file, md5 in parts]
    return [
        Download(
            tuple(mirror + file for mirror in datasets.MNIST.mirrors), md5, root / "MNIST" / "raw" / Path(file).stem
        )
        for file, md5 in datasets.MNIST.resources
    ]


def _inception(root: Path) -> Download:
    try:
        from pytorch_fid.inception import FID_WEIGHTS_URL
    except ImportError as error:
        raise DataError("pytorch-fid knows where the weights are: install it with `pip install pytorch-fid`") from error
    return Download((FID_WEIGHTS_URL,), _inception_checksum(), root / "inception" / INCEPTION, "sha256")


def _transfer(name: str, download: Download) -> None:
    """Bring one file to its goal from the first address that gives it whole."""
    partial = _partial(download.goal)
    failures = []
    for url in download.urls:
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            _receive(url, partial)
            _accept(url, partial, download)
            return
        except (OSError, HTTPException, EOFError, DataError) as error:
            failures.append(f"{url}: {error or type(error).__name__}")
    raise DataError(
        f"{download.goal} could not be downloaded ({'; '.join(failures)}): "
        f"run `workbench data fetch {name}` again (it goes on where it stopped), or put the file there yourself"
    )


def _receive(url: str, partial: Path) -> None:
    """Append to the partial file what it still lacks, or begin anew where the server cannot continue."""
    start = partial.stat().st_size if partial.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == 416:  # nothing left to send: the checksum tells whether it is whole
            return
        raise
    with response:
        start = start if response.status == 206 else 0
        total = None if response.length is None else start + response.length
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=url.rsplit("/", 1)[-1])
        with bar, partial.open("ab" if start else "wb") as stream:
            while chunk := response.read(_CHUNK):
                stream.write(chunk)
                bar.update(len(chunk))
    received = partial.stat().st_size
    if total is not None and received < total:
        raise DataError(f"the connection broke after {received} of {total} bytes")


def _accept(url: str, partial: Path, download: Download) -> None:
    """Move the partial file to its goal, unpacked where it is packed; a wrong one is removed."""
    found = _checksum(partial, download.algorithm)
    if not found.startswith(download.checksum):
        partial.unlink()
        raise DataError(f"wrong checksum {found} instead of {download.checksum}, removed")
    if url.endswith(".gz"):
        with replacing(download.goal) as temporary, gzip.open(partial) as packed, temporary.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        partial.unlink()
    else:
        os.replace(partial, download.goal)


def _checksum(file: Path, algorithm: str) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def _inception_checksum() -> str:
    return Path(INCEPTION).stem.rpartition("-")[2]


def _inception_bytes(file: Path) -> int:
    """Size of Inception's weights; DataError when they are not what the name says."""
    if not _checksum(file, "sha256").startswith(_inception_checksum()):
        raise DataError(f"{file} is damaged, its SHA-256 does not begin with {_inception_checksum()}")
    return file.stat().st_size


def _states(name: str, root: Path) -> list[FileState]:
    if name == "inception":
        return [_state(name, root / "inception" / INCEPTION, None, _inception_bytes, "bytes")]
    if name == "celeba":
        return _celeba_states(root / "celeba")
    reader = _READERS[name]
    return [
        _state(name, file, reader.COUNTS[split], reader.count) for split in SPLITS for file in reader.files(split, root)
    ]


def _celeba_states(folder: Path) -> list[FileState]:
    lists = ((ATTRIBUTE_LIST, read_attributes), (PARTITION_LIST, read_partition))
    rows = [
        _state("celeba", folder / name, COUNT, lambda file, read=read: len(read(file)), "rows") for name, read in lists
    ]
    return [_photos_state(folder), *rows]


def _photos_state(folder: Path) -> FileState:
    """Judge CelebA's photographs by their number and their rows in the lists; none is opened."""
    photos, cure = load.photo_folder(folder), "workbench data fetch celeba"
    try:
        present = len(load.photo_sizes(folder))
    except DataError:
        arrived = (arriving(folder) / ARCHIVE).is_file()
        return FileState("celeba", photos, "partly downloaded" if arrived else "missing", cure)
    cure = "" if present >= COUNT else f"a part will do; for all {COUNT:,} move it away, then {cure}"
    try:
        counts, cached = load.survey(folder.parent)
    except DataError as error:
        return FileState("celeba", photos, f"ok, {present:,} images, but not to be used: {error}", cure)
    return FileState("celeba", photos, f"ok, {counts.summary()}; {'cached' if cached else 'not cached yet'}", cure)


def _state(source: str, file: Path, whole: int | None, count: Callable[[Path], int], unit: str = "items") -> FileState:
    """Judge one file by `count(file)`, which says how many items it holds or raises DataError.

    `whole` is their right number; None where what can be counted is right.
    """
    cure = f"workbench data fetch {source}"
    if not file.is_file():
        return FileState(source, file, "partly downloaded" if _partial(file).is_file() else "missing", cure)
    try:
        items = count(file)
    except DataError:
        return FileState(source, file, "damaged", cure)
    if whole is not None and items != whole:
        return FileState(source, file, f"ok, but {items:,} items instead of {whole:,}", f"move it away, then {cure}")
    return FileState(source, file, f"ok, {items:,} {unit}", "")


def _partial(goal: Path) -> Path:
    return goal.with_name(f"{goal.name}.part")
