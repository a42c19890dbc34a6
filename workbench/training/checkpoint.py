"""Checkpoints of a training: everything the next step depends on, as safetensors and a JSON state.

`checkpoint.json` is written last and names the tensors' file, so a kill at any moment leaves the previous checkpoint or
the new one whole. A resumed training takes bit-identical steps to an uninterrupted one.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from workbench.data.tensors import below, read_tensors, write_tensors
from workbench.files import damage, read_json, write_json
from workbench.networks.shared import again, once

NAME = "checkpoint.json"
NAMES = re.compile(r"checkpoint-\d{7,}\.safetensors")


def save(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generators: dict[str, Tensor],
    state: dict,
) -> Path:
    """Write a checkpoint of `step` steps done, drop the older ones; returns its JSON file. `generators` are states."""
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": t for name, t in slots.items()}
    tensors |= generators  # under names without a dot
    path = folder / f"checkpoint-{step:07d}.safetensors"
    write_tensors(path, once(tensors))
    write_json(folder / NAME, {"step": step, "tensors": path.name, **state}, checked=True)
    for old in folder.glob("checkpoint-*.safetensors"):
        if old != path:
            old.unlink()
    return folder / NAME


class Checkpoint(NamedTuple):
    """A checkpoint as it was read from a folder: its JSON state, with the steps done, and its tensors by name."""

    folder: Path
    state: dict[str, Any]
    tensors: dict[str, Tensor]

    @contextmanager
    def going_on(self, total: int) -> Iterator[int]:
        """Yield the steps done, of `total`; DamagedFile where there are more, or where nothing can go on from them.

        What is asked otherwise than before is Refused inside.
        """
        with damage(self.folder / NAME, _cure(self.folder), RuntimeError):
            if self.state["step"] > total:
                raise ValueError(f"step {self.state['step']} is beyond the last one, {total}")
            yield self.state["step"]

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        """Put model and optimiser where they were; returns the states of the generators."""
        model.load_state_dict(again(below(self.tensors, "model."), model.state_dict()))
        slots: dict[int, dict[str, Tensor]] = {}
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        for name, tensor in below(self.tensors, "optimizer.").items():
            index, slot = name.split(".", 1)
            weight = weights[int(index)]
            # a fused optimiser walks through memory: its state must lie there as the weight does, e.g. channels last
            laid_out = tensor if slot == "step" else torch.empty_like(weight).copy_(tensor)
            slots.setdefault(int(index), {})[slot] = laid_out
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
        return {name: t for name, t in self.tensors.items() if "." not in name}


def read(folder: Path) -> Checkpoint | None:
    """The last checkpoint, None where there is none; DamagedFile where none can be gone on from."""
    if not (folder / NAME).is_file():
        return None
    state = read_json(folder / NAME, _cure(folder), _check)
    with damage(folder / NAME, _cure(folder), FileNotFoundError):
        return Checkpoint(folder, state, read_tensors(folder / state["tensors"], _cure(folder)).tensors)


def _check(state: dict[str, Any]) -> None:
    """Raise what is wrong with the content of a checkpoint.json."""
    step, name = state["step"], state["tensors"]
    if type(step) is not int or step < 0:
        raise ValueError(f"step {step!r} is no number of steps")
    if not isinstance(name, str) or not NAMES.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a checkpoint")


def _cure(folder: Path) -> str:
    return f"remove {folder / NAME}, and the same command trains from the beginning"


def remove(folder: Path) -> None:
    """Drop the checkpoint of a training that has ended."""
    (folder / NAME).unlink(missing_ok=True)
    for path in folder.glob("checkpoint-*.safetensors"):
        path.unlink()
