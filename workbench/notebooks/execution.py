"""Executing notebooks through papermill, in kernels of the interpreter that runs this code."""

import json
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import nbformat
import papermill
from ipykernel.kernelspec import write_kernel_spec
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import CellTimeoutError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from workbench.files import write_json
from workbench.paths import environment

KERNEL = "python3"
ENGINE = "workbench"  # papermill's name for how notebooks are executed here
BAR = "FloatProgressModel"  # the widget that tqdm draws a bar with
START_TIMEOUT = 600  # seconds that a kernel may take to start on a busy machine; papermill's own 60 are too few
LONGEST = 70  # bytes of a folder below which temporary folders have sockets: Linux allows their paths 107


class Result(NamedTuple):
    """How one notebook went: its source, the executed notebook, seconds, and one sentence if it failed (else '')."""

    source: Path
    executed: Path
    seconds: float
    error: str


Tell = Callable[[str, float], None]


def execute(
    path: Path, target: Path, parameters: Mapping[str, Any], tell: Tell | None = None, **options: Any
) -> Result:
    """Execute one notebook into `target`, inside `kernel_of_this_interpreter`.

    One that fails is kept as far as it came, with its traceback, also where its kernel died. `tell` is called with what
    is being done, such as the state of a progress bar, and the share of the cells that are done. `options` go to
    papermill and nbclient.
    """
    error = ""
    try:
        with _event_loop():
            papermill.execute_notebook(
                path, target, dict(parameters), kernel_name=KERNEL, language="python", progress_bar=False,
                engine_name=ENGINE, start_timeout=START_TIMEOUT, tell=tell, keep=str(target), **options,
            )  # fmt: skip
    except PapermillExecutionError as failure:
        error = f"{path.name} failed in cell [{failure.exec_count}]: {failure.ename}: {first_line(failure.evalue)}"
    except (RuntimeError, CellTimeoutError) as failure:  # DeadKernelError among them
        error = f"{path.name} failed: {'; '.join([first_line(str(failure)), *getattr(failure, '__notes__', ())])}"
        _mark_failed(target, error)
    return Result(path, target, read_marks(target)[1].get("duration") or 0.0, error)


class _Client(PapermillNotebookClient):
    """papermill's client of a kernel, which also tells how far the notebook and its progress bars are."""

    def __init__(self, *arguments: Any, tell: Tell, **options: Any) -> None:
        super().__init__(*arguments, on_cell_execute=self._begin, **options)
        self.manager: Any = None
        self._tell, self._cells = tell, [i for i, cell in enumerate(self.nb.cells) if cell.cell_type == "code"]

    def create_kernel_manager(self) -> Any:
        """Make the kernel's manager, and keep it: when the kernel has ended, so has what the client knows of it."""
        self.manager = super().create_kernel_manager()
        return self.manager

    def _begin(self, cell: nbformat.NotebookNode, cell_index: int) -> None:
        self._say(cell_index)

    def _say(self, cell_index: int, more: str = "") -> None:
        before = sum(i < cell_index for i in self._cells)
        self._tell(f"cell {before + 1} of {len(self._cells)}{more}", before / len(self._cells))

    def handle_comm_msg(self, outs: list[nbformat.NotebookNode], msg: dict[str, Any], cell_index: int) -> None:
        """Take a message of a widget; one of tqdm's is a box of what it counts, the bar, and how far that is."""
        super().handle_comm_msg(outs, msg, cell_index)
        changed = f"IPY_MODEL_{msg['content']['comm_id']}"
        for state in self.widget_state.values():
            parts = [self.widget_state.get(child.removeprefix("IPY_MODEL_"), {}) for child in state.get("children", ())]
            if changed in state.get("children", ()) and BAR in [part.get("_model_name") for part in parts]:
                text = " ".join(part["value"] for part in parts if isinstance(part.get("value"), str))
                self._say(cell_index, ", " + " ".join(unescape(re.sub("<[^>]*>", "", text)).split()))


class _Engine(NBClientEngine):
    """papermill's engine with this client, which keeps what was executed however that ends."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        """Execute the notebook; where that fails it is saved as `keep`, and the error notes how the kernel ended."""
        wait, tell = options["start_timeout"], options["tell"] or (lambda text, share: None)
        known = {name: value for name, value in options.items() if name in _Client.class_trait_names()}
        client = _Client(nb_man, kernel_name=kernel_name, startup_timeout=wait, tell=tell, **known)
        try:
            return client.execute()
        except BaseException as error:
            nb_man.output_path = options["keep"]  # papermill saves it there when it leaves
            if end := _end_of(getattr(client.manager, "child", None)):
                error.add_note(end)
            raise


papermill_engines.register(ENGINE, _Engine)


def mark(executed: Path, **marks: Any) -> None:
    """Keep something in the metadata of an executed notebook."""
    notebook = json.loads(executed.read_text(encoding="utf-8"))
    notebook["metadata"].setdefault("workbench", {}).update(marks)
    write_json(executed, notebook)


def read_marks(executed: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what `mark` kept with an executed notebook, and what papermill did; empty if it is not whole."""
    try:
        kept = json.loads(executed.read_text(encoding="utf-8"))["metadata"]
    except (FileNotFoundError, ValueError):  # a kill in the middle of papermill's writing leaves half of one
        return {}, {}
    return kept.get("workbench", {}), kept.get("papermill", {})


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


def _end_of(process: Any) -> str:
    """How a kernel's process ended, in words; "" where it runs, or is not known."""
    code = process.poll() if process else None
    if code is None:
        return ""
    if code >= 0:
        return f"exit status {code}"
    killed = "killed by SIGKILL, as the system does where memory is short"
    return killed if -code == signal.SIGKILL else f"killed by {signal.Signals(-code).name}"


def _mark_failed(target: Path, error: str) -> None:
    """Record a failure that left no traceback, such as a kernel killed for want of memory."""
    notebook = nbformat.read(target, as_version=4)
    notebook.metadata.papermill["exception"] = True
    started = [c for c in notebook.cells if c.cell_type == "code" and c.metadata.papermill.duration is not None]
    if started:
        started[-1].metadata.papermill.update(status="failed", exception=True)
        started[-1].outputs.append(nbformat.v4.new_output("error", ename="KernelDied", evalue=error, traceback=[error]))
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


def folder_for_sockets() -> str:
    """Return the folder for temporary folders with sockets: TMPDIR, or another one where its path is too long for them.

    Raises ValueError where there is none.
    """
    usual = tempfile.gettempdir()
    for folder in (usual, "/tmp", "/var/tmp", "/dev/shm"):
        fits = len(os.fsencode(folder)) <= LONGEST or sys.platform != "linux"
        if fits and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise ValueError(f"the path of the temporary folder {usual} is too long for sockets: set TMPDIR to a shorter one")


@contextmanager
def _isolated() -> Iterator[None]:
    options = {"prefix": "workbench-", "dir": folder_for_sockets(), "ignore_cleanup_errors": True}
    with TemporaryDirectory(**options) as folder:
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
