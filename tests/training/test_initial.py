"""Decoders of tables begin at the means of their columns."""

import numpy as np
import torch

from workbench.config import Config
from workbench.data.own.arrays import from_arrays
from workbench.training.loop import Trainer, fit

CPU = torch.device("cpu")


def tables(items=120):
    """Rare answers, one of them never seen, counts, and measurements; some are missing."""
    dice = np.random.default_rng(0)
    rare = (dice.random((items, 4)) < [0.02, 0.5, 0.97, 0.0]).astype(float)
    rare[:5], rare[7, 1] = np.nan, np.nan
    counts = dice.poisson([0.2, 5.0, 300.0], (items, 3)).astype(float)
    return {"rare": rare, "counts": counts, "sizes": dice.normal(50, 9, (items, 2))}


KINDS = {"rare": "binary", "counts": "counts", "sizes": "vector"}


def test_a_code_of_zero_says_what_the_columns_do():
    arrays = tables()
    data = from_arrays(arrays, split=np.arange(120) >= 100, kinds=KINDS).train
    config = Config.make("quick", data=data.name, device="cpu", validation=0.0)
    model = Trainer(config, data, CPU).model.eval()
    code = torch.zeros(1, config.latent_dim)
    for m, (name, raw) in enumerate(arrays.items()):
        decoder, shown = model.decoders[m], raw[:100]
        at_zero = model.modalities[m].likelihood.mean(decoder(code))[0]
        # what its layers add to their last bias, and the linear map nothing
        hidden = decoder.layers[:-1](code)
        moved = (decoder.layers[-1].weight @ hidden[0]).detach()
        wanted = (np.nansum(shown, 0) + 0.5) / ((~np.isnan(shown)).sum(0) + 1)
        bias = decoder.layers[-1].bias.detach().double().numpy()
        if name == "rare":
            assert np.allclose(1 / (1 + np.exp(-bias)), wanted, rtol=1e-5) and 0 < wanted[3] < 0.01
            assert torch.allclose(at_zero, torch.sigmoid(decoder.layers[-1].bias + moved))
        elif name == "counts":
            assert np.allclose(np.exp(bias), wanted, rtol=1e-5)
        else:
            assert np.abs(bias).max() < 0.1  # as torch begins


def test_what_is_rare_is_predicted_no_worse_than_by_its_mean_after_a_short_training(tmp_path):
    dice = np.random.default_rng(1)
    arrays = {"genes": dice.normal(size=(90, 20)), "rare": (dice.random((90, 60)) < 0.03).astype(float)}
    data = from_arrays(arrays, split=np.arange(90) >= 80, kinds={"genes": "vector", "rare": "binary"}).train
    config = Config.make("quick", data=data.name, device="cpu", steps=40, beta=1.0, latent_dim=4)
    assert fit(config, tmp_path, data, progress=False).ended["unpredicted"]["rare"] < 1.25
