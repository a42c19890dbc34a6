"""Explorers as their users meet them: notebook 10 in a real JupyterLab and a real Voila, touched by mouse and keys."""

import subprocess
import sys
from pathlib import Path

import browser
import explorer_pages as pages
import nbformat
import psutil
import pytest
from browser import press, until, until_changed
from explorer_pages import absent, captions, judged, pictures, row
from nbformat.v4 import new_code_cell, new_notebook

from workbench import explorers

pytestmark = pytest.mark.slow
APP = Path(__file__).resolve().parents[2] / "notebooks" / "app.ipynb"
SEVEN = ((45, 45), (150, 45), (85, 165))  # corners, in pixels of the canvas
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
MORE = [
    "from workbench import explorers\nexplorers.explore_divergences()",
    "explorers.explore_dial()",
    COUNTER,
    "import sys\nprint('kernel of', sys.executable)",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the explorers of notebook 10 and MORE, and a notebook whose only cell fails."""
    folder = tmp_path_factory.mktemp("notebooks")
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    pages.copy_of_notebook(folder, MORE)
    nbformat.write(
        new_notebook(cells=[new_code_cell("1 / 0")], metadata={"kernelspec": kernel}), folder / "failing.ipynb"
    )
    return folder


@pytest.fixture(scope="module")
def lab(chromium, folder):
    with browser.lab(folder) as server:
        yield server


@pytest.fixture(scope="module")
def in_lab(chromium, lab):
    """JupyterLab after all cells have been run; at the end the page must have had no error."""
    with browser.watched(chromium, **pages.SIZE) as (page, errors):
        browser.open_in_lab(page, lab, pages.NOTEBOOK.name)
        page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
        browser.run_all(page, pages.SECONDS)
        yield page
        assert errors == []


@pytest.fixture(scope="module")
def in_voila(chromium, folder):
    """The page that `make app` serves; at the end it must have had no error."""
    notebook = folder / pages.NOTEBOOK.name
    with browser.voila(notebook) as server, browser.watched(chromium, **pages.SIZE) as (page, errors):
        browser.open_in_voila(page, server, pages.SECONDS)
        yield page
        assert errors == []


@pytest.fixture(params=["in_lab", "in_voila"])
def opened(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def conditional(in_lab):
    return pages.fresh(pages.explorer(in_lab, "conditional"))


def most(digit: int, of: int = 6):
    """Whether most of so many draws are judged to be this digit."""
    return lambda found: len(found) == of and found.count(digit) > of / 2


# Conditional explorer
def test_a_typed_word_decides_what_is_drawn(opened, request):
    explorer = pages.fresh(pages.explorer(opened, "conditional"))
    pages.give(explorer, "T")
    until(absent, explorer, (2).__eq__)
    until(judged, row(explorer, "M"), most(3))
    pages.type_word(explorer, "seven")
    for letter in "MST":
        until(judged, row(explorer, letter), most(7))
    assert explorer.get_by_role("columnheader", name="from T").count() == 6
    pages.photograph(explorer, f"conditional_{request.node.callspec.id}")
    pages.give(explorer, "MT")
    explorer.get_by_role("img", name="handwriting, given").wait_for()
    assert absent(explorer) == 1


def test_styles_and_temperature_follow_keys_and_mouse(conditional):
    handwriting, warmth = row(conditional, "M"), conditional.get_by_role("slider", name="temperature")
    styles = conditional.get_by_role("slider", name="M style")
    seen = [pictures(handwriting)]
    for handle, key in ((styles.nth(1), "ArrowRight"), (warmth, "ArrowLeft")):
        press(handle, key)
        seen.append(until_changed(pictures, handwriting, seen[-1]))
    browser.drag(styles.first, 30)  # the last one: dragging sends several values
    seen.append(until_changed(pictures, handwriting, seen[-1]))
    assert len(set(seen)) == 4
    values = [float(handle.get_attribute("aria-valuetext")) for handle in (styles.first, styles.nth(1), warmth)]
    assert values[0] > 0 and values[1:] == pytest.approx([0.1, 0.95])
    press(warmth, "ArrowRight")  # as it was: `fresh` does not touch the temperature


@pytest.mark.parametrize("word, says", [("cat", "'cat' is no digit"), ("s€ven", "outside the alphabet: '€'")])
def test_a_word_that_is_none_gives_a_message(conditional, word, says):
    pages.give(conditional, "T")
    pages.type_word(conditional, word)
    conditional.get_by_role("alert").filter(has_text=says).wait_for()
    pages.type_word(conditional, "two")
    conditional.get_by_role("alert").wait_for(state="detached")
    assert most(2)(judged(row(conditional, "S")))


def test_a_drawing_by_mouse_and_by_keys(conditional):
    conditional.get_by_role("button", name="drawing", pressed=False).click()
    conditional.get_by_role("button", name="drawing", pressed=True).wait_for()
    pages.give(conditional, "M")
    conditional.get_by_role("alert").filter(has_text="draw a digit").wait_for()
    canvas, given = conditional.locator("canvas"), conditional.get_by_role("img", name="handwriting, given")
    pages.draw(canvas, *SEVEN)
    given.wait_for()
    until(judged, row(conditional, "M"), most(7))
    assert conditional.get_by_role("alert").count() == 0
    pages.photograph(conditional, "conditional_drawn")
    press(canvas, "c")
    given.wait_for(state="detached")
    press(canvas, *["ArrowUp"] * 20, "Space", *["ArrowDown"] * 20)  # from where the mouse has left the pen
    until(judged, row(conditional, "M"), most(1))
    assert given.count() == 1 and browser.text(conditional.get_by_role("status")).startswith("pen down")


def test_another_model_draws_something_else(conditional):
    before = pictures(row(conditional, "S"))
    conditional.get_by_label("model").select_option("MMVAE (MS)")
    until_changed(pictures, row(conditional, "S"), before)
    for letter in "MST":  # a mixture: two draws from each component
        assert conditional.get_by_role("columnheader", name=f"from {letter}").count() == 2
    conditional.get_by_role("button", name="mixture", pressed=True).wait_for()


# The other explorers
def test_the_grid_takes_other_styles_and_random_contents(in_lab):
    grid = pages.explorer(in_lab, "grid")
    pages.photograph(grid, "grid")
    seen = [pictures(grid)]
    for key in ("Enter", "Space"):
        press(grid.get_by_role("button", name="resample styles"), key)
        seen.append(until_changed(pictures, grid, seen[-1]))
    assert len(set(seen)) == 3 and "Given: a test item of each class" in captions(grid)
    grid.get_by_role("button", name="random", exact=True).click()
    grid.locator("caption", has_text="judged as most of its column").wait_for()
    assert captions(grid)[0].startswith("mmJSD") and grid.get_by_role("img").count() == 50
    assert grid.get_by_role("checkbox").first.is_disabled()


def test_points_of_the_map_are_shown_and_chosen_by_mouse(in_lab):
    latent = pages.explorer(in_lab, "latent")
    points, said = latent.locator(".workbench-map > svg .point"), latent.locator(".said")
    pages.photograph(latent, "latent")
    names = []
    for place, keys in ((30, []), (500, ["Shift"])):
        points.nth(place).hover(force=True)  # force: rings and ellipses lie over points and let the mouse through
        names.append(until(browser.text, said, lambda text: text.startswith("digit")))
        latent.locator("caption", has_text=f"pointed at: {names[-1]}").wait_for()
        before = pictures(latent.locator("table").last)
        points.nth(place).click(force=True, modifiers=keys)
        until_changed(pictures, latent.locator("table").last, before)
    latent.locator("caption").get_by_text(f"From A ({names[0]}) to B ({names[1]})", exact=True).wait_for()
    in_lab.mouse.move(0, 0)
    latent.locator("caption").get_by_text(f"A: {names[0]}", exact=True).wait_for()
    assert names[0] != names[1]


def test_points_of_the_map_are_chosen_by_keys(in_lab):
    latent = pages.explorer(in_lab, "latent")
    plot, said = latent.get_by_role("application"), latent.locator(".said")
    chosen = []
    for way, key in (("ArrowRight", "Enter"), ("ArrowDown", "Shift+Enter")):
        before = browser.text(said)
        press(plot, way)
        chosen.append(until_changed(browser.text, said, before))
        assert chosen[-1] in plot.get_attribute("aria-label")
        press(plot, key)
    latent.locator("caption").get_by_text(f"From A ({chosen[0]}) to B ({chosen[1]})", exact=True).wait_for()
    press(plot, "Escape")
    assert browser.text(said).startswith("Hover")


def test_objectives_lose_one_modality_after_the_other(in_lab):
    explorer = pages.explorer(in_lab, "objectives")
    pages.photograph(explorer, "objectives")
    for missing, given in enumerate(("ST", "T", ""), start=1):
        before = pictures(explorer)
        pages.give(explorer, given)
        until_changed(pictures, explorer, before)
        until(absent, explorer, missing.__eq__)
    assert "nothing, so that contents are drawn from p(c)" in captions(explorer)[0]
    assert explorer.get_by_text("all modalities agree in").count() == 3


# The explorer of divergences, and what is no explorer
def expected(explorer, count: int) -> bytes:
    """The picture that belongs to the numbers beside the sliders."""
    numbers = [float(text.replace("−", "-")) for text in explorer.locator(".widget-readout").all_inner_texts()]
    return explorers.to_png(explorers.draw_divergences(numbers[:count], numbers[3 : 3 + count], numbers[6]))


def test_the_picture_follows_mouse_and_keys(opened):
    explorer = pages.explorer(opened, "divergences")
    image = explorer.locator("img.widget-image")
    mean, deviation = (browser.slider(opened, name) for name in ("mean 1", "deviation 2"))
    two = explorer.locator(".widget-toggle-buttons").get_by_role("button", name="2", exact=True)
    seen = [until_changed(browser.picture, image, b"")]
    for touch, count in (
        (lambda: browser.drag(mean.locator(".noUi-handle"), 40), 3),
        (lambda: press(deviation.locator(".noUi-handle"), "ArrowRight"), 3),
        (two.click, 2),
    ):
        touch()
        until_changed(browser.picture, image, seen[-1])
        # a slow machine may show a picture of the way before that of the end
        seen.append(until(browser.picture, image, lambda now, count=count: now == expected(explorer, count)))
    assert float(mean.locator(".widget-readout").inner_text()) > 0 and len(set(seen)) == 4


def test_the_dial_is_turned_by_keys_and_mouse_and_fits_a_narrow_page(opened, request):
    explorer = pages.explorer(opened, "dial")
    image, order = explorer.locator("img.widget-image"), browser.slider(opened, "order a")
    handle = order.locator(".noUi-handle")
    seen = [until_changed(browser.picture, image, b"")]
    for touch, name in (
        (lambda: press(handle, "ArrowRight"), "two agree"),
        (explorer.get_by_role("button", name="all apart").click, "all apart"),
        (lambda: browser.drag(handle, 60), "all apart"),
    ):
        touch()
        seen.append(until_changed(browser.picture, image, seen[-1]))
        at = float(order.locator(".widget-readout").inner_text())
        assert seen[-1] == explorers.to_png(explorers.draw_dial(at, *explorers.EXPERTS[name]))
    assert at > 0.05 and pages.nameless(explorer) == []
    pages.photograph(explorer, f"dial_{request.node.callspec.id}")
    opened.set_viewport_size({"width": 700, "height": 800})
    try:
        image.scroll_into_view_if_needed()
        box = explorer.bounding_box()
        assert image.bounding_box()["x"] + image.bounding_box()["width"] <= 700 and box["height"] < 700
        opened.screenshot(path=browser.SCREENSHOTS / f"dial_narrow_{request.node.callspec.id}.png")
    finally:
        opened.set_viewport_size(pages.SIZE)


def test_an_anywidget_talks_to_its_kernel_which_is_of_this_interpreter(opened):
    button = opened.get_by_role("button", name="twice")
    shown = [browser.content(button)]
    for touch in (button.click, lambda: press(button, "Enter")):
        touch()
        shown.append(until_changed(browser.content, button, shown[-1]))
    assert shown == ["twice 0 is 0", "twice 1 is 2", "twice 2 is 4"]
    assert opened.get_by_text(f"kernel of {sys.executable}").count() == 1


# The page as a whole
@pytest.mark.parametrize("kind", pages.MARKS)
def test_pictures_and_controls_have_names(opened, kind):
    assert pages.nameless(pages.explorer(opened, kind)) == []


def test_voila_shows_the_explorers_without_their_sources_and_every_picture_and_control_has_a_name(in_lab, in_voila):
    source = "explorers.explore_conditional(models)"
    assert source in in_lab.locator(".jp-Notebook").inner_text()
    assert source not in in_voila.content()
    assert in_voila.locator(".workbench-explorer").count() == len(pages.MARKS)
    assert browser.unnamed(in_voila.locator("body")) == []


# The browser and the servers themselves
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
            until_changed(browser.content, page.locator("p"), "still", seconds=0.2)


def count(found) -> int:
    return found.count()


BUSY = "import time\nend = time.monotonic() + 300\nwhile time.monotonic() < end: pass"


def test_the_app_stands_beside_busy_processes_each_explorer_in_a_tab_and_nothing_hangs_over(chromium):
    """Widths of a small window and a wide one: pictures are beside their sliders, or above them."""
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(4)]
    try:
        with browser.voila(APP) as server, browser.watched(chromium, width=1280, height=900) as (page, errors):
            browser.open_in_voila(page, server, 10 * pages.SECONDS)
            tabs = page.locator(".lm-TabBar-tab")
            until(count, tabs, (6).__eq__, 5 * pages.SECONDS)
            for process in busy:
                process.kill()
            for width in (1280, 720, 1900):
                page.set_viewport_size({"width": width, "height": 900})
                for tab in tabs.all():
                    tab.click()
                    explorer = page.locator(".workbench-explorer:visible")
                    until(count, explorer, (1).__eq__)
                    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
                assert browser.barriers(page) == []
                tabs.first.click()
                explorer = pages.explorer(page, "conditional")
                picture = explorer.locator("table").first.bounding_box()
                style = explorer.locator(".widget-slider").last.bounding_box()
                beside = picture["x"] > style["x"] + style["width"] and picture["y"] < style["y"]
                assert beside if width > 1000 else picture["y"] + picture["height"] < style["y"]
                assert picture["y"] < 700, "on one screen with what is given"
            assert errors == []
    finally:
        for process in busy:
            process.kill()
            process.wait()


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
