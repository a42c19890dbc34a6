"""A notebook's parameters as a configuration: presets, refusals, and the training notebook's full list."""

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from workbench.config import Config, field_names
from workbench.notebooks import parameters_of
from workbench.notebooks.configuration import injected_names
from workbench.notebooks import config_from
from workbench.notebooks.execution import kernel_of_this_interpreter
from workbench.paths import project_root


def test_none_takes_the_preset():
    config = config_from({"preset": "paper", "beta": None, "style_dim": 4, "other": 3})
    assert config == Config.make("paper", style_dim=4)


def test_functions_that_bear_a_fields_name_are_no_parameters():
    from workbench.fusion import dynamic_prior

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


def test_plain_papermill_refuses_an_unknown_parameter(tmp_path):
    """papermill itself only warns; the notebook's own first line must stop it."""
    cells = [
        nbformat.v4.new_code_cell("beta: float | None = None  # weight", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            "from workbench.notebooks.configuration import config_from\nprint(config_from(globals()).beta)",
            metadata={"tags": []},
        ),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "in.ipynb")
    with kernel_of_this_interpreter():
        done = papermill.execute_notebook(
            tmp_path / "in.ipynb", tmp_path / "out.ipynb", {"beta": 2.5}, progress_bar=False
        )
        assert done.cells[-1].outputs[0].text == "2.5\n"
        with pytest.raises(PapermillExecutionError, match="unknown parameter 'betta': did you mean 'beta'"):
            papermill.execute_notebook(
                tmp_path / "in.ipynb", tmp_path / "out.ipynb", {"betta": 2.5}, progress_bar=False
            )


def test_training_notebook_has_every_field():
    declared = parameters_of(project_root() / "notebooks" / "04_training.ipynb")
    assert list(declared) == [*field_names(), "run_folder", "parts", "limit"]
