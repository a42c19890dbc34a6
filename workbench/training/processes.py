"""Several processes at one training, started by torchrun: which one this is, what they say to each other, who writes.

    torchrun --nproc-per-node 4 -m workbench train --preset paper -p data=celeba

Each process takes its share of every batch, and gradients are averaged (DistributedDataParallel). Only the main one,
which is the first, touches the run folder; the others learn from it what they need. Without torchrun there is one
process, the main one, `SINGLE`, which has nothing to ask here.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from workbench.device import torch_threads
from workbench.errors import Refused
from workbench.losses import Loss
from workbench.threads import cores

T = TypeVar("T")
FROM_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
A_WEEK = timedelta(days=7)  # how long a word of the main process is waited for: it may wait for a lock, or evaluate


@dataclass(frozen=True)
class Processes:
    """The processes of a training, as one of them sees them; by default it is the only one."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that reads, writes and shows."""
        return self.rank == 0

    @property
    def program(self) -> list[str]:
        """What to type before the arguments of `workbench` to start as many processes."""
        if self.size == 1:
            return ["workbench"]
        each = int(os.environ["LOCAL_WORLD_SIZE"])
        return ["torchrun", f"--nnodes={self.size // each}", f"--nproc-per-node={each}", "-m", "workbench"]

    def on_main(self, make: Callable[[], T]) -> T:
        """Return in all processes what `make` returns in the main one, which alone calls it; what it raises, all raise.

        The others wait, so `make` has the threads of all on its machine.
        """
        if self.size == 1:
            return make()
        answer: list[Any] = [None, None]
        if self.is_main:
            try:
                with threads_of_all():
                    answer[0] = make()
            except Exception as error:
                answer[1] = error
        dist.broadcast_object_list(answer, src=0)
        if answer[1] is not None:
            raise answer[1]
        return answer[0]

    @contextmanager
    def main_only(self, context: AbstractContextManager[T]) -> Iterator[T]:
        """Enter a context in the main process alone; all processes get what it yields, or raises at its beginning."""
        with ExitStack() as stack:
            yield self.on_main(lambda: stack.enter_context(context))

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over all processes of a tensor on the CPU; where one has NaN, all get it."""
        dist.all_reduce(values)
        return values / self.size

    def gathered(self, value: Tensor) -> Tensor:
        """Tensors of one shape on the CPU, stacked in the order of the processes `[size, ...]`."""
        parts = [torch.empty_like(value) for _ in range(self.size)]
        dist.all_gather(parts, value)
        return torch.stack(parts)

    def place(self, device: torch.device, model: nn.Module, batch_size: int) -> torch.device:
        """Return the device of this process, a GPU of its own or the CPU, for its share of every batch.

        Raises ValueError where there is none, and on a batch or a model of which processes cannot have shares.
        """
        if self.size == 1:
            return device
        if batch_size % self.size:
            raise ValueError(
                f"batch_size {batch_size} cannot be divided equally among {self.size} processes: choose a multiple of "
                f"{self.size}, such as {-(-batch_size // self.size) * self.size}, or another number of processes"
            )
        if device.type == "cpu":
            if any(isinstance(layer, _BatchNorm) for layer in model.modules()):
                raise ValueError(
                    f"batch normalisation cannot take its statistics over the shares of {self.size} processes on CPUs: "
                    "train in one process, or on GPUs"
                )
            return device
        if device.type != "cuda" or device.index is not None:
            raise ValueError(f"device {device} is one for all {self.size} processes: choose cuda, a GPU each, or cpu")
        local, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= count:
            raise ValueError(
                f"there are {os.environ['LOCAL_WORLD_SIZE']} processes for {count} GPUs of this machine: start "
                f"torchrun with --nproc-per-node {count}, or train on the CPU by -p device=cpu"
            )
        torch.cuda.set_device(local)
        return torch.device("cuda", local)

    def averaging(self, model: nn.Module) -> Callable[..., Loss]:
        """Return how to evaluate objectives: called as `(objective, *rest)` it returns `objective(model, *rest)`.

        backward() of this loss averages the gradients over the processes. On GPUs batch normalisation takes its
        statistics over all shares: the model's layers are exchanged in place, its weights stay the same.
        """
        on_gpu = next(model.parameters()).is_cuda
        group = dist.new_group(backend="nccl" if on_gpu and dist.is_nccl_available() else "gloo")
        # a graph that stays as it is: weights that an objective leaves out are found in the first step, and then known
        averaged = DistributedDataParallel(
            _Evaluated(nn.SyncBatchNorm.convert_sync_batchnorm(model, group) if on_gpu else model),
            process_group=group,
            gradient_as_bucket_view=True,
            static_graph=True,
        )
        return lambda objective, *rest: Loss(*averaged(objective, *rest))


SINGLE = Processes()


def threads_of_all() -> AbstractContextManager[int]:
    """Let this process use the threads of all that torchrun started on its machine."""
    own = torch.get_num_threads()
    return torch_threads(max(own, min(cores(), own * int(os.environ["LOCAL_WORLD_SIZE"]))))


class _Evaluated(nn.Module):
    """An objective as the forward pass of a module, which is what DistributedDataParallel averages gradients of."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, objective: Callable[..., Loss], *rest: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Total and terms of the objective, in containers that DistributedDataParallel looks into."""
        loss = objective(self.model, *rest)
        return loss.total, loss.terms


