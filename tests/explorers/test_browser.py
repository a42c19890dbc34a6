"""Explorers as their users meet them: in a real JupyterLab and in a real Voila, touched by mouse and keys."""

import sys
from pathlib import Path

import browser
import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from workbench import explorers

pytestmark = pytest.mark.slow

COUNTER = """
import anywidget, traitlets

class Counter(anywidget.AnyWidget):
    count = traitlets.Int(0).tag(sync=True)
    doubled = traitlets.Int(0).tag(sync=True)
    _esm = '''export default { render({ model, el }) {
        const button = document.createElement("button");
        const show = () => { button.innerHTML = `twice ${model.get("count")} is ${model.get("doubled")}`; };
        button.onclick = () => { model.set("count", model.get("count") + 1); model.save_changes(); };
        model.on("change:doubled", show);
        show();
        el.append(button);
    } }'''

    @traitlets.observe("count")
    def _double(self, change):
        self.doubled = 2 * change.new

Counter()
"""
CELLS = [
    "from workbench import explorers\nexplorers.explore_divergences()",
    COUNTER,
    "import sys\nprint('kernel of', sys.executable)",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a notebook of an explorer, an anywidget and a printed line, and one whose only cell fails."""
    folder = tmp_path_factory.mktemp("notebooks")
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    for name, cells in (("explorer", CELLS), ("failing", ["1 / 0"])):
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel})
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder


@pytest.fixture(scope="module")
def lab(chromium, folder):
    with browser.lab(folder) as server:
        yield server


@pytest.fixture(scope="module")
def lab_page(chromium, lab):
    with browser.watched(chromium) as (page, errors):
        browser.open_in_lab(page, lab, "explorer.ipynb")
        browser.run_all(page)
        yield page, errors


@pytest.fixture(scope="module")
def voila_page(chromium, folder):
    with browser.voila(folder / "explorer.ipynb") as server, browser.watched(chromium) as (page, errors):
        browser.open_in_voila(page, server)
        yield page, errors


@pytest.fixture(params=["lab_page", "voila_page"])
def opened(request):
    """A page on which the notebook has been run, and the list of the page's errors."""
    return request.getfixturevalue(request.param)


def expected(page, count: int) -> bytes:
    """The picture that belongs to the numbers beside the sliders."""
    numbers = [float(text.replace("−", "-")) for text in page.locator(".widget-readout").all_inner_texts()]
    return explorers.to_png(explorers.draw_divergences(numbers[:count], numbers[3 : 3 + count], numbers[6]))


def test_the_picture_follows_mouse_and_keys(opened, request):
    page, errors = opened
    image = page.locator("img.widget-image")
    mean, deviation = (browser.slider(page, name) for name in ("mean 1", "deviation 2"))
    two = page.locator(".widget-toggle-buttons").get_by_role("button", name="2", exact=True)
    seen = [browser.until_changed(browser.picture, image, b"")]
    for touch, count in (
        (lambda: browser.drag(mean.locator(".noUi-handle"), 40), 3),
        (lambda: browser.press(deviation.locator(".noUi-handle"), "ArrowRight"), 3),
        (two.click, 2),
    ):
        touch()
        seen.append(browser.until_changed(browser.picture, image, seen[-1]))
        assert seen[-1] == expected(page, count)
    assert float(mean.locator(".widget-readout").inner_text()) > 0
    browser.screenshot(page, f"explorer_{request.node.callspec.id}")
    assert len(set(seen)) == 4 and errors == []


def test_an_anywidget_talks_to_its_kernel_which_is_of_this_interpreter(opened):
    page, errors = opened
    button = page.get_by_role("button", name="twice")
    shown = [browser.content(button)]
    for touch in (button.click, lambda: browser.press(button, "Enter")):
        touch()
        shown.append(browser.until_changed(browser.content, button, shown[-1]))
    assert shown == ["twice 0 is 0", "twice 1 is 2", "twice 2 is 4"] and errors == []
    assert page.get_by_text(f"kernel of {sys.executable}").count() == 1


def test_voila_hides_sources_which_lab_shows_and_every_picture_and_control_has_a_name(lab_page, voila_page):
    assert "explore_divergences" in lab_page[0].locator(".jp-Notebook").inner_text()
    assert "explore_divergences" not in voila_page[0].content()
    assert browser.unnamed(voila_page[0].locator("body")) == []


@pytest.mark.parametrize(
    "html, count",
    [
        ('<img src="data:,">', 1),
        ('<img alt="two curves" src="data:,"><img alt="" src="data:,">', 0),
        ("<canvas></canvas>", 1),
        ('<canvas aria-label="two curves"></canvas>', 0),
        ("<label>mean</label><input>", 1),
        ('<label for="m">mean</label><input id="m"><label>mean <input></label><input type="hidden">', 0),
        ('<b id="m">mean</b><i tabindex="0" role="slider" aria-labelledby="m">x</i>', 0),
        ('<i tabindex="0" role="slider" aria-labelledby="gone">x</i>', 1),
        ("<button></button><select></select><textarea></textarea>", 3),
        ('<button>draw</button><select title="digit"></select><textarea style="display: none"></textarea>', 0),
    ],
)
def test_what_counts_as_a_name(chromium, html, count):
    with browser.watched(chromium) as (page, _):
        page.set_content(html)
        assert len(browser.unnamed(page.locator("body"))) == count


def test_errors_of_a_page_are_collected_and_what_does_not_change_is_not_waited_for_forever(chromium):
    with browser.watched(chromium) as (page, errors):
        page.set_content("<script>console.error('said'); console.log('fine'); undefined.thrown</script>")
        page.evaluate("0")
        assert len(errors) == 2 and "said" in errors[0] + errors[1] and "thrown" in errors[0] + errors[1]
        page.set_content("<p>still</p>")
        with pytest.raises(AssertionError, match="has not changed as it should"):
            browser.until_changed(browser.content, page.locator("p"), "still", seconds=0.2)


def test_a_failing_cell_is_seen_in_lab(lab, chromium):
    with browser.watched(chromium) as (page, _):
        browser.open_in_lab(page, lab, "failing.ipynb")
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            browser.run_all(page)


def test_a_failing_cell_is_seen_in_voila_and_its_kernel_ends_with_it(folder, chromium):
    with browser.watched(chromium) as (page, _):
        with browser.voila(folder / "failing.ipynb") as server:
            before = set(psutil.Process().children(recursive=True))
            with pytest.raises(AssertionError, match="ZeroDivisionError"):
                browser.open_in_voila(page, server)
            kernels = set(psutil.Process().children(recursive=True)) - before
            kernels = [process for process in kernels if "ipykernel_launcher" in process.cmdline()]
            assert len(kernels) == 1
        assert not kernels[0].is_running() or kernels[0].status() == psutil.STATUS_ZOMBIE


def test_a_server_that_dies_shows_its_log(tmp_path):
    with pytest.raises(RuntimeError, match="No such directory"), browser.lab(tmp_path / "missing"):
        pass
