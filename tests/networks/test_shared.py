"""Networks that use a tensor under several names: kept once, and shared again by the network that reads them."""

import pytest
import safetensors.torch
import torch
from helpers import interrupted
from hypothesis import given
from hypothesis import strategies as st
from own_runs import trained
from torch import nn

from workbench.modality import modalities_of
from workbench.networks.shared import again, once
from workbench.runs.run import Run
from workbench.training import loop


class Tied(nn.Module):
    """A layer used twice, a weight of two layers, and buffers that are views of others."""

    features = 8

    def __init__(self) -> None:
        super().__init__()
        self.first, self.block = nn.Linear(3, 8), nn.Linear(8, 8)
        self.again, self.tied = self.block, nn.Linear(8, 8)
        self.tied.weight = self.block.weight
        self.register_buffer("row", self.first.weight.detach()[0])
        self.register_buffer("turned", self.first.weight.detach().T)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x.nan_to_num()).tanh()
        return self.tied(self.again(self.block(x)))


class Decoder(nn.Module):
    def __init__(self, code_dim: int) -> None:
        super().__init__()
        self.one = nn.Linear(code_dim, 6)
        self.other = self.one

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        return (self.one(code) + self.other(code)).unflatten(1, (2, 3))


def test_shared_tensors_are_kept_once_and_views_are_copied():
    network, fresh = Tied(), Tied()
    kept = safetensors.torch.load(safetensors.torch.save(once(network.state_dict())))
    assert {*network.state_dict()} - {*kept} == {"again.weight", "again.bias", "tied.weight"}
    fresh.load_state_dict(again(kept, fresh.state_dict()))
    assert fresh.tied.weight is fresh.block.weight and fresh.again is fresh.block
    assert all(torch.equal(one, network.state_dict()[name]) for name, one in fresh.state_dict().items())


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["whole", "row", "turned", "empty", "copy"])), max_size=8))
def test_any_mixture_of_views_goes_there_and_back(entries):
    bases = [torch.arange(6.0).view(2, 3) + 10 * n for n in range(4)]
    views = {"whole": lambda x: x, "row": lambda x: x[1], "turned": lambda x: x.T, "empty": lambda x: x[:0]}
    views["copy"] = torch.clone
    state = {f"{n}": views[how](bases[base]) for n, (base, how) in enumerate(entries)}
    kept = safetensors.torch.load(safetensors.torch.save(once(state)))
    back = again(kept, state)
    assert back.keys() == state.keys() and all(torch.equal(back[name], state[name]) for name in state)


def test_a_training_with_shared_layers_ends_goes_on_and_is_read_again(tmp_path, monkeypatch):
    labs = {"labs": torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).numpy()}
    own = {"labs": (Tied, Decoder)}
    fields = dict(steps=6, checkpoint_every=2, snapshot_every=2)
    run, splits = trained(tmp_path / "run", labs, networks=own, **fields)
    model = Run.load(run.folder, own).model
    assert model.encoders[0].tied.weight is model.encoders[0].block.weight
    assert [*run.snapshots()] == [2, 4, 6]
    made = modalities_of(splits.train, networks=own)
    monkeypatch.setattr(loop, "modalities_of", lambda *arguments: made)
    folder = interrupted(3, run.config, tmp_path / "stopped", splits.train)
    loop.fit(run.config, folder, splits.train, progress=False)
    for name in ("model.safetensors", "history.csv", "snapshots/0000004.safetensors"):
        assert (folder / name).read_bytes() == (run.folder / name).read_bytes(), name


class Extra(Tied):
    def get_extra_state(self) -> dict:
        return {"seen": 3}


class Sparse(Tied):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("graph", torch.eye(3).to_sparse())


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (Extra, "encoder of 'labs' keeps '_extra_state', a dict, which no file of tensors can hold"),
        (Sparse, "encoder of 'labs' cannot be kept in a file and read back: "),
    ],
)
def test_what_could_not_be_kept_is_refused_before_training(encoder, message, tmp_path):
    labs = {"labs": torch.randn(40, 3).numpy()}
    with pytest.raises(ValueError, match=message):
        trained(tmp_path / "run", labs, networks={"labs": (encoder, Decoder)})
    assert not (tmp_path / "run").exists()
