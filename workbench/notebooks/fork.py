"""The process that kernels are forked from (notebook_kernels.py): what it imports, and what a forked kernel does first.

multiprocessing's fork server is that process. This module is imported in it, and imports nothing heavy itself.
"""

import ast
import gc
import json
import multiprocessing
import os
import re
import sys
import threading
from multiprocessing import connection, forkserver
from pathlib import Path

FORKING = sys.platform == "linux"
INLINE = "module://matplotlib_inline.backend_inline"


def warm_up(notebook: Path) -> None:
    """Start the process that kernels are forked from, which imports what the notebook imports; returns at once.

    There is one in a process: what a second notebook needs besides is imported in its kernels.
    """
    if FORKING:
        # __main__ first: a child imports it anyway, and here it is imported once
        forkserver.set_forkserver_preload(["__main__", __name__, "workbench.notebooks.preload", *imports_of(notebook)])
        forkserver.ensure_running()


def imports_of(notebook: Path) -> list[str]:
    """Modules that a notebook's cells may import, in order; `from a import b` gives a and a.b, module or not."""
    names: list[str] = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:  # read by nbformat, it would take a second
        if cell["cell_type"] == "code":
            for node in ast.walk(ast.parse(without_magics("".join(cell["source"])))):
                if isinstance(node, ast.Import):
                    names += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return list(dict.fromkeys(names))


def without_magics(source: str) -> str:
    """The source with lines of IPython's own syntax (%magic, !command, help?) emptied."""
    own = re.compile(r"\s*[%!]|.*\?\s*$")
    return "\n".join("" if own.match(line) else line for line in source.splitlines())


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
