"""Kernels that start at once: forked from a process that has imported what notebooks import.

A new interpreter takes seconds to import torch, scikit-learn and matplotlib; a fork takes none, and all kernels share
the memory of what was imported. multiprocessing's fork server does it. On systems other than Linux, whose libraries do
not survive a fork, kernels are ordinary ones.

    notebook_fork.warm_up(Path("notebooks/04_training.ipynb"))         the fork server begins to import
    execute(path, target, parameters, kernel_manager_class=MANAGER)    papermill, in a forked kernel

A forked kernel ends with the process that asked for it, however that one ends: it watches a pipe whose other end closes
then. An ordinary kernel looks for its parent once a second (ipykernel).
"""

import multiprocessing
import os
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from workbench.notebooks.fork import FORKING, run_kernel

LAUNCHER = "ipykernel_launcher"  # the module that an ordinary kernel's command starts; its arguments follow

_live: list[Any] = []  # processes of the kernels that this process has started


def kill_all() -> None:
    """Kill every kernel that this process has started and that still runs."""
    for process in tuple(_live):
        process.kill()


class TrackedKernels(AsyncKernelManager):
    """The manager of an ordinary kernel that `kill_all` knows."""

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        await super()._async_launch_kernel(kernel_cmd, **options)
        _live.append(self.provisioner.process)


class ForkedKernels(TrackedKernels):
    """The manager of a kernel that is forked."""

    async def _async_pre_start_kernel(self, **options: Any) -> tuple[list[str], dict[str, Any]]:
        self.provisioner = ForkedProvisioner(kernel_spec=self.kernel_spec, parent=self)
        return await super()._async_pre_start_kernel(**options)


MANAGER = ForkedKernels if FORKING else TrackedKernels


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

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self) -> int | None:
        """Wait for its end; returns the exit code."""
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal unless it has ended."""
        if self._process.is_alive():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)
