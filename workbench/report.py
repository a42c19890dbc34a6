"""What finished runs are called, in words and in `published`, and all their numbers as one JSON file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench import published
from workbench.objectives import METHODS
from workbench.paths import replacing
from workbench.runs import Run

# Objectives with importance samples, and what tells their estimators apart; the paper's is the first.
IMPORTANCE = {"mmvae_dreg": "", "mmvae_iwae": "IWAE"}
BULKY = ("confusion",)  # metrics that are pictures rather than numbers: left out of collected files
Rows = list[list[str]]


def label(run: Run) -> str:
    """The method as the paper's tables name it: mmJSD, mmJSD (MS), MMVAE (I=30); what the paper has not is named."""
    config = run.config
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


def probe_table(runs: Sequence[Run], probe: str = "linear_probe") -> Rows:
    """Table 1: accuracy of a linear classifier on the posterior means of every subset, a row per run and posterior."""
    subsets = list(next(iter(runs[0].metrics[probe].values())))
    rows = [["method", "posterior", "steps", *map(_heading, subsets)]]
    for run in runs:
        for how, accuracies in run.metrics[probe].items():
            rows.append([label(run), _words(how), _steps(run), *(_number(accuracies[s]) for s in subsets)])
        if run.config.data == published.DATA and paper_key(run) in published.LINEAR_PROBE:
            paper = published.LINEAR_PROBE[paper_key(run)]
            rows.append([f"{label(run)}, paper", "", "", *(_number(paper[s]) for s in subsets)])
    return rows


def coherence_table(runs: Sequence[Run]) -> Rows:
    """Table 2: random coherence by both counts, and of each modality generated from every subset of the others."""
    targets = next(iter(runs[0].metrics["coherence"].values()))
    paths = [(t, s) for t, given in targets.items() for s in given if t not in s.split(",")]
    rows = [["method", "posterior", "random: all agree", "random: pattern", *(f"{s} → {t}" for t, s in paths)]]
    for run in runs:
        random = run.metrics["random_coherence"]
        counts = [_number(random["all_agree"]), _number(random["agreement_pattern"])]
        for how, found in run.metrics["coherence"].items():
            rows.append([label(run), _words(how), *counts, *(_number(found[t][s]) for t, s in paths)])
        if run.config.data == published.DATA and paper_key(run) in published.COHERENCE:
            paper = published.COHERENCE[paper_key(run)]
            random_paper = _number(published.RANDOM_COHERENCE[paper_key(run)])
            rows.append([f"{label(run)}, paper", "", "", random_paper, *(_number(paper[path]) for path in paths)])
    return rows


def ceiling(run: Run) -> str:
    """Accuracy of the judges themselves on real test items: what no coherence can pass but by luck."""
    return ", ".join(f"{letter} {accuracy:.3f}" for letter, accuracy in run.metrics["classifier_accuracy"].items())


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


def _heading(subset: str) -> str:
    return subset if subset.count(",") < 2 else "joint"


def _steps(run: Run) -> str:
    return f"{int(run.history()['step'][-1]):,}"


def _words(how: str) -> str:
    return how.replace("_", " ")


def _number(value: float) -> str:
    return f"{value:.2f}"
