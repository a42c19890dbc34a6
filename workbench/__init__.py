"""A workbench for multimodal generative learning with the Jensen-Shannon divergence.

The root is the paper, every folder is a wing, and imports only point down. A batch's way from source to table cell:

1.  `data.load.load_dataset` reads every source once, as uint8 tensors, and `data.pairing` matches items by class.
2.  `data.dataset.Batches` takes the next rows of the pair table and gathers a `Batch` of values on the device.
3.  `model.MultimodalVAE.encode` has each modality's network make its posterior: one stack `[M, batch, latent]`.
4.  `objectives.METHODS` names the objective; it fuses (`fusion`), draws, decodes, and asks `likelihoods` and
5.  `divergences` for the terms that `losses.make_loss` weighs; `importance` does so for importance samples.
6.  `training.Trainer` takes the optimiser's step; `runs` keeps config.json, history.csv, model.safetensors.
7.  `evaluation.evaluate` reads the run back; `inference` gives the posterior of every subset of test items.
8.  `metrics` judges them, probes, coherence, quality, log-likelihoods: metrics.json, written last.
9.  `reports.results` flattens that file into one tidy frame, a row for each number, for all finished runs.
10. `reports.tables` averages over seeds and sets the number beside the paper's (`reports.published`).
"""

from importlib import import_module
from typing import Any

from workbench import _torchvision, threads

__version__ = "0.1.0"

# What scripts begin with, and where it is. It is imported when it is asked for: torch alone takes seconds.
_PLACES = {
    "Config": "workbench.config",
    "MultimodalDataset": "workbench.data",
    "Run": "workbench.runs.run",
    "evaluate": "workbench.evaluation",
    "fit": "workbench.training.loop",
    "modalities_of": "workbench.modality",
    "train_and_evaluate": "workbench.evaluation",
}
__all__ = [*_PLACES]

_torchvision.repair_on_import()
threads.watch()


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
