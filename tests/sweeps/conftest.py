"""What tests of sweeps share: libraries of clusters, which may not be installed."""

import pytest


@pytest.fixture
def distributed():
    return pytest.importorskip("distributed", reason="dask is not installed: pip install -e '.[cluster]'")


@pytest.fixture
def submitit():
    return pytest.importorskip("submitit", reason="submitit is not installed: pip install -e '.[cluster]'")
