"""Shared fixtures. Every shape annotation of the package is checked at run time in the tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook("workbench", "beartype.beartype")
# the same examples on every machine, however slow it is
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets that WORKBENCH_DATA names; skips where there is none."""
    root = os.environ.get("WORKBENCH_DATA")
    if not root:
        pytest.skip("WORKBENCH_DATA is not set: no real data to test on")
    return Path(root)


@pytest.fixture
def tiny_root(tmp_path, monkeypatch) -> Path:
    """A project root whose cache holds a few real digits under the names of the sources `uci` and `plain`.

    The 8x8 originals are enlarged without any variation; `plain` shows them tinted. Loading them takes no time.
    """
    import numpy as np
    import torch
    from sklearn.datasets import load_digits

    from workbench.data import rendered, uci
    from workbench.data.images import Images, cached

    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    digits = load_digits()
    pixels = torch.from_numpy(np.kron(digits.images, np.ones((3, 3))) / 16 * 255).to(torch.uint8)[:, None]
    grey, labels = torch.nn.functional.pad(pixels, (2, 2, 2, 2)), torch.from_numpy(digits.target).long()
    colour = torch.nn.functional.pad(grey, (2, 2, 2, 2)).repeat(1, 3, 1, 1) // torch.tensor([1, 2, 4]).view(3, 1, 1)
    for split, rows in (("train", slice(0, 300)), ("test", slice(300, 420))):
        one, other = Images(grey[rows], labels[rows]), Images(colour[rows].to(torch.uint8), labels[rows])
        cached(f"uci-{split}-seed0-{uci.recipe_version()}", lambda images=one: images)
        cached(f"plain-{split}-0-{rendered.recipe_version()}", lambda images=other: images)
    return tmp_path
