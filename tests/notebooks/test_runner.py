"""Notebooks are executed, kept when they fail, and shown as pages that need no network."""

import base64
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import ipywidgets as widgets
import nbformat
import psutil
import pytest
from browser import chromium, watched
from ipywidgets.embed import dependency_state
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workbench.explorers.controls import named
from workbench.notebooks import check_parameters, find, parameters_of
from workbench.notebooks.pages import mathml, static_widget, summary_of, write_pages
from workbench.notebooks.series import run

PARAMETERS = """
preset: str = "quick"  # quick | paper
beta: float = 5.0  # weight of the divergence
steps: int | None = None  # training steps; None: the preset's
verbose = False  # whether to talk
"""
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def _write(folder: Path, name: str, *sources: str, prose: str = "# A title\n\nOne sentence. Another.") -> Path:
    cells = [new_markdown_cell(prose), new_code_cell(PARAMETERS.strip(), metadata={"tags": ["parameters"]})]
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells + [new_code_cell(source) for source in sources]), path)
    return path


def _printed(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.text for c in cells for o in c.get("outputs", []) if o.output_type == "stream")


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Three notebooks, the second of which fails, run with a parameter and an empty home: (results, output folder)."""
    folder = tmp_path_factory.mktemp("series")
    figure = f"import base64, IPython.display as d\nd.display(d.Image(base64.b64decode('{PIXEL}')))"
    paths = [
        _write(folder, "00_first", "import sys\nprint(sys.executable, beta, preset)", figure, prose=PROSE),
        _write(folder, "01_bad", "print('before')", "raise KeyError('lost')", "print('after')"),
        _write(folder, "02_last", "import os\nprint(os.getcwd())"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        (folder / "home").mkdir()
        patch.setenv("HOME", str(folder / "home"))
        results = run(paths, folder / "out", {"beta": 2})
    return results, folder / "out"


PROSE = """# The *first* one: $q_\\phi$

It links to [the last](02_last.ipynb), as Eq. 3 says, e.g. `here`. And more.

$$\\begin{aligned} a &= \\frac{b}{c} \\\\ d &= e \\end{aligned}$$
"""


def test_runs_in_this_interpreter_and_the_callers_folder_with_the_given_parameters(series):
    results, out = series
    assert results[0].error == "" and results[0].seconds > 0
    assert _printed(out / "00_first.ipynb") == f"{sys.executable} 2 quick\n"
    assert _printed(out / "02_last.ipynb") == f"{os.getcwd()}\n"


def test_a_failure_keeps_its_traceback_and_the_others_go_on(series):
    results, out = series
    assert [r.error for r in results] == ["", "01_bad.ipynb failed in cell [4]: KeyError: 'lost'", ""]
    assert _printed(out / "01_bad.ipynb") == "before\n"
    page = (out / "01_bad.html").read_text()
    assert "KeyError" in page and "before" in page
    assert not list(out.glob("*.part")) and not list(out.glob(".*")), "nothing half written is left"


def test_what_ended_well_is_left_as_it_is_until_something_that_it_depends_on_changes(series):
    results, out = series
    paths, parameters, shown = [result.source for result in results], {"beta": 2}, []
    stamps = {path: (out / path.name).stat().st_mtime_ns for path in paths}

    def executed_again(parameters, **options) -> list[str]:
        shown.clear()
        run(paths, out, parameters, lambda states, slots: shown.append(states), again=False, **options)
        changed = [path for path in paths if (out / path.name).stat().st_mtime_ns != stamps[path]]
        stamps.update({path: (out / path.name).stat().st_mtime_ns for path in paths})
        return [path.stem for path in changed]

    assert executed_again(parameters) == ["01_bad"], "what failed is tried again"
    assert [(s.status, s.fresh) for s in shown[-1]] == [("done", False), ("failed", True), ("done", False)]
    (out / "02_last.html").unlink()
    paths = [paths[0], paths[2]]
    assert executed_again(parameters) == [] and [state.status for state in shown[-1]] == ["done", "done"]
    assert (out / "02_last.html").is_file(), "a page that is missing is made"
    paths = paths[:1]
    assert executed_again({"beta": 3}) == ["00_first"]
    paths[0].write_text(paths[0].read_text() + "\n")
    assert executed_again({"beta": 3}) == ["00_first"]


BARS = """
from tqdm.auto import tqdm
import pathlib, time
for _ in tqdm(range(2), desc="drawing", mininterval=0):
    pathlib.Path("drawn").touch()
    while not pathlib.Path("told").exists(): time.sleep(0.02)
