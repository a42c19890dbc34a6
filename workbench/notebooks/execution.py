"""Executing notebooks through papermill, in kernels of the interpreter that runs this code."""

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import nbformat
import papermill
from ipykernel.kernelspec import write_kernel_spec
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from workbench.notebooks.parameters import distribute
from workbench.paths import environment

KERNEL = "python3"
START_TIMEOUT = 600  # seconds that a kernel may take to start on a busy machine; papermill's own 60 are too few


class Result(NamedTuple):
    """How one notebook went: its source, the executed notebook, seconds, and one sentence if it failed (else '')."""

    source: Path
    executed: Path
    seconds: float
    error: str


def run(paths: Sequence[Path], out_dir: Path, parameters: Mapping[str, Any] | None = None) -> list[Result]:
    """Execute notebooks in the given order and write `out_dir`/NAME.ipynb, NAME.html and index.html.

    Each notebook gets those of `parameters` that it declares. A notebook that fails is kept as far as it came, with
    its traceback, and the next one starts: look at `Result.error`. Raises ValueError, before anything is executed or
    written, for a parameter that no notebook declares or a value of the wrong type.
    """
    from workbench.notebooks.pages import write_pages  # which takes a second to import, and sweeps make no pages

    paths, out_dir = [Path(path) for path in paths], Path(out_dir)
    given = distribute(paths, parameters or {})
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


def execute(path: Path, target: Path, parameters: Mapping[str, Any], progress: bool = True, **options: Any) -> Result:
    """Execute one notebook into `target`, inside `kernel_of_this_interpreter`.

    One that fails is kept as far as it came, with its traceback. `options` go to papermill and nbclient.
    """
    error, bar = "", {"desc": path.stem} if progress else False
    try:
        with _event_loop():
            papermill.execute_notebook(
                path, target, dict(parameters), kernel_name=KERNEL, language="python", progress_bar=bar,
                start_timeout=START_TIMEOUT, **options,
            )  # fmt: skip
    except PapermillExecutionError as failure:
        error = f"{path.name} failed in cell [{failure.exec_count}]: {failure.ename}: {first_line(failure.evalue)}"
    except (DeadKernelError, CellTimeoutError) as failure:
        error = f"{path.name} failed: {first_line(str(failure))}"
        _mark_failed(target, error)
    return Result(path, target, nbformat.read(target, as_version=4).metadata.papermill.duration, error)


@contextmanager
def _event_loop() -> Iterator[None]:
    """The event loop that papermill finds in this thread: Jupyter's libraries would leave it open when done."""
    loop = ensure_event_loop()
    try:
        yield
    finally:
        if not loop.is_running():  # else it is that of the notebook which called
            loop.close()


def first_line(text: str) -> str:
    """Return the first line of a message that may have many."""
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


_entry = threading.Lock()
_inside = 0
_settings = ExitStack()


@contextmanager
def kernel_of_this_interpreter() -> Iterator[None]:
    """Make `KERNEL` mean this interpreter, untouched by what the user's home folder says about Jupyter and IPython.

    It sets environment variables of the process, for all threads: the first to enter sets them, the last to leave
    puts back what was there.
    """
    global _inside
    with _entry:
        if not _inside:
            _settings.enter_context(_isolated())
        _inside += 1
    try:
        yield
    finally:
        with _entry:
            _inside -= 1
            if not _inside:
                _settings.close()


@contextmanager
def _isolated() -> Iterator[None]:
    with TemporaryDirectory(prefix="workbench-", ignore_cleanup_errors=True) as folder:
        quiet = ["--log-level=CRITICAL"]  # the kernel's own messages would cut through the progress bars
        write_kernel_spec(os.path.join(folder, "kernels", KERNEL), extra_arguments=quiet)
        search = os.pathsep.join(filter(None, [folder, os.environ.get("JUPYTER_PATH")]))
        with environment(
            JUPYTER_PATH=search,
            JUPYTER_RUNTIME_DIR=folder,
            IPYTHONDIR=os.path.join(folder, "ipython"),
            MPLBACKEND="",  # the kernel's own: figures appear in the notebook
        ):
            yield
