"""Checkpoints of a training: everything the next step depends on, as safetensors and a JSON state.

`checkpoint.json` is written last and names the tensors' file, so a kill at any moment leaves the previous checkpoint or
the new one whole. A resumed training takes bit-identical steps to an uninterrupted one.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor, nn

from workbench.networks.shared import again, once
from workbench.paths import replacing


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
    with replacing(path) as temporary:
        safetensors.torch.save_file(once(tensors), temporary)
    with replacing(folder / "checkpoint.json") as temporary:
        temporary.write_text(json.dumps({"step": step, "tensors": path.name, **state}, indent=1) + "\n")
    for old in folder.glob("checkpoint-*.safetensors"):
        if old != path:
            old.unlink()
    return folder / "checkpoint.json"


class Checkpoint(NamedTuple):
    """A checkpoint as it was read: its JSON state, with the steps done, and its tensors by name."""

    state: dict[str, Any]
    tensors: dict[str, Tensor]

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        """Put model and optimiser where they were; returns the states of the generators."""
        model.load_state_dict(again(_below(self.tensors, "model."), model.state_dict()))
        slots: dict[int, dict[str, Tensor]] = {}
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        for name, tensor in _below(self.tensors, "optimizer.").items():
            index, slot = name.split(".", 1)
            weight = weights[int(index)]
            # a fused optimiser walks through memory: its state must lie there as the weight does, e.g. channels last
            laid_out = torch.empty_like(weight).copy_(tensor) if tensor.shape == weight.shape else tensor
            slots.setdefault(int(index), {})[slot] = laid_out
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
        return {name: t for name, t in self.tensors.items() if "." not in name}


def read(folder: Path) -> Checkpoint | None:
    """The last checkpoint, None where there is none."""
    if not (folder / "checkpoint.json").is_file():
        return None
    state = json.loads((folder / "checkpoint.json").read_text())
    return Checkpoint(state, safetensors.torch.load_file(folder / state["tensors"]))


def remove(folder: Path) -> None:
    """Drop the checkpoint of a training that has ended."""
    (folder / "checkpoint.json").unlink(missing_ok=True)
    for path in folder.glob("checkpoint-*.safetensors"):
        path.unlink()


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
