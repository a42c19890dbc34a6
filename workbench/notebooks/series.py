"""A series of notebooks: executed several at a time, each in a kernel of its own, and made into pages.

What is done is read off the executed notebooks, so a series that was stopped goes on by the same call: those that ended
well and whose inputs are still the same are left as they are. A notebook whose metadata says
`"workbench": {"after": ["04_training"]}` begins when that one has ended, because it reads what that one leaves.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import workbench
from workbench.notebooks import kernels
from workbench.notebooks.execution import Result, execute, mark, read_marks
from workbench.notebooks.parameters import distribute
from workbench.paths import project_root
from workbench.threads import cores

POLL = 0.1  # seconds between two looks
# What notebooks read besides their parameters and the package, below the project's root.
READ = ("outputs/reference", "data/models")


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
    `Result.error`. Raises ValueError, before anything is executed or written, for a parameter that no notebook declares
    or a value of the wrong type.
    """
    paths, out_dir = [Path(path) for path in paths], Path(out_dir)
    given = distribute(paths, parameters or {})
    out_dir.mkdir(parents=True, exist_ok=True)
    targets = {path: out_dir / path.name for path in paths}
    inputs = {path: _inputs(path, given[path]) for path in paths}
    done = {} if again else {p: r for p in paths if (r := _done(p, targets[p], inputs[p]))}
    left = [path for path in paths if path not in done]
    states = {p: State("done", seconds=done[p].seconds, fresh=False) if p in done else State("queued") for p in paths}
    workers = min(workers or cores(), len(left))

    def one(path: Path, tell: Callable[[str, float], None]) -> Result:
        result = execute(path, targets[path], given[path], tell, **kernels.OPTIONS)
        if not result.error:
            mark(result.executed, inputs=inputs[path])
        return result

    show([*states.values()], workers)
    if left:
        with kernels.pool(workers, left[0]) as submit:
            done |= _complete(left, states, workers, lambda *arguments: submit(one, *arguments), show)
    if left or not all(page.is_file() for page in (target.with_suffix(".html") for target in targets.values())):
        from workbench.notebooks.pages import write_pages  # which takes a second to import: sweeps make no pages

        write_pages(out_dir)
    return [done[path] for path in paths]


def _complete(
    left: Sequence[Path],
    states: dict[Path, State],
    workers: int,
    submit: Callable[..., Future],
    show: Show,
) -> dict[Path, Result]:
    """Execute notebooks, as many at a time as there are workers, and keep their states up to date."""
    waiting, pending, done = [*left], {}, {}
    while waiting or pending:
        for path in [p for p in waiting if not _first(p, [*waiting, *pending])][: workers - len(pending)]:
            waiting.remove(path)
            began = time.monotonic()

            def tell(text: str, share: float, path: Path = path, began: float = began) -> None:
                states[path] = State("running", text, time.monotonic() - began, share)

            tell("starting", 0.0)
            pending[path] = submit(path, tell)
        for path in [path for path in pending if pending[path].done()]:
            done[path] = result = pending.pop(path).result()
            states[path] = State("failed" if result.error else "done", "", result.seconds, error=result.error)
        show([*states.values()], workers)
        time.sleep(POLL)
    return done


def _first(path: Path, unfinished: Sequence[Path]) -> bool:
    """Whether one of the unfinished notebooks must end before this one begins."""
    after = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("workbench", {}).get("after", [])
    return any(other.stem in after for other in unfinished if other != path)


# What is done


def _inputs(path: Path, given: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits of all that an execution depends on: notebook, parameters, package, what it reads."""
    digest = hashlib.sha256(path.read_bytes() + repr(sorted(given.items())).encode())
    package = Path(workbench.__file__).parent
    for file in sorted(path for ending in ("py", "js") for path in package.rglob(f"*.{ending}")):
        digest.update(file.relative_to(package).as_posix().encode() + file.read_bytes())
    for file in sorted(p for place in READ for p in (project_root() / place).rglob("*") if p.is_file()):
        digest.update(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}".encode())
    digest.update(metadata.version("torch").encode())
    return digest.hexdigest()[:12]


def _done(path: Path, executed: Path, inputs: str) -> Result | None:
    """The result of an earlier execution that ended well, of the same inputs; None where there is none."""
    marks, ran = read_marks(executed)
    return Result(path, executed, ran["duration"], "") if marks.get("inputs") == inputs else None
