"""Sources of data, the pair table over them, and the data set that training and evaluation read."""

from workbench.data.dataset import Batch, MultimodalDataset
from workbench.data.images import DataError, Images
from workbench.data.sources import load_dataset

__all__ = ["Batch", "DataError", "Images", "MultimodalDataset", "load_dataset"]
