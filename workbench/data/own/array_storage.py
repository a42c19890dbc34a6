"""Items that a user brought as arrays, one modality of them, with the encoding that makes a model's values of them."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.data.images import Images, Labels
from workbench.data.own.encodings import Encoding


@dataclass(frozen=True, eq=False)
class ArrayStorage:
    """All items of one modality. Its column of the pair table holds their places."""

    name: str
    source: str
    stored: Tensor  # as `Encoding.stored` makes it: uint8 images stay uint8
    labels: Labels
    encoding: Encoding

    @property
    def shape(self) -> tuple[int, ...]:
        return self.encoding.shape

    @property
    def gaps(self) -> bool:
        """Whether an item lacks some of its entries; items that lack all of them lack the modality."""
        missing = (self.stored.isnan() if self.stored.is_floating_point() else self.stored < 0).flatten(1)
        return bool((missing.any(1) & ~missing.all(1)).any())

    def gather(self, index: Int[Tensor, "batch"], generator: torch.Generator) -> Tensor:
        """Values in the model's units; nothing is drawn."""
        return self.encoding.read(self.stored[index])

    def unimodal(self) -> Images:
        """Everything as it is stored, and the labels."""
        return Images(self.stored, self.labels)

    def to(self, device: torch.device | str) -> "ArrayStorage":
        return replace(self, stored=self.stored.to(device), labels=self.labels.to(device))
