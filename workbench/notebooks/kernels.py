"""Kernels that can be killed and, on Linux, start at once: forked from a process that has imported what they need.

A new interpreter takes seconds to import torch, scikit-learn and matplotlib; a fork takes none, and all kernels share
the memory of what was imported. multiprocessing's fork server does it. On systems other than Linux, whose libraries do
not survive a fork, kernels are ordinary ones.

    warm_up(Path("notebooks/04_training.ipynb"))                       the fork server begins to import
    execute(path, target, parameters, kernel_manager_class=MANAGER)    papermill, in a forked kernel

A forked kernel ends with the process that asked for it, however that one ends: it watches a pipe whose other end closes
then. An ordinary kernel looks for its parent once a second (ipykernel).
"""

import ast
import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import connection, forkserver, util
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import traitlets
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_core.paths import jupyter_runtime_dir

from workbench.notebooks.execution import folder_for_sockets, kernel_of_this_interpreter
from workbench.notebooks.parameters import code_cells, source_of, without_magics
from workbench.paths import environment
from workbench.threads import cores

FORKING = sys.platform == "linux"
INLINE = "module://matplotlib_inline.backend_inline"
LAUNCHER = "ipykernel_launcher"  # the module that an ordinary kernel's command starts; its arguments follow
# What every kernel imports sooner or later; the modules that a notebook imports by name are found in its cells.
PRELOADED = (
    "ipykernel.kernelapp",
    "torch._dynamo",  # by the first optimiser
    *(f"sklearn.{part}" for part in ("cluster", "linear_model", "pipeline", "preprocessing")),  # by the evaluation
    "workbench.runs.versions",  # kernels run the code as the fork server has read it, and so its version is read there
)

_live: list[Any] = []  # processes of the kernels that this process has started and that may still run


def kill_all() -> None:
    """Kill every kernel that this process has started and that still runs."""
    for process in tuple(_live):
        process.kill()


class TrackedKernels(AsyncKernelManager):
    """The manager of an ordinary kernel that `kill_all` knows; `child` is its process, also when it has ended."""

    child: Any = None

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        await super()._async_launch_kernel(kernel_cmd, **options)
        self.child = self.provisioner.process
        _live.append(self.child)
        for ended in [process for process in tuple(_live) if process.poll() is not None]:
            with suppress(ValueError):  # another thread was there before
                _live.remove(ended)


class ForkedKernels(TrackedKernels):
    """The manager of a kernel that is forked, and spoken to through files of its own rather than numbered ports.

    A port is chosen before the kernel takes it, so that on a busy machine somebody else may have it by then.
    """

    @traitlets.default("transport")
    def _own_files(self) -> str:
        return "ipc"

    async def _async_pre_start_kernel(self, **options: Any) -> tuple[list[str], dict[str, Any]]:
        self.connection_file = os.path.join(jupyter_runtime_dir(), f"{uuid.uuid4().hex[:8]}.json")
        self.provisioner = ForkedProvisioner(kernel_spec=self.kernel_spec, parent=self)
        return await super()._async_pre_start_kernel(**options)


MANAGER = ForkedKernels if FORKING else TrackedKernels
OPTIONS = {"kernel_manager_class": MANAGER, "shutdown_kernel": "immediate"}  # for papermill


class ForkedProvisioner(LocalProvisioner):
    """Launches a kernel by a fork instead of by its command, whose arguments it takes."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> dict[str, Any]:
        """Fork a kernel; returns its connection."""
        arguments = cmd[cmd.index(LAUNCHER) + 1 :]
        self.process = _Forked(arguments, dict(options["env"]), str(options.get("cwd") or Path.cwd()))
        self.pid = self.pgid = self.process.pid
        return self.connection_info


class _Forked:
    """A forked process as jupyter_client wants it: like `subprocess.Popen`, without pipes."""

    stdin = stdout = stderr = None

    def __init__(self, *arguments: Any) -> None:
        # not daemonic: such a process could have no children, which notebooks may
        self._process: ForkServerProcess = multiprocessing.get_context("forkserver").Process(
            target=run_kernel, args=arguments
        )
        self._process.start()
        self.pid = self._process.pid
        self._code: int | None = None
        self._turn = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs. Who learns of its end closes its pipes."""
        with self._turn:
            if self._code is None and (code := self._process.exitcode) is not None:
                self._process.close()
                self._code = code
            return self._code

    def wait(self) -> int:
        """Wait for its end; returns the exit code."""
        while (code := self.poll()) is None:
            time.sleep(0.02)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


# The process that kernels are forked from, and what a forked kernel does first


def warm_up(notebook: Path) -> None:
    """Start the process that kernels are forked from, which imports what the notebook imports; returns at once.

    There is one in a process: what a second notebook needs besides is imported in its kernels.
    """
    if FORKING:
        # __main__ first: a child imports it anyway, and here it is imported once
        forkserver.set_forkserver_preload(["__main__", __name__, *PRELOADED, *imports_of(notebook)])
        before, tempfile.tempdir = tempfile.tempdir, folder_for_sockets()
        try:
            util.get_temp_dir()  # multiprocessing makes its folder once, for the server's socket
        finally:
            tempfile.tempdir = before
        forkserver.ensure_running()


@contextmanager
def pool(workers: int, notebook: Path) -> Iterator[Callable[..., Future]]:
    """Open threads that execute notebooks, so many at a time, in kernels that share the cores of this machine.

    Yields the function to submit with. If it is left in haste all kernels are killed.
    """
    futures: list[Future] = []
    with environment(OMP_NUM_THREADS=str(threads_each(workers))), kernel_of_this_interpreter():
        warm_up(notebook)
        with ThreadPoolExecutor(workers) as threads:

            def submit(function: Callable, *arguments: Any, **options: Any) -> Future:
                futures.append(threads.submit(function, *arguments, **options))
                return futures[-1]

            try:
                yield submit
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                while not all(future.done() for future in futures):  # one may be starting its kernel just now
                    kill_all()
                    time.sleep(0.1)
                raise


def threads_each(workers: int) -> int:
    """Share this machine's cores among some workers: threads of each."""
    return max(1, cores() // workers)


def imports_of(notebook: Path) -> list[str]:
    """List the modules that a notebook may import, in order; `from a import b` gives a and a.b, module or not."""
    names: list[str] = []
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(without_magics(source_of(cell)))):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return list(dict.fromkeys(names))


def run_kernel(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Be a kernel: what a forked process does."""
    gc.freeze()  # a collection that looked at everything would copy all memory that kernels share
    os.setsid()  # Ctrl-C on the terminal is for the process that asked for this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    _settle()
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance(argv=arguments)


def _end_with_parent() -> None:
    """End when the process that asked for this one ends (its own parent is the fork server)."""
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _settle() -> None:
    """Settle what imported modules took from the environment of the fork server, or would share between kernels."""
    import torch
    from threadpoolctl import threadpool_limits
    from tqdm import tqdm

    if matplotlib := sys.modules.get("matplotlib"):
        matplotlib.rcParams["backend"] = INLINE  # ipykernel says so in an environment variable, read at the import
    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
        threadpool_limits(int(threads))  # those of numpy and scikit-learn
    tqdm.set_lock(threading.RLock())  # its own would be a semaphore for all processes, which a kill would leave behind
