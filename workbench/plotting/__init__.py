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

__all__ = [
    "accuracy_bars",
    "class_coherence",
    "code_scatter",
    "coherence_map",
    "confusion_maps",
    "item_grid",
    "lines_over_steps",
    "log_lines",
    "panel",
    "share_maps",
    "text_of",
    "training_curves",
    "wrapped",
]
