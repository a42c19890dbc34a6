"""What tests of explorers share: the models that come with the project, read once, and a browser."""

import browser
import pytest

from workbench.explorers import ExploredModel, explored_models, generation
from workbench.metrics.samplers import densities


@pytest.fixture(scope="session")
def models() -> list[ExploredModel]:
    """mmJSD, MMVAE and MVAE on digits."""
    return explored_models()


@pytest.fixture(scope="session")
def mmjsd(models) -> ExploredModel:
    return models[0]


@pytest.fixture(scope="module", autouse=True)  # no longer: densities have tests of their own
def few_items():
    """Samplers of these models are fitted to few items in few steps, so that no test waits for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "SHIPPED_ITEMS", 200)
        patch.setattr(densities, "FEWEST_STEPS", 3)
        patch.setattr(densities, "PASSES", 1)
        yield


@pytest.fixture(scope="module")  # no longer: while it is open, no other test can run an event loop
def chromium():
    with browser.chromium() as opened:
        yield opened
