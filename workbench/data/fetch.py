"""Download real data sets and Inception's weights, and say what is there: `workbench data fetch NAME`, `... check`.

A file arrives under the name of its goal and `.part`, and takes its place when its checksum matches and it is unpacked.
Whoever interrupts a transfer loses nothing: the next one goes on where it stopped, if the server can. CelebA comes from
Google Drive, which cannot, and which limits how often it gives a file away in a day.
"""

import gzip
import hashlib
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tqdm.auto import tqdm

from workbench.data import mnist, svhn
from workbench.data.celeba import load
from workbench.data.celeba.lists import ATTRIBUTE_LIST, COUNT, PARTITION_LIST, read_attributes, read_partition
from workbench.data.images import SPLITS, DataError
from workbench.files import replacing
from workbench.paths import data_root, locked

_READERS = {"mnist": mnist, "svhn": svhn}
NAMES = (*_READERS, "celeba", "inception")
LISTS = {ATTRIBUTE_LIST: read_attributes, PARTITION_LIST: read_partition}
INCEPTION = "pt_inception-2015-12-05-6726825d.pth"  # pytorch-fid's name for it
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
ARCHIVE = f"{load.PHOTOS}.zip"
PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
DRIVE = "drive:"  # before the identifier of a file on Google Drive
_CHUNK = 1 << 16  # bytes, of which a broken connection loses the last ones
_TIMEOUT = 60  # seconds without a byte


class Download(NamedTuple):
    """One file: where to get it, its checksum as transferred, "md5:..." or "sha256:...", and where it belongs."""

    urls: tuple[str, ...]
    checksum: str
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

    Sound files stay untouched, whatever their size; where they are not all there is, that is said. Raises ValueError
    for an unknown name, DataError in one line when a transfer fails.
    """
    if name not in NAMES:
        raise ValueError(
            f"unknown data set {name!r}: choose one of {', '.join(NAMES)} (all other sources are built in)"
        )
    root = data_root(root)
    for download in downloads(name, root) if _wanted(name, root) else []:
        if download.goal.name in _wanted(name, root):
            with locked(download.goal, f"waiting: another process is downloading {download.goal}", leave=False):
                if download.goal.name in _wanted(name, root):  # not brought by the one that was waited for
                    _transfer(name, download)
    states = _states(name, root)
    for row in states:
        if row.sound and row.cure:
            print(f"{row.file} stays as it is ({row.state}): {row.cure}", file=sys.stderr)
    return [row.file for row in states]


def _wanted(name: str, root: Path) -> set[str]:
    """Names of the files that are missing or damaged."""
    return {row.file.name.removesuffix(".gz") for row in _states(name, root) if not row.sound}


def downloads(name: str, root: Path) -> list[Download]:
    """Return addresses and checksums of a data set's files, as torchvision has them; Inception's are pytorch-fid's."""
    package, module = ("pytorch-fid", "pytorch_fid.inception") if name == "inception" else ("torchvision",) * 2
    try:
        known = import_module(module)
    except ImportError as error:
        raise DataError(f"{package} knows where {name} is: install it with `pip install {package}`") from error
    if name == "inception":
        return [Download((known.FID_WEIGHTS_URL,), f"sha256:{INCEPTION_SHA256}", root / name / INCEPTION)]
    if name == "svhn":
        files = [((url,), md5, file) for url, file, md5 in map(known.datasets.SVHN.split_list.get, SPLITS)]
    elif name == "celeba":
        table, goals = known.datasets.CelebA.file_list, {ARCHIVE: load.PHOTOS} | {file: file for file in LISTS}
        files = [((DRIVE + key,), md5, goals[file]) for key, md5, file in table if file in goals]
    else:
        mirrors, name = known.datasets.MNIST.mirrors, "MNIST/raw"
        table = known.datasets.MNIST.resources
        files = [(tuple(mirror + file for mirror in mirrors), md5, Path(file).stem) for file, md5 in table]
    return [Download(urls, f"md5:{md5}", root / name / goal) for urls, md5, goal in files]


def _transfer(name: str, download: Download) -> None:
    """Bring one file to its goal from the first address that gives it whole."""
    arriving, failures = _arriving(download.goal), {}
    for url in download.urls:
        bring = _from_drive if url.startswith(DRIVE) else _continued
        try:
            if not _is(arriving, download.checksum):  # a kill may have come when all had arrived
                bring(url, arriving, download)
            _check(arriving, download.checksum)
            _unpack(url, arriving, download)
            return
        # Whatever goes wrong, from a missing gdown to a broken connection: gdown, requests and zipfile have no common
        # error, and the way out is the same.
        except Exception as error:
            failures[url] = _reason(error)
    if name == "celeba":
        raise DataError(
            f"CelebA could not be downloaded ({failures[url]}): try `workbench data fetch celeba` again later, or get "
            f"{ARCHIVE}, {ATTRIBUTE_LIST} and {PARTITION_LIST} from {PAGE} by hand and put them, the archive unpacked, "
            f"into {download.goal.parent}"
        )
    reasons = "; ".join(f"{url}: {reason}" for url, reason in failures.items())
    raise DataError(
        f"{download.goal} could not be downloaded ({reasons}): run `workbench data fetch {name}` again (it goes on "
        "where it stopped), or put the file there yourself"
    )


def _is(file: Path, checksum: str) -> bool:
    """Whether a file is there and has that checksum."""
    kind, digest = checksum.split(":")
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest() == digest


