"""Runs whose numbers are made up: every section of metrics.json, without any training."""

import math
import random
from pathlib import Path
from typing import Any

from workbench.config import Config
from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.fusion import subsets
from workbench.reports import published
from workbench.runs.collected import Recorded
from workbench.runs.run import Run, start

OTHER = "mnist-plain-text"
ITEMS = 10_000  # behind the numbers of `papers_metrics`
SCORES = ("average_precision", "f_8", "f_1_8", "fid")
FUSIONS = {"mmjsd": ("dynamic_prior", "mixture"), "mvae": ("product",)}  # all else: mixture


def finished(
    folder, objective="mmjsd", seed=0, letters="MST", shift=0.0, metrics=None, preset="paper", **changes
) -> Run:
    """A run folder with every section of metrics.json; `shift` is added to all accuracies."""
    config = {"data": OTHER, "steps": 4380} | changes
    run = start(Config.make(preset, objective=objective, seed=seed, **config), folder)
    (folder / "history.csv").write_text(f"step,total\n50,2\n{run.config.steps},1\n")
    fusions = FUSIONS["mmjsd"] if objective == "mmjsd" else ("mixture",)
    found = every_section(letters, fusions, shift, styles=letters if run.config.style_dim else "")
    run.write("metrics.json", found if metrics is None else metrics(found))
    return run


def several(folder, *changes) -> list[Run]:
    """Finished runs, one for each of some settings."""
    return [finished(folder / f"run-{i}", **settings) for i, settings in enumerate(changes)]


def in_memory(config: Config, metrics, history=None) -> Run:
    """A run that was never on a disk."""
    return Recorded(Path("nowhere"), {"config": config.to_json(), "metrics": metrics, "history": history or {}})


def on_faces(folder, objective="mmjsd", shift=0.0, data="faces", train_items=7000, **changes) -> Run:
    """A run folder with metrics of attributes, all different; `shift` is added to all average precisions."""
    names, fusions = ("I", "T", "I,T"), FUSIONS.get(objective, ("mixture",))
    probes = {f: {s: i / 20 + k / 100 + shift for i, s in enumerate(names)} for k, f in enumerate(fusions)}
    each = {
        name: {f: {s: row(level + x) for s, x in probes[f].items()} for f in fusions}
        for name, level in (("linear_probe", 0.4), ("linear_probe_full", 0.5))
    }
    paths = {t: {s: row(0.3 + i / 20 + k / 50 + shift) for i, s in enumerate(names)} for k, t in enumerate("IT")}
    each |= {"coherence": dict.fromkeys(fusions, paths), "judges": {"I": row(0.8), "T": row(0.9)}}
    written = {"precision": None, "recall": 0.125, "average_precision": 0.25}
    metrics = means(each) | {
        "data": data, "score": "average precision", "test_items": 1000, "train_items": train_items,
        "base_rate": [0.0, *row(0.2)[1:]], "style_probe": {"I": 0.22, "T": 0.21},
        "linear_probe_error": {fusion: dict.fromkeys(names, 0.004) for fusion in fusions},
        "classifier_accuracy": means(each["judges"]),
        "written": {fusion: {"T": dict.fromkeys(names, written)} for fusion in fusions},
        "random_coherence": {"all_agree": 0.0, "attributes_agree": 0.75, "by_chance": 0.625}, "by_attribute": each,
    }  # fmt: skip
    return finished(folder, objective, metrics=lambda found: metrics, data=data, steps=900, **changes)


def row(middle: float) -> list[float | None]:
    """Numbers of 40 attributes around a middle, the first of them not to be had."""
    return [None] + [middle + (k - 20) / 400 for k in range(1, len(ATTRIBUTES))]


def means(found):
    """The means of all rows of numbers in nested mappings."""
    if isinstance(found, dict):
        return {key: means(inner) for key, inner in found.items() if key != "judges"}
    known = [x for x in found if x is not None]
    return sum(known) / len(known)


