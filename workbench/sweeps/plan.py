"""Sweeps as TOML files: which runs of the training notebook they ask for, checked before anything starts.

    title = "Does beta matter?"    one line

    [fixed]                        parameters of notebooks/04_training.ipynb that all runs share
    objective = "mmjsd"

    [grid]                         lists of values: every combination is a run; seeds are a list like any other
    beta = [1.0, 5.0, 20.0]
    seed = [0, 1]

    [quick.fixed]                  what `--preset quick` changes of the above; likewise [quick.grid], and the same for
    steps = 500                    the presets reduced and paper

    [[runs]]                       optional: several grids in one file. Each block has a name, which is its folder's,
    name = "content first"         and [runs.fixed], [runs.grid], [runs.quick.fixed], ... over those of the file
    fixed = { content_first = 0.75 }

What stands in a block wins over what stands outside, in a preset's section over what stands beside it, and on the
command line (`-p NAME=VALUE`, a list for a grid) over everything. A name that is fixed in one place and a list in
another is what the winner says.
"""

import itertools
import json
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import evaluation, objectives
from workbench.config import PRESETS, Config, field_names
from workbench.data.sources import parse_name
from workbench.errors import did_you_mean
from workbench.notebooks.parameters import misfits, parameters_of
from workbench.paths import outputs_dir, training_notebook
from workbench.runs import run

OURS = {"preset": "--preset", "run_folder": "--out"}  # parameters of the notebook that a sweep sets, and its options
LEVEL = ("fixed", "grid")
Values = dict[str, tuple[Any, ...]]  # of each parameter: one value, or those of a grid


@dataclass(frozen=True)
class Job:
    """One run of a sweep: what sets it apart, the notebook and its parameters, and what they come to."""

    label: str
    notebook: Path
    parameters: Mapping[str, Any]
    config: Config
    folder: Path

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the evaluation that are asked for."""
        return tuple(self.parameters.get("parts") or evaluation.parts_by_default(self.config.data))

    @property
    def limit(self) -> int:
        """Test items that it is asked for on."""
        return self.parameters.get("limit") or evaluation.ITEMS

    @property
    def command(self) -> str:
        """What to type in the project's root for this run alone; it leaves its folder where single runs are."""
        chosen = {name: value for name, value in self.parameters.items() if name != "run_folder"}
        return shlex.join(["papermill", f"notebooks/{self.notebook.name}", "run.ipynb", "-y", json.dumps(chosen)])


@dataclass(frozen=True)
class Sweep:
    """A list of runs with the question that they are to answer."""

    title: str
    folder: Path  # of all its run folders
    jobs: tuple[Job, ...]


def read(
    path: Path,
    preset: str = "quick",
    given: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    notebook: Path | None = None,
) -> Sweep:
    """Read the sweep in a TOML file, checked: names and types of parameters, configurations, no run twice.

    `given` wins over the file. Run folders go below `folder` (None: outputs/PRESET/sweeps/NAME), those of a block with
    a name in a folder of that name. Raises ValueError with a line for each problem.
    """
    notebook = notebook or training_notebook()
    declared = parameters_of(notebook)
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}: choose one of {', '.join(PRESETS)}")
    content = _content(path)
    _refuse(path, _shape(content))
    kinds = {name: parameter.type for name, parameter in declared.items()}
    grids = _grids(content, preset, _level(given or {}, kinds))
    chosen = [(name, x) for _, values, _ in grids for name, options in values.items() for x in options]
    ours = (f"{name} is not for sweeps to choose: use the option {OURS[name]}" for name, _ in chosen if name in OURS)
    _refuse(path, (*ours, *misfits(declared, (pair for pair in chosen if pair[0] not in OURS), notebook.name)))
    parent, jobs = folder or outputs_dir() / preset / "sweeps" / path.stem, []
    for name, values, lists in grids:
        for label, parameters in _combinations(name, _floats(values, kinds), lists):
            jobs.append(_job(label, parameters, preset, notebook, parent / _slug(name)))
    _refuse(path, (job for job in jobs if isinstance(job, str)))
    _refuse(path, _twice(jobs))
    if not jobs:
        raise ValueError(f"{path} with what is given asks for no run: a list of values, or of [[runs]], is empty")
    return Sweep(content.get("title", path.stem), parent, tuple(jobs))


def fixed(path: Path, preset: str = "quick") -> dict[str, Any]:
    """Read the parameters of one run: NAME = VALUE, or a sweep's file that asks for one run only; not checked.

    Raises ValueError on a file that is no TOML, or asks for several runs.
    """
    content = _content(path)
    if not content.keys() & {*LEVEL, *PRESETS, "runs"}:
        return content
    _refuse(path, _shape(content))
    (_, values, lists), *more = _grids(content, preset, {})
    if lists or more:
        raise ValueError(f"{path} asks for several runs: execute them with `workbench sweep {path}`")
    return {name: value for name, (value,) in values.items()}


