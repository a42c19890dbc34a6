"""What finished runs are called, in words and in `published`, and their numbers as one JSON file, there and back."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.config import WHERE, Config
from workbench.objectives import METHODS
from workbench.paths import replacing
from workbench.runs.run import Run, find_runs

# Objectives with importance samples, and what tells their estimators apart; the paper's is the first.
IMPORTANCE = {"mmvae_dreg": "", "mmvae_iwae": "IWAE"}
# What may differ between runs that are averaged: where it ran, the seed, and how its steps were asked for.
FREE = {*WHERE, "seed", "steps", "epochs", "snapshot_every"}
ADDED = ("method", "metrics", "history")  # what an entry of a collected file has beside config.json
BULKY = ("confusion",)  # metrics that are pictures rather than numbers: left out of collected files
Rows = list[list[str]]


def label(run: Run) -> str:
    """The method as the paper's tables name it: mmJSD, mmJSD (MS), MMVAE (I=30); what the paper has not is named."""
    return label_of(run.config)


def label_of(config: Config) -> str:
    """The same of a configuration."""
    notes = [f"I={config.importance_samples}", IMPORTANCE[config.objective]] if config.objective in IMPORTANCE else []
    notes.append("MS" if config.style_dim else "")
    notes.append("" if config.dynamic_prior == "geometric" else f"dynamic prior: {config.dynamic_prior}")
    notes.append("" if config.posterior == "gaussian" else config.posterior.capitalize())
    joined = ", ".join(note for note in notes if note)
    name = METHODS[config.objective].label.partition(" (")[0]  # its own note is among these
    return name + (f" ({joined})" if joined else "")


def paper_key(run: Run) -> str:
    """The method's key in `published`; one that is not there when the paper has no such method."""
    config = run.config
    key = "mmvae" if config.objective == "mmvae_dreg" else config.objective
    key += f"-i{config.importance_samples}" if config.objective in IMPORTANCE else ""
    key += "-ms" if config.style_dim else ""
    key += "" if config.dynamic_prior == "geometric" else f"-{config.dynamic_prior}"
    return key + ("" if config.posterior == "gaussian" else f"-{config.posterior}")


def differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Fields in which settings differ, with their values, each once; who lacks a field has no say."""
    fields = dict.fromkeys(field for s in settings for field in s)
    values = {field: [*dict.fromkeys(s[field] for s in settings if field in s)] for field in fields}
    return {field: found for field, found in values.items() if len(found) > 1}


def apart(runs: Sequence[Run]) -> list[str]:
    """What sets runs of one label apart, such as ", beta 2.5", "" where nothing does: they must not be averaged."""
    settings = [{name: x for name, x in run.config.to_json().items() if name not in FREE} for run in runs]
    telling = differing(settings)
    return ["".join(f", {name} {found[name]}" for name in telling) for found in settings]


def steps_taken(run: Run) -> int:
    """Optimiser steps by the history; those asked for where it was not kept."""
    taken = run.history().get("step")
    return int(taken[-1]) if taken else run.config.steps


def origins(runs: Sequence[Run]) -> Rows:
    """Where numbers come from: a row for each method and data set, with its seeds, its scale, versions and machines."""
    groups: dict[tuple[str, str, str, int, str], list[Run]] = {}
    for run in runs:
        config = run.config
        scale = (f"{steps_taken(run):,}", config.batch_size, run.precision)
        groups.setdefault((config.data, label(run), *scale), []).append(run)
    rows = [["data", "method", "steps", "batch", "precision", "seeds", "trained", "evaluated", "machine"]]
    for (*names, batch, precision), group in groups.items():
        stored = [run.read("config.json") for run in group]
        judged = [run.metrics.get("evaluated_with") or {} for run in group]
        seeds = ", ".join(str(seed) for seed in sorted({run.config.seed for run in group}))
        rows.append([*names, str(batch), precision, seeds, _when(stored), _when(judged), _several(stored, "machine")])
    return rows


def _when(origins: Sequence[dict[str, Any]]) -> str:
    """Days and commits of some origins."""
    return f"{_several(origins, 'date')} at {_several(origins, 'commit')}"


def _several(origins: Sequence[dict[str, Any]], name: str) -> str:
    return ", ".join(sorted({str(origin.get(name) or "unknown") for origin in origins}))


def ceiling(run: Run) -> str:
    """Accuracy of the judges themselves on real test items: what no coherence can pass but by luck."""
    return ", ".join(f"{letter} {accuracy:.3f}" for letter, accuracy in run.metrics["classifier_accuracy"].items())


def headline(run: Run) -> str:
    """Its first numbers in one line, of the parts that were evaluated: probe of the joint posterior, coherence.

    Coherence is the mean over all modalities given others, then how often all modalities of random items agree, or on
    how many attributes.
    """
    metrics, found = run.metrics, []
    if tables := metrics.get("linear_probe") or metrics.get("linear_probe_full"):
        probes = next(iter(tables.values()))
        found.append(f"probe {probes[max(probes, key=lambda subset: subset.count(','))]:.2f}")
    if tables := metrics.get("coherence"):
        rows = next(iter(tables.values())).items()
        crossed = [x for target, row in rows for given, x in row.items() if target not in given.split(",")]
        found += [f"coherence {sum(crossed) / len(crossed):.2f}"] if crossed else []
        random = metrics["random_coherence"]
        found.append(f"random {random.get('attributes_agree', random['all_agree']):.2f}")
    return ", ".join(found)


def markdown(rows: Rows) -> str:
    """Rows, the first the heading, as a Markdown table."""
    heading, *body = rows
    lines = [heading, ["---" if i < 2 else "---:" for i in range(len(heading))], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(runs: Sequence[Run], path: Path) -> None:
    """Every number of some runs as one JSON file, each with configuration, command, commit and machine."""
    collected: list[dict[str, Any]] = [
        {
            "method": label(run),
            **run.read("config.json"),
            "metrics": _without(run.metrics, BULKY),
            "history": _thin(run.history()),
        }
        for run in runs
    ]
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"runs": collected}, indent=1) + "\n")


class Recorded(Run):
    """A run of which only the numbers are there: an entry of a file that `write` made. It has no weights."""

    def __init__(self, folder: Path, entry: dict[str, Any]) -> None:
        super().__init__(folder)
        object.__setattr__(self, "entry", entry)  # the class it extends is frozen

    @property
    def config(self) -> Config:
        return Config.from_json(self.entry["config"])

    def read(self, name: str) -> dict[str, Any]:
        """config.json or metrics.json, as it was in the run's folder."""
        return self.metrics if name == "metrics.json" else {k: v for k, v in self.entry.items() if k not in ADDED}

    @property
    def complete(self) -> bool:
        return True

    @property
    def trained(self) -> bool:
        return False

    @property
    def metrics(self) -> dict[str, Any]:
        return self.entry["metrics"]

    def history(self) -> dict[str, list[float]]:
        """About fifty rows of it."""
        return self.entry["history"]


def read(path: Path) -> list[Run]:
    """The runs in a JSON file that `write` made, for tables and claims; ValueError when it is none."""
    try:
        entries = json.loads(path.read_text())["runs"]
        return [Recorded(path, entry) for entry in entries]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no runs: give a file that `workbench report --out` wrote") from error


def gather(paths: Sequence[Path]) -> list[Run]:
    """The complete runs below some folders and in files that `write` made; ValueError when there is none."""
    runs = [run for path in paths for run in (read(path) if path.is_file() else find_runs(path))]
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