def every_section(letters, fusions, shift, styles):
    """metrics.json of an evaluation whose numbers are all different."""
    names = [",".join(subset) for subset in subsets(letters)]
    accuracies = {f: {s: 0.5 + i / 100 + k / 10 + shift for i, s in enumerate(names)} for k, f in enumerate(fusions)}
    images = letters.replace("T", "")
    paths = {t: {s: 0.3 + (10 * i + n) / 100 + shift for n, s in enumerate(names)} for i, t in enumerate(letters)}
    score = {t: {s: dict(zip(SCORES, (x, 0.9, 0.8, 10 * x), strict=True)) for s, x in paths[t].items()} for t in images}
    random = {t: dict.fromkeys((*SCORES, "nearer", "nearest", "nearest_of_test"), 0.4) for t in images}
    random |= {"content": {"nearer": 0.45, "held_out": -22.5}, "all": {"all_agree": 0.8, "agreement_pattern": 0.9}}
    random |= {t: random.get(t, {}) | {"variety": 2.2} for t in letters}
    nats = {s: {"nats": -1900.4 - 10 * n, "standard_error": 3.0, "effective_samples": 2.0} for n, s in enumerate(names)}
    return {
        "rate": {fusion: {s: 20.5 + i for i, s in enumerate(names)} for fusion in fusions},
        "marginal_kl": {fusion: {s: 2.5 + i for i, s in enumerate(names)} for fusion in fusions},
        "classifier_accuracy": {letter: 0.9811 if letter == "M" else 1.0 for letter in letters},
        "linear_probe": accuracies,
        "linear_probe_error": {fusion: {s: 0.008 for s in row} for fusion, row in accuracies.items()},
        "linear_probe_full": {fusion: {s: x / 2 for s, x in row.items()} for fusion, row in accuracies.items()},
        "style_probe": {letter: 0.11 for letter in styles},
        "coherence": {fusion: paths for fusion in fusions},
        "random_coherence": {"all_agree": 0.24, "agreement_pattern": 0.59},
        "samplers": dict.fromkeys(("prior", "exemplar", "gmm", "flow"), random),
        "evidence": {
            "nats": -1880.25 + shift,
            "smoothed": -1880.5,
            "draws": 100,
            "items": 500,
            "effective_samples": 6.5,
            "effective_samples_mean": 8.25,
            "k_hat": 0.75 - shift,
            "k_hat_above": 0.6,
            "gain": 0.5,
            "gain_items": 300,
            "annealed_gap": 0.75,
            "annealed_gap_items": 100,
        },
        "evidence_error": {"nats": 0.0625, "gain": 0.05, "annealed_gap": 0.1},
        "clustering": {fusion: {names[-1]: {"accuracy": 0.9, "nmi": 0.8, "ari": 0.7}} for fusion in fusions},
        "quality": {
            "features": {t: f"judge of {t} (128 features)" for t in images},
            "ceiling": 0.72,
            "images": 10000,
            "random": {t: dict.fromkeys(SCORES, 0.004) for t in images},
            "conditional": {fusion: score for fusion in fusions},
        },
        "log_likelihood": {
            "samples": 12,
            "items": 10000,
            "X": {fusion: nats for fusion in fusions},
            "given": {
                fusion: {t: {s: x for s, x in nats.items() if t not in s} for t in letters} for fusion in fusions
            },
            "predictive": {fusion: dict.fromkeys(letters, nats) for fusion in fusions},
        },
    }


def sweep(folder, field: str, values, seeds=(0, 1, 2), noise: float = 0.01, **changes) -> list[Run]:
    """Runs of mmJSD that differ in one field, whose numbers change with it as one might expect, and by seed."""
    settings = {"style_dim": 4} | changes
    return [
        finished(
            folder / f"{field}-{x:g}-{seed}",
            seed=seed,
            metrics=Changing(field, x, seed, noise),
            **settings | {field: x},
        )
        for x in values
        for seed in seeds
    ]


