"""The page of a report: notebooks/report.ipynb, executed on some finished runs."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.errors import WorkbenchError
from workbench.notebooks.execution import execute, kernel_of_this_interpreter
from workbench.notebooks.pages import write_result
from workbench.paths import project_root
from workbench.reports import results
from workbench.runs.collected import gather


def write(places: Sequence[Path], folder: Path) -> list[Path]:
    """Write FOLDER/index.html and FOLDER/results.csv about the runs in some places, on any data sets.

    Places are folders of runs and files that `workbench report --out` wrote; links lead from FOLDER to them. Returns
    the files. ValueError without runs, WorkbenchError where the notebook fails.
    """
    results.write(gather(places), folder / "results.csv")
    runs = [str(Path(place).resolve()) for place in places]
    with TemporaryDirectory(prefix="workbench-") as scratch, kernel_of_this_interpreter():
        notebook, executed = project_root() / "notebooks" / "report.ipynb", Path(scratch) / "report.ipynb"
        done = execute(notebook, executed, {"runs": runs}, cwd=str(folder))
        if done.error:
            raise WorkbenchError(f"{done.error}: look at it with papermill {notebook} out.ipynb")
        write_result(executed, folder / "index.html")
    return [folder / "index.html", folder / "results.csv"]