def _content(path: Path) -> dict[str, Any]:
    """What a TOML file holds; FileNotFoundError where there is none, with the nearest one's name."""
    if not path.is_file():
        known = sorted(file.name for file in path.parent.glob("*.toml"))
        raise FileNotFoundError(f"there is no file {path}{did_you_mean(path.name, known)}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None


def _refuse(path: Path, problems: Iterable[str]) -> None:
    unique = list(dict.fromkeys(problems))
    if len(unique) == 1:
        raise ValueError(f"{path}: {unique[0]}")
    if unique:
        raise ValueError("\n  ".join([f"{path}: {len(unique)} problems", *unique]))


# What stands where in a file


def _shape(content: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the form of a file."""
    yield from _sections(content, ("title", "runs"), "the file")
    if not isinstance(content.get("title", ""), str):
        yield "title must be a text"
    blocks = content.get("runs", [])
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        yield "runs must be written [[runs]], once for each grid"
        return
    for block in blocks:
        yield from _sections(block, ("name",), "[[runs]]")
    names = [_slug(str(block.get("name", ""))) for block in blocks]
    if len(names) > 1 and "" in names:
        yield "each of several [[runs]] needs a name of its own"
    yield from (f"two [[runs]] are called {name!r}" for name in names if name and names.count(name) > 1)


def _sections(holder: Mapping[str, Any], own: Sequence[str], where: str) -> Iterator[str]:
    """What is wrong with the names in a file or a block, and with its tables of parameters, its presets' among them."""
    yield from _names(holder, (*own, *LEVEL, *PRESETS), where)
    yield from _tables(holder, "")
    for preset in PRESETS:
        section = holder.get(preset, {})
        if isinstance(section, dict):
            yield from _names(section, LEVEL, f"[{preset}]")
            yield from _tables(section, f"{preset}.")
        else:
            yield f"{preset} must be a table: [{preset}.fixed] or [{preset}.grid]"


def _slug(name: str) -> str:
    """A name as that of a folder: "MMVAE, content first" as mmvae-content-first."""
    return re.sub(r"\W+", "-", name.lower()).strip("-")


def _names(table: Mapping[str, Any], known: Sequence[str], where: str) -> Iterator[str]:
    for name in table:
        if name not in known:
            yield f"{where} has no place for {name!r}{did_you_mean(name, known)}"


def _tables(holder: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """What is wrong with the two tables of parameters at one place."""
    fixed, grid = (holder.get(name, {}) for name in LEVEL)
    for name, table in zip(LEVEL, (fixed, grid), strict=True):
        if not isinstance(table, dict):
            yield f"{prefix}{name} must be a table of parameters: [{prefix}{name}]"
            return
    for name, values in grid.items():
        if name in fixed:
            yield f"{name} is in [{prefix}fixed] and in [{prefix}grid]: choose one"
        if not isinstance(values, list) or not values:
            yield f"[{prefix}grid] needs a list of values for {name}: {name} = [{values!r}]"


def _grids(
    content: Mapping[str, Any], preset: str, given: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, Values, set[str]]]:
    """Each block of runs: its name, the values of its parameters, and which of these come from a grid."""
    grids = []
    for block in content.get("runs", [{}]):
        values: Values = {}
        lists: set[str] = set()
        for level in (content, content.get(preset, {}), block, block.get(preset, {}), given):
            fixed, grid = level.get("fixed", {}), level.get("grid", {})
            values |= {name: (value,) for name, value in fixed.items()} | {name: tuple(x) for name, x in grid.items()}
            lists = (lists - fixed.keys()) | grid.keys()
        grids.append((str(block.get("name", "")), values, lists))
    return grids


def _level(given: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Values of the command line as a level: lists are grids, but for parameters that are lists themselves."""
    level: dict[str, dict[str, Any]] = {name: {} for name in LEVEL}
    for name, value in given.items():
        several = isinstance(value, list) and not kinds.get(name, "").startswith("list")
        level["grid" if several else "fixed"][name] = value
    return level


# From values to runs


def _floats(values: Values, kinds: Mapping[str, str]) -> Values:
    """The values with whole numbers as floats where the notebook declares a float: 5 and 5.0 are one value."""
    return {name: tuple(map(float, x)) if kinds[name] == "float" else x for name, x in values.items()}


def _combinations(name: str, values: Values, lists: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for combination in itertools.product(*values.values()):
        parameters = dict(zip(values, combination, strict=True))
        named = sorted(lists & parameters.keys(), key=lambda n: (n == "seed", [*parameters].index(n)))  # seeds last
        varied = " ".join(f"{n}={_short(parameters[n])}" for n in named)
        yield ", ".join(filter(None, (name, varied))) or "the only run", parameters


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _job(label: str, parameters: Mapping[str, Any], preset: str, notebook: Path, parent: Path) -> Job | str:
    """The job of some parameters, or what is wrong with them in one line."""
    try:
        fields = {name: value for name, value in parameters.items() if name in field_names()}
        config = Config.make(preset, **fields)
        objectives.method(config.objective, len(parse_name(config.data)))
        evaluation.check_parts(parameters.get("parts") or evaluation.PARTS)
        if parameters.get("parts") == []:
            raise ValueError("parts is an empty list: leave it out for all parts")
        if parameters.get("limit", 1) < 1:
            raise ValueError(f"limit {parameters['limit']} leaves no test items: choose 1 or more")
    except ValueError as error:
        return f"{label}: {error}"
    folder = run.run_folder(config, parent).resolve()
    return Job(label, notebook, {"preset": preset, **parameters, "run_folder": str(folder)}, config, folder)


def _twice(jobs: Sequence[Job]) -> Iterator[str]:
    first: dict[str, Job] = {}
    for job in jobs:
        if (same := first.setdefault(job.config.key(), job)) is not job:
            yield f"{job.label}: the same run as {same.label}"
