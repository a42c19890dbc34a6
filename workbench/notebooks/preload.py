"""What every kernel imports sooner or later, imported once by the process that kernels are forked from.

Modules that a notebook imports by name are found there (notebook_kernels.py); these come by themselves while it runs.
"""

from importlib import import_module

from workbench.runs import versions

import_module("ipykernel.kernelapp")
import_module("torch._dynamo")  # by the first optimiser
for part in ("cluster", "linear_model", "pipeline", "preprocessing"):
    import_module(f"sklearn.{part}")  # by the evaluation

# Kernels run the code as this process has read it. Its version must not be taken from files that changed since.
versions.code_version()
versions.judges_version()
