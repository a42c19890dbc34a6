"""`python -m workbench.notebooks scrub|check FILE...` keeps committed notebooks clean; `copy FOLDER` makes copies.

`slides FOLDER [REVEAL]` makes slides.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from workbench.notebooks import find, slides
from workbench.notebooks.copies import make
from workbench.notebooks.rules import problems, scrub
from workbench.paths import project_root


def main(arguments: Sequence[str]) -> int:
    """`scrub FILE...` rewrites in place, 1 if anything changed; `check FILE...` prints problems, 1 if there are any.

    `copy FOLDER` makes copies of all notebooks there, to work in; `slides FOLDER [REVEAL]` slides of some.
    """
    if len(arguments) < 2 or arguments[0] not in ("scrub", "check", "copy", "slides"):
        print("usage: python -m workbench.notebooks scrub|check FILE..., copy|slides FOLDER", file=sys.stderr)
        return 2
    command, *files = arguments
    if command == "copy":
        for path in make(project_root() / "notebooks", Path(files[0])):
            print(f"Copied: {path}")
        return 0
    if command == "slides":
        for path in slides.write(find(slides.DECKS), Path(files[0]), *files[1:]):
            print(f"Written: {path}")
        return 0
    lines = []
    for path in map(Path, files):
        lines += [f"scrubbed {path}"] * scrub(path) if command == "scrub" else [f"{path}: {p}" for p in problems(path)]
    print("\n".join(lines), end="\n" if lines else "")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
