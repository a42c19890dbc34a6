"""`python -m workbench.notebooks scrub|check FILE...`: keep committed notebooks clean, in a shell."""

import sys
from collections.abc import Sequence
from pathlib import Path

from workbench.notebooks.rules import problems, scrub


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
