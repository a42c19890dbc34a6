"""What a training leaves on a disk: written, found, named, collected, shipped."""

from workbench.runs.collected import gather
from workbench.runs.naming import by_method, label, label_of, steps_taken
from workbench.runs.run import Run, build_model, find_runs, run_folder, start
from workbench.runs.versions import code_version, provenance

__all__ = [
    "Run",
    "build_model",
    "by_method",
    "code_version",
    "find_runs",
    "gather",
    "label",
    "label_of",
    "provenance",
    "run_folder",
    "start",
    "steps_taken",
]
