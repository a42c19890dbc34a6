"""The only place where a loop takes optimiser steps."""

from workbench.training.loop import Trainer, TrainingDiverged, fit

__all__ = ["Trainer", "TrainingDiverged", "fit"]
