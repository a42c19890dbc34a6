"""A workbench for multimodal generative learning with the Jensen-Shannon divergence."""

from workbench import _torchvision

__version__ = "0.1.0"

_torchvision.repair_on_import()
