"""Explorers: sliders, switches and maps around a trained model or a formula, for a notebook or an app.

Each explorer stands on pure functions, which are tested by themselves; the widgets only collect values and show what
comes back. None speaks or computes before it is touched, so notebooks that hold one can be compared.
"""

from workbench.explorers.acquisition import draw_acquisition, explore_acquisition
from workbench.explorers.conditional import draw_conditional, explore_conditional
from workbench.explorers.divergences import (
    EXPERTS,
    densities,
    draw_dial,
    draw_divergences,
    explore_dial,
    explore_divergences,
    pooled,
    to_png,
)
from workbench.explorers.grids import Plan, explore_grid, style_content_grid
from workbench.explorers.latent import explore_latent
from workbench.explorers.latent_drawing import draw_latent_map
from workbench.explorers.models import ExploredModel, explored_models, shipped_models
from workbench.explorers.objectives import draw_objectives, explore_objectives, objective_grid

__all__ = [
    "EXPERTS", "ExploredModel", "Plan", "densities", "draw_acquisition", "draw_conditional", "draw_dial",
    "draw_divergences", "draw_latent_map", "draw_objectives", "explore_acquisition", "explore_conditional",
    "explore_dial", "explore_divergences", "explore_grid", "explore_latent", "explore_objectives", "explored_models",
    "objective_grid", "pooled", "shipped_models", "style_content_grid", "to_png",
]  # fmt: skip
