"""How threads wait for each other: awake while the cores are free, asleep while other programs want them.

torch computes an operation by several threads; until the next one they wait. GNU's OpenMP, which torch brings on Linux,
lets them look for it for some milliseconds. Alone on a machine that makes small steps up to twice as fast. Beside other
work it makes them 8 to 40 times as slow: a thread that only looks holds the core that another of its team needs.
OMP_WAIT_POLICY=PASSIVE lets them sleep, but is read once, when the library is loaded, and machines change.

So every process that imports this package watches itself. Linux tells how long a thread has waited for a core. While
that is more than a fifth of the time in which the main thread wanted one, a further team of threads is kept, asleep:
where more threads than cores are managed, the library looks for a moment only (see GOMP_SPINCOUNT in its manual). The
number of threads that compute stays, and with it every bit of a result. What a user has set is left alone.
"""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

PERIOD = 0.5  # seconds between two looks
LITTLE = 5 * 10**7  # nanoseconds in which a thread wants a core, of a period: fewer say nothing of the machine
# Shares of waiting: above the first there is a further team at once, below the second for a while there is none.
CROWDED, FREE = 0.2, 0.08
SET_BY_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
TASKS = Path("/proc/self/task")


def policy() -> str:
    """How threads of this process wait for each other: adaptive, what the user has set, or as the library has it."""
    chosen = [f"{name}={os.environ[name]}" for name in SET_BY_USER if name in os.environ]
    return " ".join(chosen) or ("adaptive" if _watcher else "default")


def crowded() -> bool:
    """Return whether other programs want the cores of this process, by the last look; False where nobody looks."""
    return _watcher is not None and _watcher.crowded


def starving() -> bool:
    """Return whether threads of this process have waited for a core more than half of the last half minute, about."""
    return _watcher is not None and _watcher.waited > 0.5


def cores() -> int:
    """Return how many cores this process may use, by its affinity and by the quota of its container."""
    from joblib import cpu_count

    return cpu_count()


def share_waited(before: tuple[int, int], after: tuple[int, int]) -> float | None:
    """Return the share of the time in which a thread wanted a core that it waited for one, between two looks.

    A look is nanoseconds on a core and nanoseconds of waiting. None where it hardly wanted one, which says nothing.
    """
    computed, waited = after[0] - before[0], after[1] - before[1]
    return waited / (computed + waited) if computed + waited > LITTLE else None


def _times(schedstat: int) -> tuple[int, int]:
    """What Linux tells of a thread, by an open file: one call, because each may have to wait for Python's lock."""
    computed, waited, _ = os.pread(schedstat, 100, 0).split()
    return int(computed), int(waited)


class Watcher:
    """A thread that looks at the main one again and again, and lets all of them sleep as long as they should."""

    def start(self) -> None:
        """Begin to look."""
        self.crowded, self._over = False, threading.Event()
        self.waited = 0.0  # the share of the time, with a memory of fifty looks
        self._cores = len(os.sched_getaffinity(0))  # as many as the libraries count when they are loaded
        self._thread = _begin("workbench-watcher", self._look, self._over)

    def stop(self) -> None:
        """End it, and the further team with it."""
        self._over.set()
        self._thread.join()

    def _look(self, over: threading.Event) -> None:
        # the main thread has the process's number
        schedstat = os.open(TASKS / str(os.getpid()) / "schedstat", os.O_RDONLY)
        before, lately = _times(schedstat), 0.0
        with open(schedstat, "rb", buffering=0), ExitStack() as team:
            while not over.wait(PERIOD):
                now = _times(schedstat)
                waited, before = share_waited(before, now), now
                if waited is None:
                    continue
                self.waited += (waited - self.waited) / 50
                lately += (waited - lately) / 4  # a lucky moment does not make a machine free
                if waited > CROWDED and not self.crowded:
                    lately = waited
                    team.enter_context(further_team(self._cores))
                    self.crowded = True
                elif lately < FREE and self.crowded:
                    team.close()
                    self.crowded = False
        self.crowded = False


@contextmanager
def further_team(cores: int) -> Iterator[None]:
    """Have a team of more threads than cores inside."""
    end_one_thread()
    enough = threading.Event()
    keeper = _begin("workbench-team", keep_team, enough, cores)
    try:
        yield
    finally:
        enough.set()
        keeper.join()


def _begin(name: str, function: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=arguments, name=name, daemon=True)
    thread.start()
    return thread


def end_one_thread() -> None:
    """Have a thread end by `pthread_exit`, as those of a team do some time after their team.

    The first that does makes the C library open libgcc_s. A process forked at that moment would find it half open, and
    importing most modules of C++ would fail there: "undefined symbol: _Unwind_Resume".
    """
    library, thread = ctypes.CDLL(None), ctypes.c_ulong()
    if library.pthread_create(ctypes.byref(thread), None, library.pthread_exit, None) == 0:
        library.pthread_join(thread, None)


def keep_team(enough: threading.Event, cores: int) -> None:
    """Have a team of more threads than cores in every OpenMP library of GNU, until it is enough."""
    teams: set[str] = set()
    while not enough.is_set():
        mapped = Path("/proc/self/maps").read_text().splitlines()
        libraries = {line.split(maxsplit=5)[5] for line in mapped if "libgomp" in line}
        for path in {path for path in libraries if Path(path).is_file()} - teams:  # one may be loaded meanwhile
            library = ctypes.CDLL(path)
            # each calls a function of the library's own that has no effect, then sleeps as long as this thread lives
            library.GOMP_parallel(library.omp_get_num_threads, None, cores + 1, 0)
            teams.add(path)
        enough.wait(3)


def watch() -> None:
    """Begin to watch this process and those that are forked from it, unless the user has set how threads wait."""
    global _watcher
    if _watcher is None and (TASKS / str(os.getpid()) / "schedstat").is_file() and policy() == "default":
        _watcher = Watcher()
        _watcher.start()
        # a process is forked while it has no such threads, and the new one has its own
        os.register_at_fork(before=_watcher.stop, after_in_parent=_watcher.start, after_in_child=_watcher.start)


_watcher: Watcher | None = None
