"""Make torchvision importable beside a torch of another build, most often a CPU torch beside a CUDA torchvision.

Such a torchvision cannot load its C++ extension. It carries on without it, until it describes the operator `nms` that
the extension should have brought: "operator torchvision::nms does not exist". Transforms, data sets and grids need
no such operator, so it is enough to declare it, without an implementation.
"""

import importlib.machinery
import importlib.util
import os
import sys
from typing import Any

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")
_kept: list[Any] = []  # the declarations end with the life of their library


def repair_on_import() -> None:
    """Repair when somebody imports torchvision; until then not even torch is imported, which takes seconds."""
    if "torchvision" not in sys.modules:
        sys.meta_path.insert(0, _Repair())


class _Repair:
    """A finder that finds nothing: it only learns that torchvision is about to be imported."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            repair()


def repair() -> bool:
    """Declare the operators that `import torchvision` stumbles over; True when that was necessary.

    Does nothing without torchvision, when it is imported already, or when its extension loads (a matched pair).
    """
    import torch

    if "torchvision" in sys.modules or hasattr(torch.ops.torchvision, "nms"):
        return False
    package = importlib.util.find_spec("torchvision")  # finds, does not import
    if package is None or package.submodule_search_locations is None or _extension_loads(package):
        return False
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in _OPERATORS:
        library.define(operator + _SCHEMA)
    _kept.append(library)
    return True


def _extension_loads(package: importlib.machinery.ModuleSpec) -> bool:
    """Try what torchvision itself does first when it is imported; loading a library once more is harmless."""
    import torch

    if os.name == "nt":
        # Torchvision prepares the search for DLLs before it loads: a failure here would not mean one there, and
        # operators declared twice abort the process.
        return True
    extension = importlib.machinery.PathFinder.find_spec("_C", list(package.submodule_search_locations))
    if extension is None:
        return False
    try:
        torch.ops.load_library(extension.origin)
    except OSError:
        return False
    return True
