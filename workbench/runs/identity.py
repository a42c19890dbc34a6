"""What a run was trained on: digests of the files of downloaded data, in config.json under "files", compared with those
that are there now. Of runs of versions that kept none, and of files that are not there, nothing is known.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench import paths
from workbench.config import Config
from workbench.data.sources import files_of
from workbench.errors import Refused


def files_now(config: Config) -> dict[str, str]:
    """Digests of the files that a configuration means now, by their names; none of data that needs no files."""
    return files_of(config.data, config.data_root or None)


def other_files(stored: Mapping[str, Any], config: Config, here: Mapping[str, str] | None = None) -> str:
    """Which files are others now than those that the run of a config.json was trained on; "" where none are known.

    `here` are digests of those that are used (None: those that a configuration means now).
    """
    kept = stored.get("files") or {}
    if kept and here is None:
        here = files_now(config)
    return next((name for name, digest in (here or {}).items() if kept.get(name, digest) != digest), "")


def check_files(folder: Path, stored: Mapping[str, Any], config: Config, here: Mapping[str, str] | None = None) -> None:
    """Refused where the run in a folder was trained on other files than these, `here` as above."""
    if other := other_files(stored, config, here):
        where = f"in {paths.data_root(config.data_root or None)}" if here is None else "of the data that is given"
        raise Refused(
            f"{folder} holds a run on other data: {other} {where} is not what it was trained on; choose another "
            "folder, or the data that it had"
        )
