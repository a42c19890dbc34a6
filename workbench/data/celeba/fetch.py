"""CelebA from where torchvision finds it, Google Drive, which limits how often it gives a file away in a day.

Everything arrives in a hidden folder and takes its place when its checksum matches, the photographs when all of them
are unpacked. An archive that has arrived is not fetched again.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from workbench.data.celeba.lists import ATTRIBUTE_LIST, PARTITION_LIST
from workbench.data.celeba.load import PHOTOS
from workbench.data.images import DataError

ARCHIVE = f"{PHOTOS}.zip"
PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


def arriving(folder: Path) -> Path:
    """Where files are until they are whole."""
    return folder / ".fetching"


def fetch_celeba(folder: Path, wanted: Iterable[str]) -> None:
    """Download those of the lists and of the photographs (`PHOTOS`) that are wanted into the folder `celeba`.

    DataError in one line, with the way to do it by hand, when that fails.
    """
    try:
        from torchvision.datasets import CelebA
        from torchvision.datasets.utils import download_file_from_google_drive, extract_archive
    except ImportError as error:
        raise DataError("torchvision knows where the data is: install it with `pip install torchvision`") from error
    place = arriving(folder)
    files = {ARCHIVE if name == PHOTOS else name for name in wanted}
    try:
        for identifier, checksum, name in CelebA.file_list:
            if name in files:
                download_file_from_google_drive(identifier, place, name, checksum)
                if name == ARCHIVE:
                    extract_archive(place / name, place)
                    name = PHOTOS
                os.replace(place / name, folder / name)
    # Whatever goes wrong, from a missing gdown to a page that says "too many users have viewed this file": gdown,
    # requests and zipfile have no common error, and the way out is the same.
    except Exception as error:
        raise DataError(_by_hand(folder, error)) from error
    shutil.rmtree(place, ignore_errors=True)


def _by_hand(folder: Path, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    reason = reason if len(reason) <= 200 else f"{reason[:200]} ..."
    return (
        f"CelebA could not be downloaded ({reason}): try `workbench data fetch celeba` again later, or get {ARCHIVE}, "
        f"{ATTRIBUTE_LIST} and {PARTITION_LIST} from {PAGE} by hand and put them, the archive unpacked, into {folder}"
    )
