"""State dicts as files hold them, and back: tensors that a network has under several names are kept once.

A network may use a layer twice, tie the weights of two layers, or keep a view of a weight as a buffer. safetensors has
no place for memory that two names share. So of names that are one tensor the first is kept, and given to the others
again by the network that the file is read into, which shares them, too; what shares a part of its memory is copied.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from workbench.data.tensors import own_memory


def once(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a state dict for a file: on the CPU, contiguous, each with memory of its own, and once."""
    first = _first_names(state)
    return own_memory({name: tensor for name, tensor in state.items() if first[name] == name})


def again(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file with those names, too, that the network with this state dict has for one of them."""
    first = _first_names(state)
    shared = {name: tensors[one] for name, one in first.items() if name not in tensors and one in tensors}
    return {**tensors, **shared}


def _first_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """For each name the first one of the same tensor: the same memory, read in the same way."""
    seen: dict[tuple, str] = {}
    return {name: seen.setdefault(_place(tensor) or (name,), name) for name, tensor in state.items()}


def _place(tensor: Tensor) -> tuple | None:
    """Where a tensor is, and how it is read; None where it has no memory."""
    if tensor.layout != torch.strided or tensor.is_meta or not tensor.numel():
        return None
    return tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()
