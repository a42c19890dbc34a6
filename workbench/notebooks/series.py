"""A series of notebooks: executed several at a time, each in a kernel of its own, and made into pages.

What is done is read off the executed notebooks, so a series that was stopped goes on by the same call: those that ended
well and whose inputs are still the same are left as they are. A notebook whose metadata says
`"workbench": {"after": ["04_training"]}` begins when that one has ended, because it reads what that one leaves.
"""

import json
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import workbench
from workbench.config import digest
from workbench.notebooks import kernels
from workbench.notebooks.execution import Result, execute, mark, read_marks
from workbench.notebooks.parameters import distribute
from workbench.paths import project_root
from workbench.threads import cores

POLL = 0.1  # seconds between two looks
# What notebooks read besides their parameters and the package, below the project's root; {} is the preset.
READ = ("outputs/reference/*", "outputs/{}/sweeps/*/*/metrics.json", "data/models/**/*")
Job = TypeVar("Job", bound=Hashable)


@dataclass(frozen=True)
class State:
    """How a job stands: `detail` says more of a running or finished one, `error` of a failed one; seconds it took."""

    status: Literal["queued", "running", "done", "failed"]
    detail: str = ""
    seconds: float = 0.0
    share: float = 0.0  # of it that is done
    error: str = ""
    fresh: bool = True  # whether it is executed now, rather than done before


Show = Callable[[Sequence[State], int | float], None]


def run(
    paths: Sequence[Path],
    out_dir: Path,
    parameters: Mapping[str, Any] | None = None,
    show: Show = lambda states, slots: None,
    workers: int | None = None,
    again: bool = True,
) -> list[Result]:
    """Execute notebooks and write `out_dir`/NAME.ipynb, NAME.html and index.html; returns how each one went.

    Each notebook gets those of `parameters` that it declares. `workers` of them run at a time (None: as many as there
    are cores); `show` is called again and again with the states of all. With `again` False those that are done are left
    as they are. A notebook that fails is kept as far as it came, with its traceback, and the others go on: look at
    `Result.error`. If it is interrupted all kernels end, and no page is made. Raises ValueError, before anything is
    executed or written, for a parameter that no notebook declares or a value of the wrong type.
    """
    paths, out_dir = [Path(path) for path in paths], Path(out_dir)
    given = distribute(paths, parameters or {})
    out_dir.mkdir(parents=True, exist_ok=True)
    targets = {path: out_dir / path.name for path in paths}
    after = {path: _named_after(path, paths) for path in paths}
    shared = _shared((parameters or {}).get("preset", "quick"))
    inputs = {path: _inputs(path, given[path], after[path], shared) for path in paths}
    done = {} if again else {p: r for p in paths if (r := _done(p, targets[p], inputs[p]))}
    states = {p: State("done", seconds=done[p].seconds, fresh=False) if p in done else State("queued") for p in paths}
    left = [path for path in paths if path not in done]
    workers = min(workers or cores(), len(paths) or 1)  # of all, so that those that are left have no more threads each

    def one(path: Path) -> Result:
        began = time.monotonic()

        def tell(text: str, share: float) -> None:
            states[path] = State("running", text, time.monotonic() - began, share)

        tell("starting", 0.0)
        try:
            result = execute(path, targets[path], given[path], tell, **kernels.OPTIONS)
        except Exception as failure:  # of the machinery, not of the notebook: the others go on
            result = Result(path, targets[path], time.monotonic() - began, f"{path.name} failed: {failure!r}")
        if not result.error:
            mark(result.executed, inputs=inputs[path])
        return result

    show([*states.values()], workers)
    if left:
        with kernels.pool(workers, left[0]) as submit:
            for _, ended in in_turns(left, workers, lambda path: submit(one, path), after):
                for path, future in ended.items():
                    done[path] = result = future.result()
                    status = "failed" if result.error else "done"
                    states[path] = State(status, "", result.seconds, error=result.error)
                show([*states.values()], workers)
    if left or not _pages_are_there(targets.values()):
        from workbench.notebooks.pages import write_pages  # which takes a second to import: sweeps make no pages

        here = project_root() / "notebooks"
        documents = [path for path in sorted(here.glob("*.md")) if path.stem != "README"]
        write_pages(out_dir, documents, sorted(here.glob("solutions/*.ipynb")))
    return [done[path] for path in paths]


@runtime_checkable
class Pending(Protocol):
    """What becomes of a job that was handed over."""

    def done(self) -> bool:
        """Whether it has ended, well or not."""

    def result(self) -> Any:
        """What it returned; raises what it raised."""


def in_turns(
    jobs: Sequence[Job],
    slots: int | float,
    submit: Callable[[Job], Pending],
    after: Mapping[Job, Sequence[Job]] | None = None,
) -> Iterator[tuple[list[Job], dict[Job, Pending]]]:
    """Hand jobs over, so many at a time; yields again and again those that are at work, and those that have ended.

    A job begins when those have ended that `after` names for it; ValueError where they wait for each other.
    """
    waiting, pending, after = [*jobs], {}, after or {}
    while waiting or pending:
        unfinished = {*waiting, *pending}
        ready = [job for job in waiting if unfinished.isdisjoint(after.get(job, ()))]
        if not ready and not pending:
            raise ValueError(f"they wait for each other: {', '.join(map(str, waiting))}")
        for job in ready:
            if len(pending) < slots:
                waiting.remove(job)
                pending[job] = submit(job)
        ended = {job: pending.pop(job) for job in [job for job in pending if pending[job].done()]}
        yield [*pending], ended
        time.sleep(0 if ended else POLL)  # what has ended makes room at once


# What is done


def _named_after(path: Path, paths: Sequence[Path]) -> list[Path]:
    """Those of some notebooks that must end before one of them begins."""
    after = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("workbench", {}).get("after", [])
    return [other for other in paths if other.stem in after]


def _inputs(path: Path, given: Mapping[str, Any], after: Sequence[Path], shared: str) -> str:
    """Twelve hexadecimal digits of what an execution depends on: notebooks, parameters, and what all share."""
    notebooks = [file.read_text(encoding="utf-8") for file in (path, *after)]
    return digest({"given": dict(given), "notebooks": notebooks, "shared": shared})


def _shared(preset: str) -> str:
    """The same of the package, of torch, and of what is kept of runs.

    Runs of one's own count where a sweep made them; data sets that were downloaded do not.
    """
    package, root = Path(workbench.__file__).parent, project_root()
    code = sorted(file for file in package.rglob("*.*") if file.suffix in (".py", ".js", ".css", ".txt"))
    kept = sorted(file for pattern in READ for file in root.glob(pattern.format(preset)) if file.is_file())
    stamps = [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in kept]
    sources = [file.read_text(encoding="utf-8") for file in code]
    return digest({"code": sources, "kept": stamps, "torch": metadata.version("torch")})


def _done(path: Path, executed: Path, inputs: str) -> Result | None:
    """The result of an earlier execution that ended well, of the same inputs; None where there is none."""
    marks, ran = read_marks(executed)
    return Result(path, executed, ran["duration"], "") if marks.get("inputs") == inputs else None


def _pages_are_there(executed: Iterable[Path]) -> bool:
    """Whether every executed notebook has its page, which is not older, and all have their index."""
    pages = {path: path.with_suffix(".html") for path in executed}
    made = all(page.is_file() and page.stat().st_mtime_ns >= path.stat().st_mtime_ns for path, page in pages.items())
    return made and all((path.parent / "index.html").is_file() for path in pages)
