"""Runs of a few steps on a user's arrays, and a shell to take things away from them."""

import sys

import pytest
from own_arrays import KINDS, arrays

from workbench.cli import main
from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.modality import modalities_of
from workbench.training.loop import fit


def trained(folder, raw=None, labels=None, networks=None, **fields):
    """A run on raw arrays (None: one modality of each kind) and its data, training and test split."""
    kinds = KINDS if raw is None else None
    splits = MultimodalDataset.from_arrays(raw or arrays(), labels, name="hospital", kinds=kinds)
    fields = dict(data=splits.train.name, steps=3, batch_size=8, latent_dim=4, device="cpu", compiled="off") | fields
    made = modalities_of(splits.train, networks=networks) if networks else None
    return fit(Config(**fields), folder, data=splits.train, progress=False, modalities=made), splits


def shell(monkeypatch, *words):
    """What the command line ends with: nothing, or one line."""
    monkeypatch.setattr(sys, "argv", ["workbench", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code
