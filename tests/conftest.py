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
    """A project root whose cache holds a few real digits under the names of the sources `uci` and `plain`."""
    from helpers import fill_cache

    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    fill_cache()
    return tmp_path


@pytest.fixture
def root_with_judges(tiny_root) -> Path:
    """The cache also holds untrained judges, so that an evaluation has nothing to train."""
    from helpers import fill_cache_with_judges

    fill_cache_with_judges("uci-plain-text")
    return tiny_root
