"""The numbered notebooks as programs: find them, execute them, keep them clean.

`run` executes notebooks through papermill, each in a kernel of the interpreter that runs this code, and turns the
executed notebooks into pages (notebook_pages.py). Their parameters are read and checked in notebook_parameters.py.
`problems` and `scrub` (notebook_rules.py) hold the committed notebooks to the rules, from a shell as well:
`python -m workbench.notebooks scrub|check FILE...`
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import nbformat
import papermill
from ipykernel.kernelspec import write_kernel_spec
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from workbench.notebook_pages import write_pages
from workbench.notebook_parameters import Parameter, check_parameters, did_you_mean, distribute, parameters_of
from workbench.notebook_rules import problems, scrub
from workbench.paths import project_root

__all__ = [
    "Parameter",
    "Result",
    "check_parameters",
    "find",
    "kernel_of_this_interpreter",
    "parameters_of",
    "problems",
    "run",
    "scrub",
]

NUMBERED = re.compile(r"(\d+)_\w+\.ipynb")
KERNEL = "python3"


class Result(NamedTuple):
    """How one notebook went: its source, the executed notebook, seconds, and one sentence if it failed (else '')."""

    source: Path
    executed: Path
    seconds: float
    error: str


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
                results.append(_execute(path, out_dir / path.name, given[path]))
        finally:  # an interrupted series has pages of what is there, too
            write_pages(out_dir)
    return results


def _execute(path: Path, target: Path, parameters: dict[str, Any]) -> Result:
    """Execute one notebook into `target`, which papermill saves after every cell."""
    error = ""
    try:
        papermill.execute_notebook(
            path, target, parameters, kernel_name=KERNEL, language="python", progress_bar={"desc": path.stem}
        )
    except PapermillExecutionError as failure:
        error = f"{path.name} failed in cell [{failure.exec_count}]: {failure.ename}: {_first_line(failure.evalue)}"
    except (DeadKernelError, CellTimeoutError) as failure:
        error = f"{path.name} failed: {_first_line(str(failure))}"
        _mark_failed(target, error)
    if error:
        print(error, file=sys.stderr)
    return Result(path, target, nbformat.read(target, as_version=4).metadata.papermill.duration, error)


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0]


def _mark_failed(target: Path, error: str) -> None:
    """Record a failure that left no traceback, such as a kernel killed for want of memory."""
    notebook = nbformat.read(target, as_version=4)
    notebook.metadata.papermill["exception"] = True
    unfinished = [c for c in notebook.cells if c.cell_type == "code" and c.metadata.papermill.duration is not None]
    if unfinished:
        unfinished[-1].outputs.append(
            nbformat.v4.new_output("error", ename="KernelDied", evalue=error, traceback=[error])
        )
    nbformat.write(notebook, target)


@contextmanager
def kernel_of_this_interpreter() -> Iterator[None]:
    """Make `KERNEL` mean this interpreter, untouched by what the user's home folder says about Jupyter and IPython.

    It sets environment variables of the process: enter it once, around all threads that execute notebooks.
    """
    with TemporaryDirectory(prefix="workbench-", ignore_cleanup_errors=True) as folder:
        quiet = ["--log-level=CRITICAL"]  # the kernel's own messages would cut through the progress bars
        write_kernel_spec(os.path.join(folder, "kernels", KERNEL), extra_arguments=quiet)
        search = os.pathsep.join(filter(None, [folder, os.environ.get("JUPYTER_PATH")]))
        ours = {
            "JUPYTER_PATH": search,
            "JUPYTER_RUNTIME_DIR": folder,
            "IPYTHONDIR": os.path.join(folder, "ipython"),
            "MPLBACKEND": "",  # the kernel's own: figures appear in the notebook
        }
        before = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


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
