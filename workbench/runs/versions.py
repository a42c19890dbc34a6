"""Which code made a run: digests of the sources that its numbers depend on, and what it must be quoted with.

Both versions are lists of what counts: a new plot, table or explorer retrains and judges nothing anew.
"""

import functools
import hashlib
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from workbench import threads
from workbench.device import processor

PACKAGE = Path(__file__).resolve().parent.parent
# What a training depends on, as files and folders of the package: when it changes, runs are trained anew.
METHOD = ("distributions", "divergences", "fusion", "importance", "likelihoods", "losses", "model")
GROUND = ("_torchvision", "config", "device", "errors", "files", "modality", "paths", "threads")
FOLDERS = ("data", "networks", "objectives", "training", "runs/contents.py", "runs/identity.py")
FOLDERS += ("runs/modalities.py", "runs/run.py", "runs/versions.py")
TRAINING = (*(f"{name}.py" for name in METHOD + GROUND), *FOLDERS)
# What judges a trained run: when it changes, runs are evaluated anew, not trained anew.
JUDGING = ("evaluation.py", "inference.py", "metrics", "networks/classifiers.py")


@functools.cache
def code_version() -> str:
    """Twelve hexadecimal digits of the source text that a training depends on."""
    judging = sources(JUDGING)
    return _digest([path for path in sources(TRAINING) if path not in judging])


@functools.cache
def judges_version() -> str:
    """Twelve hexadecimal digits of the source text that makes numbers of a trained model."""
    return _digest(sources(JUDGING))


def sources(places: Sequence[str]) -> list[Path]:
    """The package's files of code, and of tables that are read as code, at or below these places, in order."""
    paths = {path for place in places for path in (PACKAGE / place, *(PACKAGE / place).rglob("*.*"))}
    return sorted(path for path in paths if path.suffix in (".py", ".txt"))


def _digest(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def provenance() -> dict[str, str | None]:
    """What a number must be quoted with: versions of training code and judges, commit if known, day (UTC), machine."""
    return {
        "code": code_version(),
        "judges": judges_version(),
        "commit": _commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{processor()}, {torch.get_num_threads()} threads",
        "waiting": threads.policy(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _commit() -> str | None:
    """The checkout's commit, marked when files were changed since; None outside a checkout or without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        described = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


# A process runs the code as it has read it: files that change while it runs do not change its versions.
code_version()
judges_version()
