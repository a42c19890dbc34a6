"""Where to compute: devices, their precision and room."""

import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from workbench.errors import WorkbenchError

CPUINFO = Path("/proc/cpuinfo")
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}  # flags of processors that multiply in it: Intel's and AMD's, ARM's
TOO_MUCH = ("can't allocate memory", "not enough memory", "calculation overflowed")  # in torch's plain RuntimeErrors
ROOM_BYTES, MOST_ROOM = 2**30, 10  # of a GPU's memory for every chunk of items, which takes some tenth of it


def pick_device(name: str = "auto") -> torch.device:
    """The device of a configuration; auto takes CUDA, else MPS, else the CPU. ValueError when it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = name.split(":")[0]
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(kind, False):
        raise ValueError(f"device {name!r} is not available here: choose auto or cpu")
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """What networks run in: the precision of their training. A judged number moves far less by it than by its error."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def double(x: Tensor) -> Tensor:
    """A tensor in double precision: on its device, but for Apple's, which has none and hands such work to the CPU."""
    return x.cpu().double() if x.device.type == "mps" else x.double()


def room(device: torch.device | None) -> int:
    """How many times as much as on a CPU, where it should fit a cache, is worked on at a time: as memory allows."""
    if device is None or device.type != "cuda":
        return 1
    memory = torch.cuda.get_device_properties(device).total_memory
    return int(min(MOST_ROOM, max(1, memory // ROOM_BYTES)))


@contextmanager
def torch_threads(number: int) -> Iterator[int]:
    """Yield the number of threads torch had; inside, it has this number, on which the order of sums depends."""
    threads = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def one_thread_per_operation() -> AbstractContextManager[int]:
    """Yield the number of threads torch had; inside, every operation keeps to one, and so to one order of sums."""
    return torch_threads(1)


@contextmanager
def usual_torch() -> Iterator[None]:
    """Have torch as it is at first, whatever the caller has set: float32 on the CPU, gradients, no autocast.

    Networks are made and trained alike within `no_grad`, `inference_mode` or under another default type or device.
    Also a decorator.
    """
    dtype, elsewhere = torch.get_default_dtype(), torch.get_default_device().type != "cpu"
    cast = [kind for kind in ("cpu", "cuda", "mps") if torch.is_autocast_enabled(kind)]
    torch.set_default_dtype(torch.float32)
    for kind in cast:  # not by a context of autocast, whose memory of weights lives as long as the outermost
        torch.set_autocast_enabled(kind, False)
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu") if elsewhere else nullcontext():
            yield
    finally:
        torch.set_default_dtype(dtype)
        for kind in cast:
            torch.set_autocast_enabled(kind, True)


@contextmanager
def memory_told() -> Iterator[None]:
    """Say in a sentence that there is not enough memory, as a WorkbenchError. Also a decorator."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        told = isinstance(error, MemoryError | torch.OutOfMemoryError) or any(sign in reason for sign in TOO_MUCH)
        if not told:
            raise
        smaller = "batch_size, latent_dim, width, repeats or importance_samples"
        raise WorkbenchError(
            f"there is not enough memory ({reason or 'MemoryError'}): choose a smaller {smaller}"
        ) from error


def processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device has instructions for bfloat16; without them it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    flags = f"{_cpuinfo('flags')} {_cpuinfo('Features')}".split()  # on x86 and on ARM
    return device.type == "cpu" and not BFLOAT16.isdisjoint(flags)


def _cpuinfo(name: str) -> str:
    """What Linux says under a name of the first processor; empty where it says nothing."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
