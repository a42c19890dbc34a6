"""What a training leaves on a disk: written, found, named, collected, shipped."""

from workbench.runs.run import Run, build_model, find_runs, run_folder, start
from workbench.runs.versions import code_version, provenance

__all__ = ["Run", "build_model", "code_version", "find_runs", "provenance", "run_folder", "start"]
