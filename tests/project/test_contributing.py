"""The recipes of CONTRIBUTING.md, executed as they are printed."""

import math
import re
from pathlib import Path

import pytest
import torch

from workbench import evaluation
from workbench.config import Config
from workbench.data import sources
from workbench.metrics import judges, quality
from workbench.modality import NETWORKS
from workbench.networks.classifiers import CLASSIFIERS
from workbench.objectives import METHODS

RECIPE = re.compile(r"<!-- tested: (\w+) -->\n```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def recipes(monkeypatch, tiny_root):
    """Code of the recipes by name; tables that they register in are restored afterwards."""
    text = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text()
    for table in (sources.SOURCES, NETWORKS, CLASSIFIERS, METHODS):
        for key in list(table):  # setting each entry makes monkeypatch restore the table's old content
            monkeypatch.setitem(table, key, table[key])
    before = [(table, set(table)) for table in (sources.SOURCES, NETWORKS, CLASSIFIERS, METHODS)]
    monkeypatch.setattr(judges, "STEPS", 5)
    monkeypatch.setattr(judges, "OTHER_STEPS", {})
    monkeypatch.setattr(quality, "RUNS", 1)
    yield dict(RECIPE.findall(text))
    for table, keys in before:
        for added in set(table) - keys:
            del table[added]


def trained(tmp_path, **changes) -> evaluation.Run:
    config = Config.make("quick", steps=3, batch_size=16, device="cpu", repeats=1, **changes)
    return evaluation.train_and_evaluate(config, tmp_path / "run", progress=False)


def test_every_recipe_is_found(recipes):
    assert set(recipes) == {"modality", "objective", "metric"}


def test_modality(recipes, tmp_path):
    exec(recipes["modality"], {})
    run = trained(tmp_path, data="uci-text-thumbnail")
    assert [m.name for m in run.model.modalities] == ["handwriting", "text", "thumbnail"]
    assert set(run.metrics["classifier_accuracy"]) == {"M", "T", "Th"}
    assert "M,T,Th" in run.metrics["linear_probe"]["dynamic_prior"]
    assert run.metrics["quality"]["features"] == {
        "M": "judge of uci (128 features)",
        "Th": "judge of thumbnail (49 features)",
    }


def test_objective(recipes, tmp_path):
    exec(recipes["objective"], {})
    run = trained(tmp_path, data="uci-text", objective="poe")
    assert math.isfinite(run.history()["total"][-1]) and list(run.metrics["coherence"]) == ["product"]


def test_metric(recipes):
    names: dict = {}
    exec(recipes["metric"], names)
    assert names["vote_entropy"](torch.arange(10)) == pytest.approx(math.log(10))
    assert names["vote_entropy"](torch.zeros(7, dtype=torch.long)) == 0
