"""`workbench report` on runs of a user's own data: without labels, with classes, with attributes of any number."""

import numpy as np
import pytest
from own_arrays import N
from own_runs import shell, trained

from workbench.evaluation import evaluate_into
from workbench.reports.results import flatten

LABELS = {"none": None, "classes": ["a", "b"] * (N // 2), "attributes": np.arange(3 * N).reshape(N, 3) % 4 == 0}


def test_attributes_of_any_number_are_named_by_their_places():
    rows = {"linear_probe": {"mixture": {"L": [0.5, None, 0.7]}}}
    found = {number.metric: number.value for number in flatten({"base_rate": [0.1, 0.2, 0.3], "by_attribute": rows})}
    assert found == {f"base_rate.{k}": (k + 1) / 10 for k in range(3)} | {
        "linear_probe.0": 0.5, "linear_probe.1": None, "linear_probe.2": 0.7
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("labels", LABELS)
def test_tables_pages_and_files_are_made(labels, tmp_path, monkeypatch, capsys):
    for seed in (0, 1):
        run, splits = trained(tmp_path / f"run-{seed}", labels=LABELS[labels], seed=seed)
        evaluate_into(run, progress=False, data=splits, samples=2, parts=["latent", "likelihood"])
    if labels != "none":
        evaluate_into(run, progress=False, data=splits, samples=2)
    more = ("--out", tmp_path / "all.json", "--tables", tmp_path / "tables", "--page", tmp_path / "page", "--claims")
    assert not shell(monkeypatch, "report", tmp_path, *more)
    assert f"## {run.config.data}" in capsys.readouterr().out
    found = (tmp_path / "page" / "results.csv").read_text()
    assert run.config.data in found and ("base_rate.2," in found) == (labels == "attributes")
