"""Named tensors in safetensors files: the one place that writes and reads weights, checkpoints and caches.

The metadata hold notes, and a checksum of the tensors and the notes; files of older versions have none.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from workbench.errors import DamagedFile
from workbench.files import CHECKSUM, CURE, POINTER, damage, keep, refuse_pointer, write_bytes


class Tensors(NamedTuple):
    """What a file holds: tensors by name, and notes."""

    tensors: dict[str, Tensor]
    note: dict[str, str]


def own_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors on the CPU, contiguous; what shares memory with one before it gets a copy of its own."""
    own: dict[str, Tensor] = {}
    held: set[int] = set()
    for name, tensor in tensors.items():
        copy = tensor.detach().cpu().contiguous()
        memory = copy.untyped_storage().data_ptr()
        own[name] = copy.clone() if memory in held else copy
        held.add(memory)
    return own


def packed(tensors: Mapping[str, Tensor], note: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a file of tensors on any device, notes, and their checksum; what shares memory gets its own."""
    held, note = own_memory(tensors), dict(note or {})
    return safetensors.torch.save(held, note | {CHECKSUM: _digest(held, note)})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, str] | None = None) -> None:
    """Write named tensors and notes, whole or not at all."""
    write_bytes(path, packed(tensors, note))


def read_tensors(path: Path, cure: str = CURE) -> Tensors:
    """Read what `write_tensors` wrote, or an older version.

    Raises DamagedFile on what is no such file, or not what was written; FileNotFoundError where there is none.
    """
    with path.open("rb") as stream, damage(path, cure, safetensors.SafetensorError):  # says what safetensors does not
        refuse_pointer(stream.read(len(POINTER)))
        with safetensors.safe_open(path, "pt") as file:
            names, note = file.keys(), file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in names}
    kept = note.pop(CHECKSUM, None)
    if kept is not None and kept != _digest(tensors, note):
        raise DamagedFile(path, "its content does not match its checksum", cure)
    return Tensors(tensors, note)


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take those whose names begin so, without the beginning."""
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}


def keep_tensors(path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, str] | None = None) -> None:
    """Write a file of a cache where that is possible, as `keep` does."""
    keep(path, packed(tensors, note))


def _digest(tensors: Mapping[str, Tensor], note: Mapping[str, str]) -> str:
    digest = zlib.crc32(repr(sorted(note.items())).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), digest)
        digest = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), digest)
    return f"crc32:{digest:08x}"
