"""Notebook 10 as its readers meet it: every explorer in a real JupyterLab and Voila, touched by mouse and keys."""

import browser
import explorer_pages as pages
import pytest
from browser import press, until, until_changed
from explorer_pages import absent, captions, judged, pictures, row

pytestmark = pytest.mark.slow
SEVEN = ((45, 45), (150, 45), (85, 165))  # corners, in pixels of the canvas


@pytest.fixture(scope="module")
def in_lab(chromium, tmp_path_factory):
    """JupyterLab after all cells have been run; at the end the page must have had no error."""
    notebook = pages.copy_of_notebook(tmp_path_factory.mktemp("lab"))
    with browser.lab(notebook.parent) as server, browser.watched(chromium, **pages.SIZE) as (page, errors):
        browser.open_in_lab(page, server, notebook.name)
        page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
        browser.run_all(page, pages.SECONDS)
        yield page
        assert errors == []


@pytest.fixture(scope="module")
def in_voila(chromium, tmp_path_factory):
    """The page that `make app` serves; at the end it must have had no error."""
    notebook = pages.copy_of_notebook(tmp_path_factory.mktemp("voila"))
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
    grid.get_by_role("button", name="random, from p(c)").click()
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


# The page as a whole
@pytest.mark.parametrize("kind", pages.MARKS)
def test_pictures_and_controls_have_names(opened, kind):
    assert pages.nameless(pages.explorer(opened, kind)) == []


def test_voila_shows_the_explorers_without_their_sources(in_lab, in_voila):
    source = "explorers.explore_conditional(models)"
    assert source in in_lab.locator(".jp-Notebook").inner_text()
    assert source not in in_voila.content()
    assert in_voila.locator(".workbench-explorer").count() == len(pages.MARKS)