"""


def test_a_notebook_waits_for_the_one_that_it_reads_and_a_long_cell_tells_its_progress(tmp_path, monkeypatch):
    first = _write(tmp_path, "05_reads", "import pathlib; print(pathlib.Path('left').read_text())")
    notebook = nbformat.read(first, as_version=4)
    notebook.metadata["workbench"] = {"after": ["06_leaves"]}
    nbformat.write(notebook, first)
    second = _write(tmp_path, "06_leaves", BARS, "pathlib.Path('left').write_text('something')")
    monkeypatch.chdir(tmp_path)
    shown = []

    def show(states, slots) -> None:
        shown.append([(state.status, state.detail) for state in states])
        if (tmp_path / "drawn").exists() and "drawing" in states[1].detail:
            (tmp_path / "told").touch()

    results = run([first, second], tmp_path / "out", show=show, workers=2)
    assert not any(result.error for result in results) and _printed(results[0].executed) == "something\n"
    assert not any(a == b == "running" for (a, _), (b, _) in shown), "it has waited although there was room"
    bars = {detail for _, (_, detail) in shown if "drawing" in detail}
    assert any(re.match(r"cell 2 of 3, drawing: \d+% \d/2 \[", detail) for detail in bars), bars
    assert "html" not in "".join(bars)


def _links(page: Path) -> list[str]:
    return re.findall(r'(?:href|src)="([^"]+)"', page.read_text())


def test_links_of_all_pages_are_relative_and_resolve_without_network_and_script(series):
    _, out = series
    pages = [out / "index.html", *(out / f"{name}.html" for name in ("00_first", "01_bad", "02_last"))]
    assert {"00_first.html", "01_bad.html", "02_last.html"} <= set(_links(pages[0]))
    assert "02_last.html" in _links(pages[1])
    for page in pages:
        outside = [link.partition("#") for link in _links(page) if not link.startswith(("data:image/", "#"))]
        assert outside and all((out / name).is_file() for name, *_ in outside), (page, outside)
        assert all(f'id="{place}"' in (out / name).read_text() for name, _, place in outside if place), (page, outside)
    for page in out.glob("*.html"):
        text = page.read_text()
        assert "<script" not in text and "@import" not in text
        assert set(re.findall(r"https?://[\w./]+", text)) <= {"http://www.w3.org/1998/Math/MathML"}


def test_index_tells_title_sentence_status_parameters_and_picture(series):
    text = (series[1] / "index.html").read_text()
    assert "The <em>first</em> one: <math" in text
    assert "It links to the last, as Eq. 3 says, e.g. <code>here</code>.</p>" in text and "And more" not in text
    assert '<b class="failed">failed</b>' in text and text.count('class="failed"') == 1
    assert "2 of 3 done" in text and "beta = 2" in text
    assert text.count("<img") == 1 and PIXEL in text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"betta": 1.0}, "did you mean 'beta'"),
        ({"beta": "much"}, "parameter 'beta' is of type float"),
        ({"verbose": 1}, "parameter 'verbose' is of type bool"),
        ({"steps": True}, "parameter 'steps' is of type int | None"),
        ({"preset": None}, "parameter 'preset' is of type str"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_starts_and_fitting_ones_accepted(given, said, tmp_path):
    path = _write(tmp_path, "00_first", "print(1)")
    for refuse in (lambda: run([path], tmp_path / "out", given), lambda: check_parameters(path, given)):
        with pytest.raises(ValueError, match=re.escape(said)):
            refuse()
    assert not (tmp_path / "out").exists()
    check_parameters(path, {"beta": 2, "steps": None, "verbose": True, "preset": "paper"})
    check_parameters(path, {"steps": 10})


def test_parameters_of_reads_defaults_types_and_comments(tmp_path):
    assert parameters_of(_write(tmp_path, "00_first")) == {
        "preset": ("quick", "str", "quick | paper"),
        "beta": (5.0, "float", "weight of the divergence"),
        "steps": (None, "int | None", "training steps; None: the preset's"),
        "verbose": (False, "bool", "whether to talk"),
    }


LITERALS = "must only assign literals"


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        *(([source], LITERALS) for source in ("beta = 2 * 3", "a = b = 1", "x[0] = 1", "import os", "beta: float")),
        ([], "has 0 cells tagged 'parameters'"),
    ],
)
def test_a_parameters_cell_of_anything_but_literals_and_none_at_all_are_errors(sources, said, tmp_path):
    cells = [new_code_cell(source, metadata={"tags": ["parameters"]}) for source in sources]
    nbformat.write(new_notebook(cells=cells), tmp_path / "00_odd.ipynb")
    with pytest.raises(ValueError, match=rf"00_odd\.ipynb:? .*{said}"):
        parameters_of(tmp_path / "00_odd.ipynb")


def test_find_selects_by_number_name_and_path(tmp_path):
    for name in ("10_late", "04_training", "00_start", "notes"):
        _write(tmp_path, name)
    found = [p.stem for p in find(folder=tmp_path)]
    assert found == ["00_start", "04_training", "10_late"]
    for name in ("4", "04", "04_training", "04_training.ipynb", str(tmp_path / "04_training.ipynb")):
        assert find([name], tmp_path) == [tmp_path / "04_training.ipynb"]
    assert [p.stem for p in find(["10", "00", "0"], tmp_path)] == ["00_start", "10_late"]
    with pytest.raises(ValueError, match="did you mean '04_training'"):
        find(["04_trainning"], tmp_path)
    with pytest.raises(ValueError, match="no numbered notebooks"):
        find(folder=tmp_path / "empty")


def test_a_kernel_that_dies_is_a_failure_like_others(tmp_path):
    path = _write(tmp_path, "00_dying", "import os\nos._exit(1)")
    (result,) = run([path], tmp_path / "out")
    assert result.error == "00_dying.ipynb failed: Kernel died; exit status 1"
    assert '<b class="failed">' in (tmp_path / "out" / "index.html").read_text()


def _executed(*cells):
    for count, cell in enumerate(cells, start=1):
        cell.execution_count = count
    return new_notebook(cells=list(cells), metadata={"papermill": {"duration": 65.4}})


def test_an_interrupted_notebook_is_shown_as_stopped(tmp_path):
    notebook = _executed(new_code_cell("1"), new_code_cell("2"))
    assert summary_of(tmp_path / "00_a.ipynb", notebook).status == "done"
    notebook.cells[1].execution_count = None
    assert summary_of(tmp_path / "00_a.ipynb", notebook).status == "stopped"


def test_pages_show_the_last_state_of_widgets_and_progress(tmp_path):
    slider, progress = widgets.FloatSlider(0.5, description="style <1>"), widgets.FloatProgress(3.0, max=4.0)
    box = widgets.VBox([slider, progress, widgets.Image(value=base64.b64decode(PIXEL))])
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": box.model_id}, "text/plain": "HBox(...)"}
    cell = new_code_cell("explore()", outputs=[new_output("display_data", view)])
    cell.outputs.append(new_output("stream", name="stderr", text="\r10%\r100% ready\nnext\n"))
    notebook, state = _executed(cell), dependency_state(box)
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    nbformat.write(notebook, tmp_path / "00_widgets.ipynb")
    assert write_pages(tmp_path) == tmp_path / "index.html"
    text = (tmp_path / "00_widgets.html").read_text()
    assert "style &lt;1&gt;: 0.5" in text and '<progress max="4.0" value="3.0">' in text and PIXEL in text
    assert "HBox(" not in text and "10%" not in text.replace("100%", "") and "100% ready\nnext" in text
    assert "1 min 05 s" in (tmp_path / "index.html").read_text()


def test_the_index_asks_a_notebooks_question_and_leads_to_documents(tmp_path):
    notebook = _executed(new_code_cell("1"))
    notebook.metadata["workbench"] = {"question": "Which *means* <are> there?"}
    nbformat.write(notebook, tmp_path / "00_asks.ipynb")
    document = tmp_path / "from" / "trouble.md"
    document.parent.mkdir()
    document.write_text("# Trouble\n\n| see | do |\n| --- | --- |\n| a | [00](00_asks.ipynb), [other](other.md#x) |\n")
    index = write_pages(tmp_path, [document]).read_text()
    assert "<p>Which <em>means</em> <are> there?</p>" in index
    assert '<a href="trouble.html">Trouble</a>' in index
    page = (tmp_path / "trouble.html").read_text()
    assert "<td>a</td>" in page and 'href="00_asks.html"' in page and 'href="other.html#x"' in page
    assert page.count('<a href="index.html">All notebooks</a>') == 2 and "<title>Trouble</title>" in page


@pytest.mark.slow
def test_a_page_leads_to_its_solutions_and_to_a_view_without_code(tmp_path):
    for name in ("00_asks", "01_next"):
        cells = [new_code_cell("secret = 1"), new_code_cell("2", outputs=[new_output("stream", text="seen\n")])]
        nbformat.write(_executed(*cells), tmp_path / f"{name}.ipynb")
    (stored := tmp_path / "stored").mkdir()
    (stored / "dot.png").write_bytes(base64.b64decode(PIXEL))
    told = new_markdown_cell("# Solved\n\nOf [asks](../00_asks.ipynb) and [02](02_other.ipynb). ![dot](dot.png)")
    for name in ("00_asks", "09_absent"):
        nbformat.write(new_notebook(cells=[told]), stored / f"{name}.ipynb")
    index = write_pages(tmp_path, solutions=sorted(stored.glob("*.ipynb")))
    page, solved = tmp_path / "00_asks.html", tmp_path / "solutions" / "00_asks.html"
    assert [*solved.parent.iterdir()] == [solved], "of no notebook that is not there"
    assert "solutions/00_asks.html" in _links(page) and "solutions/00_asks.html" in _links(index)
    assert "solutions/" not in (tmp_path / "01_next.html").read_text()
    assert {"../00_asks.html", "../index.html", "02_other.html"} <= {*_links(solved)} and PIXEL in solved.read_text()
    with chromium() as browser, watched(browser) as (screen, errors):
        screen.goto(page.as_uri())
        assert screen.get_by_text("secret").is_visible() and screen.get_by_text("seen").is_visible()
        screen.get_by_role("link", name="Without code").first.click()
        assert not screen.get_by_text("secret").is_visible() and screen.get_by_text("seen").is_visible()
        screen.get_by_role("link", name="01_next →").first.click()
        assert screen.url.endswith("01_next.html#nocode") and not screen.get_by_text("secret").is_visible()
        screen.get_by_role("link", name="All notebooks").first.click()
        screen.get_by_role("link", name="00_asks", exact=True).click()
        assert screen.url.endswith("00_asks.html#nocode")
        screen.get_by_role("link", name="With code", exact=True).first.click()
        assert screen.get_by_text("secret").is_visible() and not errors


def test_choices_are_shown_by_their_labels_whether_one_or_several():
    one = widgets.Dropdown(options=[("best", 1), ("worst", 2)], value=2, description="model")
    several = widgets.SelectMultiple(options=["M", "S", "T"], value=["M", "T"], description="given")
    none = widgets.SelectMultiple(options=["M"], description="left out")
    box = widgets.VBox([one, several, none])
    html = static_widget(box.model_id, dependency_state(box))
    assert [text for text in re.findall(">([^<>]+)<", html)] == ["model: worst", "given: M, T", "left out: "]


def test_an_image_widget_says_what_the_names_beside_it_say():
    picture = widgets.Image(value=base64.b64decode(PIXEL))
    box = named(widgets.VBox([widgets.HBox([picture])]), "Bars & curves")
    assert '<img alt="Bars &amp; curves" src="data:' in static_widget(box.model_id, dependency_state(box))
    bare = widgets.VBox([picture])
    assert '<img alt="" src="data:' in static_widget(bare.model_id, dependency_state(bare))


def test_formulas_are_mathml_with_their_space_number_and_letters_and_else_tex():
    formula = mathml(r"\begin{aligned} \log p &= x \tag{21} \end{aligned}", "block")
    assert "<mtable" in formula and '<mi>log</mi><mspace width="0.167em" /><mi>p</mi>' in formula
    assert "<mtext>(21)" not in formula and "<mn>21</mn>" in formula
    # letters of other alphabets are characters of their own: browsers ignore MathML's mathvariant but for 'normal'
    formula = mathml(r"\boldsymbol{\mu} \widetilde{\mathcal L} \mathbf{x} \mathcal{N}", "inline")
    for character in "𝝁ℒ𝐱𝒩":
        assert character in formula or f"&#x{ord(character):05X};" in formula, character
    assert "mathvariant" not in formula
    for tex in (r"\left(", r"a^b^c"):
        assert mathml(tex, "inline") == f'<code class="tex inline">{tex}</code>'


def test_html_and_images_inside_markdown_survive(tmp_path):
    """nbconvert's embedding of images closes every tag that stands alone."""
    note = '<span class="big">wide <b>open</b></span>\n\n<details>\n<summary>more</summary>\n\n*inside*\n\n</details>'
    (tmp_path / "dot.png").write_bytes(base64.b64decode(PIXEL))
    cells = [new_markdown_cell(note), new_markdown_cell('![a dot](dot.png)\n\n<img src="dot.png">')]
    papermill = {"input_path": str(tmp_path / "00_html.ipynb")}
    (tmp_path / "out").mkdir()
    nbformat.write(new_notebook(cells=cells, metadata={"papermill": papermill}), tmp_path / "out" / "00_html.ipynb")
    write_pages(tmp_path / "out")
    text = (tmp_path / "out" / "00_html.html").read_text()
    assert '<span class="big">wide <b>open</b></span>' in text
    assert re.search(r"<details>\s*<summary>more</summary>\s*<p><em>inside</em></p>\s*</details>", text)
    assert text.count("data:image/png;base64,") == 2 and 'src="dot.png"' not in text


