"""Download the real data sets, and say what is there: `workbench data fetch NAME`, `workbench data check`.

A transfer goes to a partial file beside its goal, which takes the goal's name when its checksum matches. Whoever
interrupts a transfer loses nothing: the next one goes on where it stopped, if the server can.
"""

import gzip
import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from tqdm.auto import tqdm

from workbench.data import mnist, svhn
from workbench.data.images import SPLITS, DataError
from workbench.paths import data_root, replacing

_READERS = {"mnist": mnist, "svhn": svhn}
NAMES = tuple(_READERS)
_CHUNK = 1 << 18
_TIMEOUT = 60  # seconds without a byte


@dataclass(frozen=True)
class Download:
    """One file: where to get it, its MD5 as transferred, where it belongs; .gz files are unpacked on arrival."""

    urls: tuple[str, ...]
    md5: str
    goal: Path


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

    Sound files stay untouched, whatever their size. Raises ValueError for an unknown name, DataError in one line
    when a transfer fails.
    """
    if name not in NAMES:
        raise ValueError(
            f"unknown data set {name!r}: choose one of {', '.join(NAMES)} (all other sources are built in)"
        )
    root = data_root(root)
    wanted = {row.file.name.removesuffix(".gz") for row in _states(name, root) if not row.sound}
    for download in downloads(name, root) if wanted else []:
        if download.goal.name in wanted:
            _transfer(name, download)
    return [row.file for row in _states(name, root)]


def check(root: str | Path | None = None) -> list[FileState]:
    """One row for each file of the real data sets, judged by its header and length."""
    return [row for name in NAMES for row in _states(name, data_root(root))]


def downloads(name: str, root: Path) -> list[Download]:
    """Addresses and checksums of the files of a data set, as torchvision has them."""
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
    with partial.open("rb") as stream:
        md5 = hashlib.file_digest(stream, "md5").hexdigest()
    if md5 != download.md5:
        partial.unlink()
        raise DataError(f"wrong checksum {md5} instead of {download.md5}, removed")
    if url.endswith(".gz"):
        with replacing(download.goal) as temporary, gzip.open(partial) as packed, temporary.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        partial.unlink()
    else:
        os.replace(partial, download.goal)


def _states(name: str, root: Path) -> list[FileState]:
    reader = _READERS[name]
    return [
        _state(name, file, reader.COUNTS[split], reader.count) for split in SPLITS for file in reader.files(split, root)
    ]


def _state(source: str, file: Path, whole: int, count: Callable[[Path], int]) -> FileState:
    """Judge one file by `count(file)`, which says how many items it holds or raises DataError."""
    cure = f"workbench data fetch {source}"
    if not file.is_file():
        return FileState(source, file, "partly downloaded" if _partial(file).is_file() else "missing", cure)
    try:
        items = count(file)
    except DataError:
        return FileState(source, file, "damaged", cure)
    if items != whole:
        return FileState(source, file, f"ok, but {items:,} items instead of {whole:,}", f"move it away, then {cure}")
    return FileState(source, file, f"ok, {items:,} items", "")


def _partial(goal: Path) -> Path:
    return goal.with_name(f"{goal.name}.part")
