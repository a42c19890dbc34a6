"""Run folders may be somebody else's: what they name is imported at the user's word alone, and must be networks."""

import json
import sys

import pytest
from own_runs import shell, trained
from torch import nn

from workbench.runs.run import Run

PLANTED = """
from pathlib import Path
from torch import nn

Path(__file__).with_name("executed").touch()

class Encoder(nn.Linear):
    features = 4
    def __init__(self):
        super().__init__(3, 4)

class Thing:
    features = 4

def decoder(code_dim):
    return nn.Linear(code_dim, 3)

def text(code_dim=0):
    return "no network"
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return trained(tmp_path_factory.mktemp("runs") / "run")[0]


@pytest.fixture
def naming(run, tmp_path, monkeypatch):
    """The run, and how to let its first modality's encoder and decoder be what these paths name."""
    (tmp_path / "planted.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "planted", raising=False)
    monkeypatch.chdir(tmp_path)
    kept = run.read("modalities.json")

    def change(*names: str) -> Run:
        entries = kept["modalities"]
        (run.folder / "modalities.json").write_text(
            json.dumps(kept | {"modalities": [entries[0] | {"networks": [*names]}, *entries[1:]]})
        )
        return run

    yield change
    (run.folder / "modalities.json").write_text(json.dumps(kept))


ATTACKS = ("planted:Encoder", "os:abort", "workbench.paths:os.abort", "workbench.__main__:main", "subprocess:run")


@pytest.mark.parametrize("path", ATTACKS)
def test_nothing_outside_the_package_is_imported_or_called_without_the_users_word(path, naming, tmp_path):
    run = naming(path, path)
    for read in (lambda: Run.load(run.folder), lambda: Run(run.folder).model):
        with pytest.raises(ValueError, match=r"is not of this package, .*Run\.load\(folder, trust=True\), or --trust"):
            read()
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "path", ["os:abort", "planted:Thing", "builtins:print", "os:environ", "workbench.networks.general:math.prod"]
)
def test_with_trust_it_still_must_be_networks(path, naming):
    run = naming(path, path)
    with pytest.raises(ValueError, match=r"is no class of torch\.nn\.Module|is not of this package") as error:
        Run.load(run.folder, trust=True)
    assert path in str(error.value)


def test_classes_and_functions_that_make_networks_are_imported_with_trust(naming, tmp_path):
    ct, *_ = Run.load(naming("planted:Encoder", "planted:decoder").folder, trust=True).modalities
    assert (tmp_path / "executed").exists() and isinstance(ct.make_decoder(5), nn.Linear)
    run = Run.load(naming("planted:Encoder", "planted:text").folder, trust=True)
    with pytest.raises(ValueError, match=r"planted:text made a str, which is no torch\.nn\.Module"):
        _ = run.model


def test_networks_of_the_package_need_no_word(naming):
    ct, *_ = Run.load(naming(*["workbench.networks.general:VectorDecoder"] * 2).folder).modalities
    assert ct.make_decoder.__name__ == "VectorDecoder"
    with pytest.raises(ValueError, match=r"general:nn\.Linear, a network of 'ct', is no class of torch\.nn\.Module"):
        Run.load(naming(*["workbench.networks.general:nn.Linear"] * 2).folder)


@pytest.mark.parametrize("command", ["evaluate", "export", "latents"])
def test_the_shell_asks_for_the_word_too(command, naming, monkeypatch, tmp_path):
    folder = naming("planted:Encoder", "planted:decoder").folder
    out = () if command == "evaluate" else ("--out", tmp_path / "out.csv")
    assert "--trust" in shell(monkeypatch, command, folder, *out) or command == "evaluate"
    assert not (tmp_path / "executed").exists()
    assert "is not of this package" not in str(shell(monkeypatch, command, folder, *out, "--trust"))
