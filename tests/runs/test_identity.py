"""A run belongs to the data that it was trained on: the same command on other files makes another one."""

import gzip
import json
import shutil

import pytest
from source_files import attribute_list, attributes_of, partition_list, photo, picture, write_celeba, write_mnist

from workbench.config import Config
from workbench.data.load import load_dataset
from workbench.data.sources import files_of
from workbench.evaluation import evaluate
from workbench.runs.naming import apart
from workbench.runs.run import Run, is_trained, run_folder, start
from workbench.training.loop import fit

CONFIG = Config(data="mnist-text", repeats=1, batch_size=8, steps=3, latent_dim=4, device="cpu", compiled="off")


@pytest.fixture(autouse=True)
def no_other_data(monkeypatch):
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)


@pytest.fixture
def roots(tmp_path, monkeypatch):
    """Two data roots with other digits, and the configurations that differ in nothing else."""
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    for name, n in (("A", 30), ("B", 40)):
        for split in ("train", "test"):
            write_mnist(tmp_path / name, split, n)
    return [CONFIG.replace(data_root=str(tmp_path / name)) for name in "AB"]


def test_another_data_root_with_other_files_makes_another_run_and_both_are_found_again(roots):
    runs = [fit(config, progress=False) for config in roots]
    weights = [(run.folder / "model.safetensors").read_bytes() for run in runs]
    assert weights[0] != weights[1] and runs[0].folder == run_folder(CONFIG), "the first has the name that runs had"
    assert runs[1].folder.name.startswith(f"{runs[0].folder.name}-")
    for config, run, content in zip(roots, runs, weights, strict=True):
        assert fit(config, progress=False).folder == run_folder(config) == run.folder
        assert (run.folder / "model.safetensors").read_bytes() == content and run.config.data_root == config.data_root
        assert is_trained(run, config)
    assert not is_trained(runs[0], roots[1])
    assert all("mnist train" in note for note in apart(runs)), "their numbers are never averaged"


def test_a_folder_that_was_chosen_refuses_other_data(roots, tmp_path):
    first, other = roots
    run = fit(first, tmp_path / "run", progress=False)
    before = (run.folder / "config.json").read_bytes()
    message = r"run holds a run on other data: mnist train {} is not what it was trained on; choose another folder"
    given = load_dataset(CONFIG.data, "train", other.data_root, repeats=1)
    for config, data, where in ((other, None, "in .*B"), (first, given, "of the data that is given")):
        with pytest.raises(ValueError, match=message.format(where)):
            fit(config, run.folder, data, progress=False)
    assert (run.folder / "config.json").read_bytes() == before


def test_data_that_change_later_are_not_what_a_run_is_evaluated_on(roots, tmp_path):
    run = fit(roots[0], progress=False)
    write_mnist(tmp_path / "A", "test", 50)
    with pytest.raises(ValueError, match="holds a run on other data: mnist test in"):
        evaluate(run, parts=["latent"], progress=False)
    shutil.rmtree(tmp_path / "A")
    assert is_trained(run, roots[0]), "of what is not there nothing is known"


def test_the_same_files_elsewhere_packed_or_newer_are_the_same_data(roots, tmp_path):
    run = fit(roots[0], progress=False)
    shutil.copytree(tmp_path / "A", tmp_path / "C")
    for path in [*(tmp_path / "C").rglob("*-ubyte")]:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    moved = CONFIG.replace(data_root=str(tmp_path / "C"))
    assert fit(moved, progress=False).folder == run.folder == run_folder(moved)


def test_a_run_of_a_version_without_digests_stays_accepted(roots, tmp_path):
    run = fit(roots[0], progress=False)
    stored = run.read("config.json")
    assert stored.pop("files").keys() == {"mnist train", "mnist test"}
    (run.folder / "config.json").write_text(json.dumps(stored))
    assert fit(roots[1], progress=False).folder == run.folder and is_trained(run, roots[1])
    run.dataset()


def test_a_photograph_more_is_other_data_and_what_this_project_draws_has_no_files(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    folder = write_celeba(tmp_path / "data", 12, parts=[0, 2, 0] * 4)
    before = files_of("celeba")
    assert before.keys() == {"celeba photographs"} and files_of("celeba-anywhere") == before
    picture(13).save(photo(folder, 13))
    (folder / "list_attr_celeba.txt").write_bytes(attribute_list(attributes_of(13)).encode())
    (folder / "list_eval_partition.txt").write_bytes(partition_list([0, 2, 0] * 4 + [0]).encode())
    assert files_of("celeba") != before and files_of("celeba", tmp_path / "none") == {}
    assert files_of("uci-plain-text") == files_of("own-12345678") == {}
    run = start(Config(data="uci-text"), tmp_path / "run")
    assert "files" not in run.read("config.json") and Run(run.folder).config.data == "uci-text"