class Changing:
    """Numbers of one run of a sweep: lines over how far along it is, with noise from a seed of their own."""

    def __init__(self, field: str, x: float, seed: int, noise: float) -> None:
        self.along = {"style_dim": x / 16, "prior_weight": x, "beta": math.log(x + 1) / 3}[field]
        self.slopes = SLOPES[field]
        self.styles = bool(x) or field != "style_dim"
        self.generator, self.noise = random.Random(f"{field} {x} {seed}"), noise

    def share(self, what: str, start: float) -> float:
        made = start + self.slopes[what] * self.along + self.generator.gauss(0, self.noise)
        return min(1.0, max(0.0, made))

    def __call__(self, found):
        letters, fusions = found["classifier_accuracy"], [*found["linear_probe"]]
        names = [*found["linear_probe"][fusions[0]]]
        level = {name: 0.96 - 0.12 * (name == "S") + 0.01 * name.count(",") for name in names}
        coherent = {t: {s: self.share("coherence", level[s] - 0.1) for s in names} for t in letters}
        good = {t: {s: self.scores("quality", 0.2) for s in names if t not in s} for t in "MS"}
        nats = {s: 12 + self.slopes["nats"] * self.along + len(s) / 5 for s in names}
        return found | {
            "linear_probe": {fusion: {s: self.share("probe", level[s]) for s in names} for fusion in fusions},
            "rate": dict.fromkeys(fusions, nats),
            "marginal_kl": {fusion: {s: x / 3 for s, x in nats.items()} for fusion in fusions},
            "style_probe": {t: self.share("style", 0.2) for t in letters} if self.styles else {},
            "coherence": dict.fromkeys(fusions, coherent),
            "random_coherence": {"all_agree": self.share("coherence", 0.4), "agreement_pattern": 0.7},
            "quality": found["quality"]
            | {"random": {t: self.scores("quality", 0.1) for t in "MS"}, "conditional": dict.fromkeys(fusions, good)},
        }

    def scores(self, what: str, start: float) -> dict[str, float]:
        return dict.fromkeys(SCORES, self.share(what, start))


# By how much shares, and nats, change along a sweep.
SLOPES = {
    "style_dim": {"probe": -0.02, "coherence": -0.25, "quality": 0.35, "style": 0.5, "nats": -2.0},
    "prior_weight": {"probe": 0.0, "coherence": -0.1, "quality": 0.02, "style": 0.0, "nats": -4.0},
    "beta": {"probe": -0.05, "coherence": -0.1, "quality": -0.1, "style": -0.2, "nats": -6.0},
}


def paths(row: dict[tuple[str, str], Any]) -> dict[str, dict[str, Any]]:
    """found[target][given] of numbers by (target, given)."""
    return {t: {g: x for (target, g), x in row.items() if target == t} for t in dict.fromkeys(t for t, _ in row)}


def papers_metrics(key: str, error: float = 0.0) -> dict[str, Any]:
    """The paper's numbers of a method, as an evaluation of ours would write them; two posteriors, its own first."""
    quality = paths({path: {"average_precision": x} for path, x in published.QUALITY.get(key, {}).items()})
    nats = {s: {"nats": x, "standard_error": error} for s, x in published.LOG_LIKELIHOOD[key].items()}
    own, other = published.LINEAR_PROBE[key], dict.fromkeys(published.SUBSETS, 0.1)
    return {
        "test_items": ITEMS,
        "classifier_accuracy": dict.fromkeys("MST", 0.99),
        "linear_probe": {"dynamic_prior": own, "mixture": other},
        "linear_probe_error": {"dynamic_prior": dict.fromkeys(own, error)},
        "linear_probe_full": {"dynamic_prior": {s: x / 2 for s, x in own.items()}, "mixture": other},
        "coherence": {"dynamic_prior": paths(published.COHERENCE[key]), "mixture": {}},
        "random_coherence": {"all_agree": 0.2, "agreement_pattern": published.RANDOM_COHERENCE[key]},
        "quality": {
            "images": ITEMS,
            "random": {target: row.pop("random") for target, row in quality.items()},
            "conditional": {"dynamic_prior": quality, "mixture": {}},
        },
        "log_likelihood": {"samples": 12, "items": ITEMS, "X": {"dynamic_prior": nats, "mixture": nats}},
        "style_probe": {"M": 0.2} if key.endswith("-ms") else {},
    }
