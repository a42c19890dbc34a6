"""The numbered notebooks as programs: find them, execute them, keep them clean.

`run` executes notebooks (notebook_execution.py) and turns them into pages (notebook_pages.py). Their parameters are
read and checked in notebook_parameters.py.
`problems` and `scrub` (notebook_rules.py) hold the committed notebooks to the rules, from a shell as well:
`python -m workbench.notebooks scrub|check FILE...`
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.notebooks.execution import Result, execute, kernel_of_this_interpreter
from workbench.notebooks.pages import write_pages
from workbench.notebooks.parameters import Parameter, check_parameters, did_you_mean, distribute, parameters_of
from workbench.notebooks.rules import problems, scrub
from workbench.paths import project_root

__all__ = [
    "Parameter",
    "Result",
    "check_parameters",
    "find",
    "parameters_of",
    "problems",
    "run",
    "scrub",
]

NUMBERED = re.compile(r"(\d+)_\w+\.ipynb")


def find(selection: Sequence[str] = (), folder: Path | None = None) -> list[Path]:
    """The numbered notebooks in reading order: all, or those that `selection` names.

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
    found = [p for p in known if name in (p.name, p.stem) or (name.isdecimal() and int(name) == _place(p)[0])]
    if not found and name.endswith(".ipynb") and Path(name).is_file():
        found = [Path(name)]
    if not found:
        raise ValueError(f"no notebook is called {name!r}{did_you_mean(name, [p.stem for p in known])}")
    return found


def run(paths: Sequence[Path], out_dir: Path, parameters: Mapping[str, Any] | None = None) -> list[Result]:
    """Execute notebooks in the given order and write `out_dir`/NAME.ipynb, NAME.html and index.html.

    Each notebook gets those of `parameters` that it declares. A notebook that fails is kept as far as it came, with
    its traceback, and the next one starts: look at `Result.error`. Raises ValueError, before anything is executed or
    written, for a parameter that no notebook declares or a value of the wrong type.
    """
    paths = [Path(path) for path in paths]
    given = distribute(paths, parameters or {})
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    results = []
    with kernel_of_this_interpreter():
        try:
            for path in paths:
                results.append(execute(path, out_dir / path.name, given[path]))
                if results[-1].error:
                    print(results[-1].error, file=sys.stderr)
        finally:  # an interrupted series has pages of what is there, too
            write_pages(out_dir)
    return results


def main(arguments: Sequence[str]) -> int:
    """`scrub FILE...` rewrites in place, 1 if anything changed; `check FILE...` prints problems, 1 if there are any."""
    if len(arguments) < 2 or arguments[0] not in ("scrub", "check"):
        print("usage: python -m workbench.notebooks scrub|check FILE...", file=sys.stderr)
        return 2
    command, *files = arguments
    lines = []
    for path in map(Path, files):
        lines += [f"scrubbed {path}"] * scrub(path) if command == "scrub" else [f"{path}: {p}" for p in problems(path)]
    print("\n".join(lines), end="\n" if lines else "")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
