"""A notebook's parameters as a configuration: presets, refusals, and the training notebook's full list."""

import subprocess
import sys

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from papermill.exceptions import PapermillExecutionError

from workbench.config import Config, field_names
from workbench.fusion import dynamic_prior
from workbench.notebooks import config_from, parameters_of
from workbench.notebooks.execution import kernel_of_this_interpreter
from workbench.notebooks.parameters import injected_names
from workbench.paths import project_root

LIBRARIES = "{'papermill', 'nbconvert', 'nbformat'}"


def test_none_takes_the_preset_and_functions_that_bear_a_fields_name_are_no_parameters():
    config = config_from({"preset": "paper", "beta": None, "style_dim": 4, "other": 3})
    assert config == Config.make("paper", style_dim=4)
    assert config_from({"dynamic_prior": dynamic_prior, "steps": 7}) == Config.make("quick", steps=7)
    assert config_from({"dynamic_prior": "none"}).dynamic_prior == "none"


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("# Parameters\nbeta = 2\nsteps = 10\n", ["beta", "steps"]),
        ("beta = 2\n", []),
        ("# Parameters\n", []),
        ("# Parameters\nfolder = [1, 2]\nx: int = 3", ["folder"]),
    ],
)
def test_injected_names(cell, names):
    assert injected_names(["", cell, "import os"]) == names


def test_unknown_injected_name_is_refused_with_a_hint():
    with pytest.raises(ValueError, match="unknown parameter 'objectiv': did you mean 'objective'"):
        config_from({"In": ["", "# Parameters\nobjectiv = 'mmvae'"], "objectiv": "mmvae"})
    assert config_from({"In": ["", "# Parameters\nrun_folder = 'x'"]}, also=["run_folder"]) == Config.make("quick")


def test_a_configuration_needs_no_notebook_library():
    show = "import sys, workbench.notebooks as n; n.config_from({}); print(LIBRARIES & {*sys.modules})"
    done = [sys.executable, "-c", show.replace("LIBRARIES", LIBRARIES)]
    assert subprocess.run(done, capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.slow
def test_plain_papermill_refuses_an_unknown_parameter(tmp_path):
    """papermill itself only warns; the notebook's own first line must stop it. It imports no notebook library."""
    show = f"import sys\nprint(config_from(globals()).beta, {LIBRARIES} & {{*sys.modules}})"
    cells = [
        new_code_cell("beta: float | None = None  # weight", metadata={"tags": ["parameters"]}),
        new_code_cell(f"from workbench.notebooks import config_from\n{show}", metadata={"tags": []}),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), source)
    with kernel_of_this_interpreter():
        done = papermill.execute_notebook(source, target, {"beta": 2.5}, progress_bar=False)
        assert done.cells[-1].outputs[0].text == "2.5 set()\n"
        with pytest.raises(PapermillExecutionError, match="unknown parameter 'betta': did you mean 'beta'"):
            papermill.execute_notebook(source, target, {"betta": 2.5}, progress_bar=False)


def test_training_notebook_has_every_field():
    declared = parameters_of(project_root() / "notebooks" / "04_training.ipynb")
    assert list(declared) == [*field_names(), "run_folder", "parts", "limit"]