@contextmanager
def joined() -> Iterator[Processes]:
    """Be one of the processes that torchrun started, from the first such block to the end of it; else be alone.

    ConnectionError when one of them ends before its time.
    """
    if dist.is_available() and dist.is_initialized():  # by a block around this one
        yield Processes(dist.get_rank(), dist.get_world_size())
        return
    if any(name not in os.environ for name in FROM_TORCHRUN) or int(os.environ["WORLD_SIZE"]) == 1:
        yield SINGLE
        return
    # words go through the CPU whatever the device, and may be waited for long; gradients have a group of their own
    dist.init_process_group("gloo", timeout=A_WEEK)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    except RuntimeError as error:
        # gloo's own errors are plain RuntimeErrors
        if not (isinstance(error, dist.DistError) or (type(error) is RuntimeError and "gloo" in str(error))):
            raise
        raise ConnectionError(
            "the processes of this training cannot reach each other, perhaps because one has ended: see what it said "
            f"({str(error).splitlines()[0]})"
        ) from error
    # not after an error: the others may be in the middle of something, and the end of the process ends the group
    dist.destroy_process_group()


class Generators:
    """The random numbers of one process of a training: the order of an epoch and the noise of a step, to resume from.

    The order is drawn alike in all processes, noise in each for itself, from the run's seed and the number of the
    process. A single process draws both in turn from one generator. Dropout is noise, too (`step.as_default`).
    """

    def __init__(self, seed: int, device: torch.device, processes: Processes) -> None:
        self.processes = processes
        self.order = self.noise = torch.Generator(device).manual_seed(seed)
        if processes.size > 1:
            self.noise = torch.Generator(device).manual_seed(own_seed(seed, processes.rank))

    def states(self) -> dict[str, Tensor]:
        """All their states by name, for a checkpoint; with several processes those of all, which must all ask."""
        own = self.noise.get_state()
        if self.processes.size == 1:
            return {"generator": own}
        return {"generator": self.processes.gathered(own), "order": self.order.get_state()}

    def restore(self, states: dict[str, Tensor]) -> None:
        """Go to where a checkpoint's states stand; Refused when another number of processes wrote it."""
        noise = states["generator"]
        several = noise.dim() == 2
        wrote = len(noise) if several else 1
        if wrote != (now := self.processes.size):
            raise Refused(
                f"a training cannot go on with another number of processes ({wrote} before, {now} now), "
                "which would draw other noise: resume it with as many, or remove its run folder to start anew"
            )
        if several:
            self.order.set_state(states["order"])
            noise = noise[self.processes.rank].clone()  # a generator misreads a view that begins elsewhere: torch 2.13
        self.noise.set_state(noise)


def own_seed(seed: int, rank: int) -> int:
    """Seed of the noise of one of several processes, unrelated to the others' and to `seed`."""
    return int(np.random.SeedSequence([seed % 2**64, rank]).generate_state(1, np.uint64)[0])
