"""What finished runs are called, in words and in the paper's tables, and what sets runs of one name apart."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.config import WHERE, Config
from workbench.objectives import METHODS
from workbench.runs.run import Run

# Objectives with importance samples, and what tells their estimators apart; each paper's is the one without a word.
IMPORTANCE = {"mmvae_dreg": "", "mmvae_iwae": "IWAE", "mmvae_plus": "", "mmvae_plus_dreg": "DReG"}
# What may differ between runs that are averaged: where a run was made, the seed, and how its steps were asked for.
FREE = {*WHERE, "seed", "steps", "epochs", "snapshot_every"}


def label(run: Run) -> str:
    """Name a run's method as the paper's tables do: mmJSD, mmJSD (MS), MMVAE (I=30); what the paper has not is said."""
    return label_of(run.config)


def label_of(config: Config) -> str:
    """Name the method of a configuration."""
    joined = ", ".join(word for word, _ in _notes(config) if word)
    name = METHODS[config.objective].label.partition(" (")[0]  # its own note is among these
    return name + (f" ({joined})" if joined else "")


def paper_key(run: Run) -> str:
    """Name a run's method by its key in `reports.published`, by one that is not there when the paper has none such."""
    return key_of(run.config)


def key_of(config: Config) -> str:
    """Name the method of a configuration by its key."""
    key = "mmvae" if config.objective == "mmvae_dreg" else config.objective
    return "-".join([key, *(word for _, word in _notes(config) if word)])


def _notes(config: Config) -> list[tuple[str, str]]:
    """What sets a method apart, in words and in a key; blank where nothing does."""
    importance, samples = config.objective in IMPORTANCE, config.importance_samples
    mean = config.dynamic_prior + (f" {config.power:g}" if config.dynamic_prior == "power" else "")
    return [
        (f"I={samples}", f"i{samples}") if importance else ("", ""),
        (IMPORTANCE.get(config.objective, ""), ""),  # an objective of its own
        ("MS", "ms") if config.style_dim else ("", ""),
        ("", "") if mean == "geometric" else (f"dynamic prior: {mean}", mean),
        ("", "") if config.posterior == "gaussian" else (config.posterior.capitalize(), config.posterior),
        ("", "") if config.self_content == "gradient" else (f"self-content {config.self_content}", config.self_content),
        ("", "")
        if config.mvae_unimodal == "weighted"
        else (f"unimodal ELBOs: {config.mvae_unimodal}", config.mvae_unimodal),
    ]


def spelt(key: str) -> str:
    """Spell a method's key as tables name the method: MMVAE (I=30) for mmvae-i30."""
    name, *notes = key.split("-")
    label, _, own = METHODS[name].label.rstrip(")").partition(" (")
    words = [f"I={note[1:]}" if re.fullmatch(r"i\d+", note) else {"ms": "MS"}.get(note, note) for note in notes]
    joined = ", ".join(filter(None, (own, *words)))
    return label + (f" ({joined})" if joined else "")


def differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Find the fields in which settings differ, with their values, each once; who lacks a field has no say."""
    fields = dict.fromkeys(field for s in settings for field in s)
    values = {field: [*dict.fromkeys(s[field] for s in settings if field in s)] for field in fields}
    return {field: several for field, several in values.items() if len(several) > 1}


def apart(runs: Sequence[Run]) -> list[str]:
    """Say what sets runs of one label apart, such as ", beta 2.5", "" where nothing does: only those are averaged."""
    settings = [{name: x for name, x in run.config.to_json().items() if name not in FREE} for run in runs]
    for run, own in zip(runs, settings, strict=True):
        own |= run.read("config.json").get("files") or {}  # of data that can be other data elsewhere
    telling = differing(settings)
    return ["".join(f", {name} {own[name]}" for name in telling if name in own) for own in settings]


def by_method(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Sort runs on one data set by their label and what sets it apart: those of one name may be averaged."""
    labels: dict[str, list[Run]] = {}
    for run in runs:
        labels.setdefault(label(run), []).append(run)
    named: dict[str, list[Run]] = {}
    for name, group in labels.items():
        for run, setting in zip(group, apart(group), strict=True):
            named.setdefault(name + setting, []).append(run)
    return named


def steps_taken(run: Run) -> int:
    """Count a run's optimiser steps by its history; those asked for where it was not kept."""
    taken = run.history().get("step")
    return int(taken[-1]) if taken else run.config.steps
