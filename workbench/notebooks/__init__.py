"""The numbered notebooks as programs: find them, execute them, keep them clean.

`series.run` executes notebooks and turns them into pages. The rules of committed notebooks are in rules.py, for a
shell as well: `python -m workbench.notebooks scrub|check FILE...`

Every notebook imports this package for its parameters. Nothing here takes long to import, and what needs notebook
libraries, which take seconds, is in modules that are imported by name.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import did_you_mean
from workbench.notebooks.parameters import check_parameters, config_from, parameters_of
from workbench.paths import project_root

__all__ = ["check_parameters", "config_from", "find", "parameters_of"]

NUMBERED = re.compile(r"(\d+)_\w+\.ipynb")


def find(selection: Sequence[str] = (), folder: Path | None = None) -> list[Path]:
    """List the numbered notebooks in reading order: all, or those that `selection` names.

    A notebook is named by its number ('4', '04'), its name ('04_training', with or without .ipynb) or a path.
    Raises ValueError for a name that selects nothing, and when there are no notebooks at all.
    """
    folder = folder or project_root() / "notebooks"
    known = sorted((p for p in folder.glob("*.ipynb") if NUMBERED.fullmatch(p.name)), key=_place)
    if not known and not selection:
        raise ValueError(f"there are no numbered notebooks in {folder}: run this from a checkout of the project")
    chosen = {path for name in selection for path in _named(name, known)} if selection else set(known)
    return sorted(chosen, key=_place)


def _place(path: Path) -> tuple[int, str]:
    number = re.match(r"\d+", path.name)
    return (int(number.group()) if number else sys.maxsize, path.name)


def _named(name: str, known: list[Path]) -> list[Path]:
    """The notebooks among `known` that `name` means; else the file of that path."""
    meant = [p for p in known if name in (p.name, p.stem) or (name.isdecimal() and int(name) == _place(p)[0])]
    if not meant and name.endswith(".ipynb") and Path(name).is_file():
        meant = [Path(name)]
    if not meant:
        raise ValueError(f"no notebook is called {name!r}{did_you_mean(name, [p.stem for p in known])}")
    return meant
