"""Shared fixtures. Every shape annotation of the package is checked at run time in the tests."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("workbench", "beartype.beartype")


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets that WORKBENCH_DATA names; skips where there is none."""
    root = os.environ.get("WORKBENCH_DATA")
    if not root:
        pytest.skip("WORKBENCH_DATA is not set: no real data to test on")
    return Path(root)
