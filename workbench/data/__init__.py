"""Sources of data, the pair table over them, and the data set that training and evaluation read."""

from workbench.data.dataset import Batch, MultimodalDataset
from workbench.data.images import DataError, Images
from workbench.data.load import load_dataset
from workbench.data.own.arrays import from_arrays

__all__ = ["Batch", "DataError", "Images", "MultimodalDataset", "from_arrays", "load_dataset"]

# Users find it with the class, which lies below what knows their arrays.
MultimodalDataset.from_arrays = staticmethod(from_arrays)
