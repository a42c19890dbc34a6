"""From arrays to a trained model and back to arrays: what a researcher with data of their own does."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import seeded
from sklearn.preprocessing import StandardScaler
from torch import nn

import workbench
from workbench import Config, MultimodalDataset, Run, evaluate, fit, modalities_of
from workbench.evaluation import PARTS, evaluate_into
from workbench.likelihoods import LIKELIHOODS, Laplace
from workbench.modality import OWN
from workbench.model import MultimodalVAE
from workbench.networks.general import VectorDecoder, VectorEncoder
from workbench.objectives import METHODS

N = 48


def arrays(n: int = N, seed: int = 0) -> dict:
    """One modality of each kind, every one of them with something missing."""
    rng = np.random.default_rng(seed)
    labs = pd.DataFrame(rng.normal(120.0, 30.0, (n, 3)), columns=["na", "k", "ca"])
    labs.iloc[::3, 1] = np.nan
    labs.iloc[4] = np.nan
    signs = rng.integers(0, 2, (n, 2)).astype(float)
    signs[::4, 0] = np.nan
    visits = rng.poisson(3.0, (n, 2)).astype(float)
    visits[1::4, 1] = np.nan
    sites = pd.DataFrame({"site": ["A", "B", "C", None] * (n // 4), "sex": ["f", "m"] * (n // 2)})
    scans = [None if i % 9 == 5 else scan for i, scan in enumerate(rng.integers(0, 256, (n, 8, 9, 3), dtype=np.uint8))]
    reports = [None if i % 7 == 3 else f"case {i % 5}" for i in range(n)]
    return {"ct": scans, "labs": labs, "signs": signs, "visits": visits, "site": sites, "report": reports}


KINDS = {"signs": "binary", "visits": "counts"}


def data_set(**options):
    return MultimodalDataset.from_arrays(arrays(), **{"name": "hospital", "kinds": KINDS, **options})


def config_of(data: MultimodalDataset, **changes) -> Config:
    fields = dict(data=data.name, steps=3, batch_size=8, latent_dim=4, device="cpu", importance_samples=2)
    return Config(**{**fields, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on one modality of each kind, and its data."""
    splits = data_set(labels=np.arange(N) % 2)
    folder = tmp_path_factory.mktemp("trained") / "run"
    return fit(config_of(splits.train, steps=6, style_dim=1), folder, data=splits.train, progress=False), splits


# ------------------------------------------------------------------------------------------------ a new modality


class Rhythm(nn.Module):
    """A heart's rhythm, read by a convolution."""

    features = 16

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Unflatten(1, (1, 20)), nn.Conv1d(1, 4, 4, stride=4), nn.ReLU(), nn.Flatten())
        self.last = nn.Linear(20, 16)

    def forward(self, x):
        return self.last(self.layers(x.nan_to_num()))


def test_a_new_modality_comes_from_outside(tmp_path):
    """The networks, the data and the training of a modality that the package does not know, in under 15 lines."""

    class Encoder(nn.Sequential):
        features = 16

        def __init__(self):
            super().__init__(nn.Unflatten(1, (1, 20)), nn.Conv1d(1, 4, 4, stride=4), nn.Flatten(), nn.Linear(20, 16))

    class Decoder(nn.Sequential):
        def __init__(self, code_dim):
            super().__init__(
                nn.Linear(code_dim, 20), nn.Unflatten(1, (4, 5)), nn.ConvTranspose1d(4, 1, 4, 4), nn.Flatten()
            )

    train, _ = MultimodalDataset.from_arrays({"rhythm": np.random.rand(64, 20), "age": np.arange(64)}, name="ward")
    modalities = modalities_of(train, networks={"rhythm": (Encoder, Decoder)}, likelihoods={"rhythm": "laplace"})
    run = fit(
        Config.make(data=train.name, steps=20, device="cpu"), tmp_path / "run", train, False, modalities=modalities
    )
    model = Run(tmp_path / "run", networks={"rhythm": (Encoder, Decoder)}).model()
    # ------------------------------------------------------------------------------------------------- up to here
    assert run.trained and model.names == ("rhythm", "age")
    assert isinstance(model.encoders[0], Encoder) and model.modalities[0].likelihood == Laplace()
    given = np.random.default_rng(1).random((5, 20))
    ours, theirs = (m.infer({"rhythm": given}).components.mean for m in (model, run.model()))
    assert torch.equal(ours, theirs), "in the process that trained it, the run knows the networks by itself"
    assert model.original(model.generate(3))["rhythm"].shape == (3, 20)
    with pytest.raises(
        ValueError, match=r"'rhythm' were defined where .*: Run.load\(folder, networks={'rhythm': \(Encod"
    ):
        Run(tmp_path / "run").model()
    lines = inspect.getsource(test_a_new_modality_comes_from_outside).split("    # ---")[0].splitlines()
    assert len([line for line in lines[2:] if line.strip()]) < 15