@pytest.mark.slow
def test_ctrl_c_stops_the_series_at_once_and_the_same_command_goes_on(tmp_path):
    (tmp_path / "notebooks").mkdir()
    _write(tmp_path / "notebooks", "00_short", "import pathlib; pathlib.Path('short').touch(exist_ok=False)")
    _write(tmp_path / "notebooks", "01_long", LONG, prose="# Long\n\nIt waits.")
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # whoever runs the tests
    command = [sys.executable, "-c", f"{listening}; from workbench.cli import main; main()", "run", "--workers", "1"]
    place = dict(cwd=tmp_path, env=os.environ | {"WORKBENCH_ROOT": str(tmp_path)}, text=True)
    started = subprocess.Popen(command, **place, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + 120
    while not (tmp_path / "pid").exists() and started.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    kernel = psutil.Process(int((tmp_path / "pid").read_text()))
    try:
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=60)
    finally:
        started.kill()
    assert "Stopped. The same command goes on from here." in err and started.returncode != 0, (out, err)
    assert "[1/2] done     00_short" in out and not (kernel.is_running() and kernel.status() != psutil.STATUS_ZOMBIE)
    assert not (tmp_path / "outputs" / "quick" / "index.html").exists()
    (tmp_path / "go").touch()
    again = subprocess.run(command, **place, capture_output=True, check=True)
    assert "it was there" in again.stdout and "[2/2] done     01_long" in again.stdout
    assert "2 of 2 done" in (tmp_path / "outputs" / "quick" / "index.html").read_text()


LONG = """
import os, pathlib, time
pathlib.Path("pid.part").write_text(str(os.getpid()))
pathlib.Path("pid.part").rename("pid")
while not pathlib.Path("go").exists(): time.sleep(0.1)
"""
