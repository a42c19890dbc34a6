"""Tables 1 and 2 of finished runs, beside the paper's numbers where the data set is the paper's, and as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench import published
from workbench.objectives import METHODS
from workbench.paths import replacing
from workbench.runs import Run

PROBES = {"linear_probe": "256 items, as in the paper", "linear_probe_many": "5,000 items"}
Rows = list[list[str]]


def tables(runs: Sequence[Run]) -> str:
    """All tables of some runs as Markdown: data and its honesty, probes, coherences."""
    parts = []
    for data in sorted({run.config.data for run in runs}):
        chosen = [run for run in runs if run.config.data == data]
        parts.append(f"## {data}\n\nJudges' own accuracy: {ceiling(chosen[0])}.")
        parts += [f"Linear probe ({words})\n\n{markdown(probe_table(chosen, p))}" for p, words in PROBES.items()]
        parts.append(f"Coherence\n\n{markdown(coherence_table(chosen))}")
    return "\n\n".join(parts)


def label(run: Run) -> str:
    """The method as the paper's tables name it: mmJSD, mmJSD (MS); another dynamic prior than the paper's is named."""
    config = run.config
    other = "" if config.dynamic_prior == "geometric" else f"dynamic prior: {config.dynamic_prior}"
    notes = ", ".join(note for note in ("MS" if config.style_dim else "", other) if note)
    return METHODS[config.objective].label + (f" ({notes})" if notes else "")


def paper_key(run: Run) -> str:
    """The method's key in `published`; one that is not there when the paper has no such method."""
    style, other = "-ms" if run.config.style_dim else "", run.config.dynamic_prior
    return run.config.objective + style + ("" if other == "geometric" else f"-{other}")


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
        {"method": label(run), **run.read("config.json"), "metrics": run.metrics, "history": _thin(run.history())}
        for run in runs
    ]
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"runs": collected}, indent=1) + "\n")


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
