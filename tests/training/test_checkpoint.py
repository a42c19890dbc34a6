"""What a checkpoint leaves in its folder, whatever happens to the next one."""

import os
from pathlib import Path

import torch
from torch import nn

from workbench.training import checkpoint


def save(folder: Path, step: int) -> None:
    torch.manual_seed(step)
    model = nn.Linear(2, 1)
    checkpoint.save(folder, step, model, torch.optim.Adam(model.parameters()), {"noise": torch.ones(1)}, {"of": step})


def test_the_next_checkpoint_takes_the_place_of_the_last_whole_and_leaves_nothing_of_it(tmp_path):
    """A second name of the file shows whether it was written in place: a kill in between would leave half of it."""
    save(tmp_path, 1)
    os.link(tmp_path / checkpoint.NAME, tmp_path / "held")
    before = (tmp_path / "held").read_bytes()
    for step in (2, 30):
        save(tmp_path, step)
        found = checkpoint.read(tmp_path)
        assert found.state["step"] == found.state["of"] == step
        assert {path.name for path in tmp_path.iterdir()} == {
            checkpoint.NAME,
            f"checkpoint-{step:07d}.safetensors",
            "held",
        }
    assert (tmp_path / "held").read_bytes() == before
    checkpoint.remove(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["held"]
