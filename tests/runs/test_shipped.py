"""Models that come with the project: how they are packed, what that costs, and that they need no download."""

import json

import numpy as np
import pytest
import torch
from helpers import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from workbench import cli, explorers
from workbench.config import Config
from workbench.data.images import DataError
from workbench.explorers import models as rooms
from workbench.explorers.models import shipped_judges
from workbench.metrics.attributes import average_precision
from workbench.runs.run import start
from workbench.runs.shipped import SCALE, models_dir, pack, shipped_model, shipped_runs, unpack
from workbench.studies.faces_edits import content_of, decode_images
from workbench.training.loop import fit

MOST = 8 * 2**20  # bytes that all of them may have


@settings(max_examples=30)
@given(arrays(np.float32, array_shapes(min_dims=1, max_dims=4, max_side=5), elements=st.floats(-1e3, 1e3, width=32)))
def test_packing_moves_no_entry_by_more_than_half_a_step(values):
    tensor = torch.from_numpy(values)
    packed = pack({"w": tensor})
    back = unpack(packed)["w"]
    if tensor.dim() < 2:
        assert torch.equal(back, tensor) and set(packed) == {"w"}
        return
    assert packed["w"].dtype == torch.int8
    steps = packed["w" + SCALE].view(-1, *[1] * (tensor.dim() - 1))
    assert ((back - tensor).abs() <= 0.5001 * steps).all()


def test_a_trained_run_is_shipped_and_read_back(root_with_judges, capsys):
    run = fit(Config.make("quick", steps=3, style_dim=2), progress=False)
    cli.ship([run.folder])
    folder = root_with_judges / "data" / "models" / "mmjsd"
    assert capsys.readouterr().out == f"Written: {folder}\n" and not list(folder.parent.rglob("*.part"))
    (shipped,) = shipped_runs()
    assert shipped.config == run.config and shipped.metrics["coherence"]["dynamic_prior"]
    code = torch.randn(5, 18, generator=seeded())
    made, original = (
        m.generate(code, torch.zeros(3, 5, 2)) for m in (shipped_model(shipped, run.dataset()), run.model)
    )
    assert all((a - b).abs().max() < 0.05 for a, b in zip(made, original, strict=True))
    assert (folder / "weights.safetensors").stat().st_size < 0.3 * (run.folder / "model.safetensors").stat().st_size
    assert [judge.source for judge in shipped_judges("uci-plain-text", run.dataset())] == ["uci", "plain", "text"]
    (explored,) = rooms.explored_models()
    assert explored.shipped and explored.letters == ("M", "S", "T")


def test_runs_of_ones_own_can_be_explored_too(root_with_judges, tmp_path):
    with pytest.raises(ValueError, match=r"no trained run below .* train one with `workbench train`"):
        rooms.explored_models(tmp_path / "nowhere")
    run = fit(Config.make("quick", steps=3), progress=False)
    (explored,) = rooms.explored_models(run.folder.parent)
    assert explored.name == "mmJSD" and not explored.shipped and explored.data.name == run.config.data
    assert "uci-plain-text" in explored.note and "comes with" not in explored.note
    with pytest.raises(ValueError, match="unknown modality 'X': mmJSD has M, S, T"):
        explored.index("X")


@pytest.mark.parametrize("explore", ["conditional", "grid", "latent", "objectives"])
def test_a_missing_run_or_missing_data_is_a_message_in_every_explorer(explore, tiny_root, monkeypatch):
    explore = getattr(explorers, f"explore_{explore}")
    monkeypatch.setenv("WORKBENCH_DATA", str(tiny_root / "nothing"))
    start(Config.make("quick", steps=3, data="mnist-text"), tiny_root / "runs" / "untrained")
    for folder, said in (("nowhere", "no trained run below"), ("runs", "no trained run below"), ("mnist", "missing")):
        if folder == "mnist":
            (tiny_root / "runs").rename(tiny_root / "mnist")
            (tiny_root / "mnist" / "untrained" / "model.safetensors").write_bytes(b"")
        (only,) = explore(tiny_root / folder).children
        assert said in only.value and 'role="alert"' in only.value


def test_what_comes_with_the_project_is_whole_small_and_needs_no_download(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "nothing"))
    files = [path for path in models_dir().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST
    models = rooms.explored_models()
    assert [explored.config.objective for explored in models] == ["mmjsd", "mmvae", "mvae"]
    for explored in models:
        assert explored.model.style_dim == 4 and explored.data.name == "uci-plain-text"
        assert all(judge.accuracy > 0.97 for judge in explored.judges)
        with pytest.raises(DataError):
            next(run for run in shipped_runs() if run.config == explored.config).dataset()


def test_faces_come_with_the_project_too(tmp_path, monkeypatch):
    """A model that draws what a description says, far better than guesses, and judges that know real test items."""
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "nothing"))
    (explored,) = rooms.shipped_models("faces")
    assert explored.shipped and explored.letters == ("I", "T") and explored.data.name == explored.config.data == "faces"
    base = explored.data.labels.double().mean().item()
    assert all(judge.accuracy > 0.85 > 3 * base for judge in explored.judges)
    (run,) = shipped_runs("faces")
    assert min(run.metrics["coherence"]["mixture"][a][b] for a, b in ("IT", "TI")) > 2 * base
    # the number that is kept is that of the weights that are kept
    judge, tokens = explored.judges[0], explored.data.batch(torch.arange(1000), seeded()).values[1]
    content = content_of(explored.model, "T", tokens)
    drawn = decode_images(explored.model, content, torch.randn(1000, explored.model.style_dim, generator=seeded()))
    precision = average_precision(judge.read(drawn), explored.data.labels).nanmean().item()
    assert precision == pytest.approx(run.metrics["coherence"]["mixture"]["I"]["T"], abs=0.03)


def test_eight_bits_cost_no_coherence():
    """Against the reference runs, which were judged with their own weights on all test items."""
    reference = json.loads((models_dir().parents[1] / "outputs" / "reference" / "mnist-plain-text.json").read_text())
    by_key = {run["key"]: run for run in reference["runs"]}
    for run in shipped_runs():
        original = by_key[run.read("config.json")["key"]]["metrics"]["coherence"]
        for fusion, targets in run.metrics["coherence"].items():
            for target, row in targets.items():
                for given_, accuracy in row.items():
                    # 2,000 items: a standard error of at most 0.011
                    assert accuracy == pytest.approx(original[fusion][target][given_], abs=0.04), (
                        fusion,
                        target,
                        given_,
                    )
