"""A workbench for multimodal generative learning with the Jensen-Shannon divergence."""

from importlib import import_module
from typing import Any

from workbench import _torchvision

__version__ = "0.1.0"

# What scripts begin with, and where it is. It is imported when it is asked for: torch alone takes seconds.
_PLACES = {
    "Config": "workbench.config",
    "MultimodalDataset": "workbench.data.dataset",
    "Run": "workbench.runs.run",
    "evaluate": "workbench.evaluation",
    "fit": "workbench.training.loop",
    "modalities_of": "workbench.modality",
}
__all__ = [*_PLACES]

_torchvision.repair_on_import()


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
