"""What tests of explorers share: the models that come with the project, read once, and a browser."""

import browser
import pytest

from workbench.explorers import ExploredModel, explored_models


@pytest.fixture(scope="session")
def models() -> list[ExploredModel]:
    """mmJSD, MMVAE and MVAE on digits."""
    return explored_models()


@pytest.fixture(scope="session")
def mmjsd(models) -> ExploredModel:
    return models[0]


@pytest.fixture(scope="module")  # no longer: while it is open, no other test can run an event loop
def chromium():
    with browser.chromium() as opened:
        yield opened
