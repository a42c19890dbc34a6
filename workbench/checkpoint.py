"""Checkpoints of a training: everything the next step depends on, as safetensors and a JSON state.

`checkpoint.json` is written last and names the tensors' file, so a kill at any moment leaves the previous checkpoint or
the new one whole. A resumed training takes bit-identical steps to an uninterrupted one.
"""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from workbench.paths import replacing


def save(
    folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator, state: dict
) -> Path:
    """Write a checkpoint of `step` steps done and drop the older ones; returns its JSON file."""
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": t for name, t in slots.items()}
    tensors["generator"] = generator.get_state()
    path = folder / f"checkpoint-{step:07d}.safetensors"
    with replacing(path) as temporary:
        safetensors.torch.save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary)
    with replacing(folder / "checkpoint.json") as temporary:
        temporary.write_text(json.dumps({"step": step, "tensors": path.name, **state}, indent=1) + "\n")
    for old in folder.glob("checkpoint-*.safetensors"):
        if old != path:
            old.unlink()
    return folder / "checkpoint.json"


def load(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> dict[str, Any] | None:
    """Restore the last checkpoint into model, optimiser and generator; returns its state, None where there is none."""
    if not (folder / "checkpoint.json").is_file():
        return None
    state = json.loads((folder / "checkpoint.json").read_text())
    tensors = safetensors.torch.load_file(folder / state["tensors"])
    generator.set_state(tensors["generator"])
    model.load_state_dict(_below(tensors, "model."))
    slots: dict[int, dict[str, Tensor]] = {}
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for name, tensor in _below(tensors, "optimizer.").items():
        index, slot = name.split(".", 1)
        weight = weights[int(index)]
        # a fused optimiser walks through memory: its state must lie there as the weight does, e.g. channels last
        laid_out = torch.empty_like(weight).copy_(tensor) if tensor.shape == weight.shape else tensor
        slots.setdefault(int(index), {})[slot] = laid_out
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    return state


def remove(folder: Path) -> None:
    """Drop the checkpoint of a training that has ended."""
    (folder / "checkpoint.json").unlink(missing_ok=True)
    for path in folder.glob("checkpoint-*.safetensors"):
        path.unlink()


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
