"""Tensors and plain mappings in, a Figure out; imports no wing."""

from workbench.plotting.base import (
    accuracy_bars,
    class_coherence,
    code_scatter,
    coherence_map,
    confusion_maps,
    item_grid,
    lines_over_steps,
    log_lines,
    panel,
    share_maps,
    text_of,
    training_curves,
    wrapped,
)
from workbench.plotting.shown import Described, ends

__all__ = [
    "Described", "accuracy_bars", "class_coherence", "code_scatter", "coherence_map", "confusion_maps", "ends",
    "item_grid", "lines_over_steps", "log_lines", "panel", "share_maps", "text_of", "training_curves", "wrapped",
]  # fmt: skip
