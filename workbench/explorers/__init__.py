"""Explorers: sliders, switches and maps around a trained model or a formula, for a notebook or an app.

Each explorer stands on pure functions, which are tested by themselves; the widgets only collect values and show what
comes back. None speaks or computes before it is touched, so notebooks that hold one can be compared.
"""

from workbench.explorers.divergences import densities, draw_divergences, explore_divergences, to_png

__all__ = ["densities", "draw_divergences", "explore_divergences", "to_png"]
