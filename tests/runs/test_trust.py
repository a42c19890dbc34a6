"""Run folders may be somebody else's: what they name is imported at the user's word alone, and must be networks."""

import ast
import json
import shutil
import sys

import pytest
from helpers import marked
from own_runs import shell, trained
from torch import nn
from typer.main import get_command

from workbench.cli import app
from workbench.config import Config
from workbench.explorers import explored_models
from workbench.runs.run import Run, start
from workbench.runs.versions import PACKAGE
from workbench.training.loop import fit

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


NOT_OURS = "is not of this package, and importing it runs its code"
# Commands that read runs, what is typed for them beside the folder, and how they refuse one with foreign networks.
READERS = {
    "evaluate": ((), NOT_OURS), "export": (("--out", "out"), NOT_OURS), "latents": (("--out", "out.csv"), NOT_OURS),
    "bench": (("--limit", "9", "--rounds", "1", "--evaluation"), NOT_OURS),
    "ship": ((), "has networks of 'text' that are not those of the package"), "report": ((), "no complete run below"),
    "ls": ((), "trained"), "watch": ((), "trained"),  # which look at files alone
}  # fmt: skip


def test_every_command_that_takes_run_folders_is_walked_below():
    told = {**get_command(app).commands, **get_command(app).commands["data"].commands}
    takes = {
        name
        for name, command in told.items()
        for option in command.params
        if option.name in ("folder", "folders", "run", "evaluation")
    }
    assert takes == {*READERS}


@pytest.fixture
def foreign(tiny_root, naming):
    """A run on data of the package whose last network is one that is planted."""
    run = fit(Config(data="uci-text", repeats=2, batch_size=8, steps=3, device="cpu", compiled="off"), progress=False)
    kept = run.read("modalities.json")
    kept["modalities"][1]["networks"] = ["planted:Encoder", "planted:decoder"]
    run.write("modalities.json", kept)
    return run.folder


@pytest.mark.parametrize("command", [marked(x, x in ("bench", "ship")) for x in READERS])
def test_no_command_imports_a_runs_networks_without_the_users_word(command, foreign, monkeypatch, tmp_path, capsys):
    words, refusal = READERS[command]
    ended = str(shell(monkeypatch, command, *([*words, foreign] if command == "bench" else [foreign, *words])))
    assert not (tmp_path / "executed").exists() and "\n" not in ended
    assert refusal in ended + "".join(capsys.readouterr())


@pytest.mark.slow
def test_explorers_take_the_users_word_too(foreign, tmp_path):
    with pytest.raises(ValueError, match=NOT_OURS):
        explored_models(foreign)
    assert not (tmp_path / "executed").exists()
    with pytest.raises(ValueError, match="weights of other networks"):
        explored_models(foreign, trust=True)
    assert (tmp_path / "executed").exists()


def test_every_call_that_finds_trained_runs_passes_the_users_word_on():
    """Or finds them for numbers alone, which need no networks; what cannot be shipped is refused without loading."""
    without = set()
    for path in PACKAGE.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            for call in calls if isinstance(function, ast.FunctionDef) else ():
                named, words = ast.unparse(call.func), {word.arg for word in call.keywords}
                loads = named == "Run.load" or (named == "find_runs" and "evaluated" in words)
                if loads and "trust" not in words:
                    without.add((path.name, function.name))
    assert without == {("cli.py", "ship")}


def test_a_run_that_refuses_does_not_keep_others_from_being_evaluated(run, naming, tmp_path, monkeypatch, capsys):
    (bad := tmp_path / "runs" / "bad").parent.mkdir()
    shutil.copytree(naming("planted:Encoder", "planted:decoder").folder, bad)
    good = start(Config(data="uci-text", steps=3), tmp_path / "runs" / "good")
    evaluated = []
    (good.folder / "model.safetensors").touch()
    monkeypatch.setattr("workbench.evaluation.evaluate_into", lambda run, **_: evaluated.append(run.modalities))
    assert "1 of 2 runs could not be evaluated" in shell(monkeypatch, "evaluate", tmp_path / "runs")
    assert len(evaluated) == 1 and "passed over: " in (said := capsys.readouterr().err) and "bad/modalities" in said
