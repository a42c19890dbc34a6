"""The numbers of many finished runs as one JSON file, there and back: `write`, `read`, and `gather` for both kinds."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.config import Config
from workbench.errors import DamagedFile
from workbench.files import damage, passed_over, read_json, write_json
from workbench.runs.naming import label
from workbench.runs.run import Run, find_runs
from workbench.runs.sections import check_metrics

ADDED = ("method", "metrics", "history")  # what an entry of a collected file has beside config.json
WROTE = "give a file that `workbench report --out` wrote"
BULKY = ("confusion",)  # metrics that are pictures rather than numbers: left out of collected files


class Recorded(Run):
    """A run of which only the numbers are there: an entry of a file that `write` made. It has no weights."""

    def __init__(self, folder: Path, entry: dict[str, Any]) -> None:
        super().__init__(folder)
        object.__setattr__(self, "entry", entry)  # the class it extends is frozen

    @cached_property
    def config(self) -> Config:
        return Config.from_json(self.entry["config"])

    def read(self, name: str) -> dict[str, Any]:
        """Give config.json or metrics.json, as it was in the run's folder."""
        entry = self.entry
        return entry["metrics"] if name == "metrics.json" else {k: v for k, v in entry.items() if k not in ADDED}

    def has(self, name: str) -> bool:
        """Whether it is one of these two."""
        return name in ("config.json", "metrics.json")

    def history(self) -> dict[str, list[float]]:
        """Give about fifty rows of the history."""
        return self.entry["history"]


def write(runs: Sequence[Run], path: Path) -> None:
    """Write every number of some runs as one JSON file, each with configuration, command, commit and machine.

    Of runs of one configuration on the same files the last counts: a file grows by what has ended since.
    """
    once = {(run.config.key(), str(run.read("config.json").get("files"))): run for run in runs}
    collected: list[dict[str, Any]] = [
        {
            "method": label(run),
            **run.read("config.json"),
            "metrics": _without(run.metrics, BULKY),
            "history": _thin(run.history()),
        }
        for run in once.values()
    ]
    write_json(path, {"runs": collected}, checked=True)


def read(path: Path) -> list[Run]:
    """Read the runs in a JSON file that `write` made, for tables and claims; ValueError when `path` is none."""
    try:
        entries = read_json(path).get("runs")
    except DamagedFile as error:
        raise ValueError(f"{path} holds no runs: {WROTE} ({error.reason})") from error
    if not isinstance(entries, list):
        raise ValueError(f"{path} holds no runs: {WROTE}")
    return [*sound(Recorded(path, entry) for entry in entries)]


def sound(runs: Iterable[Run]) -> Iterator[Run]:
    """Give those of some runs that a report can read; the others are passed over, which is said."""
    for run in runs:
        with passed_over():
            with damage(run.folder):
                label(run), run.history()
            with damage(run.folder if isinstance(run, Recorded) else run.folder / "metrics.json"):
                check_metrics(run.metrics)
            yield run


def gather(paths: Sequence[Path]) -> list[Run]:
    """Find the complete runs below some folders and in files that `write` made; ValueError when there is none."""
    runs = [run for path in paths for run in (read(path) if path.is_file() else sound(find_runs(path)))]
    if not runs:
        raise ValueError(f"no complete run below {', '.join(map(str, paths))}: train one with `workbench train`")
    return runs


def _without(value: Any, names: Sequence[str]) -> Any:
    """A JSON value without the keys of these names, at any depth: snapshots are judged as whole runs are."""
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value


def _thin(history: dict[str, list[float]], rows: int = 50) -> dict[str, list[float]]:
    """About `rows` evenly spaced rows of a history, the last among them."""
    count = len(next(iter(history.values()), []))
    kept = range(count - 1, -1, -max(1, count // rows))[::-1]
    return {name: [column[i] for i in kept] for name, column in history.items()}
