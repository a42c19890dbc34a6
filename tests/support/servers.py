"""Servers of notebooks for tests: a real JupyterLab and a real Voila, which only this machine reaches.

They know nothing of the user's own Jupyter: settings, connection files and workspaces are in a folder that goes with
them.
"""

import contextlib
import json
import os
import re
import secrets
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60  # how long a server, a cell or a redrawing may take before it counts as stuck
LAB_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    # cells outside the window would otherwise not be in the page, and no locator would find them
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}


class Server(NamedTuple):
    """Where a server answers (without a final slash), the file of its log, and what Lab asks every visitor for."""

    url: str
    log: Path
    token: str = ""


@contextlib.contextmanager
def lab(root: Path) -> Iterator[Server]:
    """A JupyterLab on the folder `root`; RuntimeError with its log when it does not start."""
    options = [
        *("--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0", "--no-browser", "--allow-root"),
        "--ServerApp.terminals_enabled=False",
        "--expose-app-in-browser",  # as window.jupyterapp, through which `run_all` runs the cells
        f"--ServerApp.root_dir={root}",
    ]
    with _server("jupyterlab", "--ServerApp.port", options) as server:
        yield server


@contextlib.contextmanager
def voila(notebook: Path) -> Iterator[Server]:
    """A Voila that shows `notebook` as `make app` does; RuntimeError with its log when it does not start."""
    patient = re.search(r"^PATIENT := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    options = ["--Voila.ip=127.0.0.1", "--port_retries=0", "--no-browser", *shlex.split(patient), str(notebook)]
    with _server("voila", "--port", options) as server:
        yield server


@contextlib.contextmanager
def _server(module: str, port_option: str, options: list[str]) -> Iterator[Server]:
    port = _free_port()
    command = [sys.executable, "-m", module, f"{port_option}={port}", *options]
    with tempfile.TemporaryDirectory(prefix=f"{module}-") as home, open(Path(home, "log"), "w+b") as log:
        server = Server(f"http://127.0.0.1:{port}", Path(log.name), token=secrets.token_hex())
        environment = {**_environment(Path(home)), "JUPYTER_TOKEN": server.token}
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for_answer(process, server)
            yield server
        finally:
            _stop(process)


def _environment(home: Path) -> dict[str, str]:
    """The environment of a server whose settings, connection files and workspaces are in `home` alone."""
    settings = home / "config" / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(LAB_SETTINGS))
    folders = ("JUPYTER_CONFIG", "JUPYTER_DATA", "JUPYTER_RUNTIME", "JUPYTERLAB_SETTINGS", "JUPYTERLAB_WORKSPACES")
    own = {f"{name}_DIR": str(home / name.partition("_")[2].lower()) for name in folders}
    own |= {"IPYTHONDIR": str(home / "ipython"), "JUPYTER_PREFER_ENV_PATH": "1", "MPLBACKEND": ""}
    return os.environ | own


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for_answer(process: subprocess.Popen, server: Server) -> None:
    """Wait until the server answers anything; raises RuntimeError with its log when it ends or stays silent."""
    opener, deadline = urllib.request.build_opener(urllib.request.ProxyHandler({})), time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return opener.open(f"{server.url}/api/status", timeout=5).close()
        except urllib.error.HTTPError as answer:  # Voila has no such page, but to say so is an answer, too
            return answer.close()
        except OSError:
            time.sleep(0.2)
    state = "is silent" if process.returncode is None else f"ended with status {process.returncode}"
    raise RuntimeError(f"The server {state}: {' '.join(process.args)}\n{server.log.read_text(errors='replace')}")


def _stop(process: subprocess.Popen) -> None:
    """End a server with its kernels, which are in process groups of their own."""
    family = []
    with contextlib.suppress(psutil.NoSuchProcess):  # it has died by itself; its kernels notice that
        family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    _, alive = psutil.wait_procs(family, timeout=2)
    for survivor in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    process.kill()
    process.wait()