def _check(file: Path, checksum: str) -> None:
    """Remove a file that has another checksum, with DataError."""
    if not _is(file, checksum):
        file.unlink(missing_ok=True)
        raise DataError(f"wrong checksum instead of {checksum}, removed")


def _reason(error: Exception) -> str:
    """What went wrong, in a few words on one line."""
    # the reason is urllib3's, whom requests quotes at length
    message = getattr(error.args[0], "reason", error) if error.args else error
    reason = " ".join(str(message).split()) or type(error).__name__
    return reason if len(reason) <= 200 else f"{reason[:200]} ..."


def _continued(url: str, arriving: Path, download: Download) -> None:
    """Append to what has arrived before, or begin anew where the server cannot continue."""
    import requests  # takes a moment, which `check` can do without

    start = arriving.stat().st_size if arriving.is_file() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    answered = requests.get(url, headers=headers, timeout=_TIMEOUT, stream=True)
    with answered as response, arriving.open("ab") as stream:
        if response.status_code in (200, 416):  # all of it, or nothing, where a part was asked for
            start = stream.truncate(0)
        response.raise_for_status()
        whole = start + int(response.headers.get("Content-Length", 0))
        with tqdm(total=whole, initial=start, unit="B", unit_scale=True, desc=download.goal.name) as bar:
            try:
                for chunk in response.iter_content(_CHUNK):
                    bar.update(stream.write(chunk))
            except requests.exceptions.ChunkedEncodingError as error:
                raise DataError(f"the connection broke after {bar.n} of {whole} bytes") from error


def _from_drive(url: str, arriving: Path, download: Download) -> None:
    """Have torchvision, which has gdown, bring a file of Google Drive."""
    from torchvision.datasets.utils import download_file_from_google_drive

    with TemporaryDirectory(prefix=".fetching-", dir=arriving.parent) as folder:
        md5 = download.checksum.removeprefix("md5:")
        download_file_from_google_drive(url.removeprefix(DRIVE), folder, arriving.name, md5)
        os.replace(Path(folder, arriving.name), arriving)


def _unpack(url: str, arriving: Path, download: Download) -> None:
    """Move what has arrived to its goal, unpacked where it is packed: all of it, or nothing."""
    goal = download.goal
    if url.endswith(".gz"):
        with replacing(goal) as temporary, gzip.open(arriving) as packed, temporary.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    elif goal.name == load.PHOTOS:
        with TemporaryDirectory(prefix=".fetching-", dir=goal.parent) as folder:
            with zipfile.ZipFile(arriving) as archive:
                archive.extractall(folder)
            os.replace(Path(folder, goal.name), goal)
    else:
        os.replace(arriving, goal)
        _check(goal, download.checksum)  # where there can be no locks, another process may have written into it
    arriving.unlink(missing_ok=True)


def _arriving(goal: Path) -> Path:
    """Where a file is until it is whole."""
    return goal.with_name(f"{goal.name}.part")


def check(root: str | Path | None = None) -> list[FileState]:
    """Judge each file of the real data sets by its header and length, and Inception's weights; one row for each.

    CelebA's photographs have one row together, judged by their number and by the lists; none is opened.
    """
    return [row for name in NAMES for row in _states(name, data_root(root))]


def _states(name: str, root: Path) -> list[FileState]:
    """Judge the files of a data set: each by how many items, rows or bytes it holds."""
    if name == "inception":
        return [_state(name, root / name / INCEPTION, None, _inception_bytes, "bytes")]
    if name == "celeba":
        rows = [
            _state(name, root / name / file, COUNT, lambda path: len(LISTS[path.name](path)), "rows") for file in LISTS
        ]
        return [_photos_state(root / name), *rows]
    reader, parts = _READERS[name], [(split, file) for split in SPLITS for file in _READERS[name].files(split, root)]
    return [_state(name, file, reader.COUNTS[split], reader.count) for split, file in parts]


def _state(source: str, file: Path, whole: int | None, count: Callable[[Path], int], unit: str = "items") -> FileState:
    """Judge one file by `count(file)`, which raises DataError on a damaged one; `whole` None: any number is right."""
    cure = f"workbench data fetch {source}"
    if not file.is_file():
        return FileState(source, file, "partly downloaded" if _arriving(file).is_file() else "missing", cure)
    try:
        items = count(file)
    except DataError:
        return FileState(source, file, "damaged", cure)
    if whole is not None and items != whole:
        return FileState(source, file, f"ok, but {items:,} items instead of {whole:,}", f"move it away, then {cure}")
    return FileState(source, file, f"ok, {items:,} {unit}", "")


def _photos_state(folder: Path) -> FileState:
    """Judge CelebA's photographs by their number and their rows in the lists; none is opened."""
    photos, cure = load.photo_folder(folder), "workbench data fetch celeba"
    try:
        present = len(load.photo_sizes(folder))
    except DataError:
        arrived = _arriving(folder / load.PHOTOS).is_file()
        return FileState("celeba", photos, "partly downloaded" if arrived else "missing", cure)
    cure = "" if present >= COUNT else f"a part will do; for all {COUNT:,} move it away, then {cure}"
    try:
        counts, cached = load.survey(folder.parent)
    except DataError as error:
        return FileState("celeba", photos, f"ok, {present:,} images, but not to be used: {error}", cure)
    return FileState("celeba", photos, f"ok, {counts.summary()}; {'cached' if cached else 'not cached yet'}", cure)


def _inception_bytes(file: Path) -> int:
    """Size of Inception's weights; DataError when they are others."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != INCEPTION_SHA256:
        raise DataError(f"{file} is damaged, its SHA-256 is {digest}")
    return file.stat().st_size
