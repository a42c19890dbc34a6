"""The sections of metrics.json that hold numbers of the model: what the keys are that lead to one, and their types."""

from collections.abc import Mapping
from typing import Any

SUBSET, PATH = ("posterior", "given"), ("posterior", "target", "given")
LEVELS = dict.fromkeys(("rate", "marginal_kl", "linear_probe", "linear_probe_full"), SUBSET)
LEVELS |= dict.fromkeys(("style_probe", "classifier_accuracy"), ("target",)) | {"coherence": PATH}
LEVELS |= {"random_coherence": ("target",), "written": (*PATH, "metric")}
LEVELS |= {"samplers": ("given", "target", "metric"), "clustering": (*SUBSET, "metric"), "evidence": ("metric",)}
# Of sections whose parts differ: log-likelihoods are mappings of an estimate, its error and its effective samples.
QUALITY = {"conditional": (*PATH, "metric"), "random": ("target", "metric")}
LIKELIHOODS = {"X": SUBSET, "given": PATH, "predictive": PATH}
COUNTS = ("train_items", "test_items", "step")


def check_metrics(metrics: Mapping[str, Any]) -> None:
    """ValueError where something in metrics.json is not of the type that reports read; what is not there may lack."""
    origin, snapshots = metrics.get("evaluated_with") or {}, metrics.get("over_steps") or []
    if not (isinstance(origin, dict) and isinstance(snapshots, list) and all(isinstance(x, dict) for x in snapshots)):
        raise ValueError("evaluated_with or over_steps is of another type")
    for judged in (metrics, *snapshots):
        for section, levels in LEVELS.items():
            for name in (section, f"{section}_error"):
                _check(judged.get(name), len(levels), name)
        for section, parts, more in (("quality", QUALITY, 0), ("log_likelihood", LIKELIHOODS, 1)):
            found = _mapping(judged.get(section), section)
            for part, levels in parts.items():
                _check(found.get(part), len(levels) + more, f"{section}.{part}")
        quality, rates = judged.get("quality") or {}, judged.get("base_rate") or []
        _check(rates, 1, "base_rate")
        _mapping(quality.get("features"), "quality.features")
        for section, rows in _mapping(judged.get("by_attribute"), "by_attribute").items():
            levels = LEVELS.get({"judges": "classifier_accuracy"}.get(section, section), ())
            _check(rows, len(levels) + 1, f"by_attribute.{section}")
        _check([judged.get(x) for x in COUNTS] + [quality.get(x) for x in ("ceiling", "images")], 1, "counts")


def _check(value: Any, levels: int, name: str) -> None:
    """ValueError where so many levels of mappings, the last of which may be a list, lead to anything but numbers."""
    if value is None:
        return
    if not levels:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} holds {str(value)[:40]!r} in the place of a number")
        return
    for inner in value if isinstance(value, list) and levels == 1 else _mapping(value, name).values():
        _check(inner, levels - 1, name)


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"{name} is {str(value)[:40]!r} in the place of numbers by name")
    return value or {}
