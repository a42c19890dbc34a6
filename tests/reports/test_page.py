"""The page of a report: whole, self-contained, true to the runs, its links lead somewhere, on screens of any width."""

import base64
import html
import re
import sys
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from browser import chromium
from made_runs import OTHER, finished, sweep

from workbench.cli import main
from workbench.reports import ablations, claims, report, results, tables
from workbench.reports import page as report_page
from workbench.reports.ablations import BETA
from workbench.reports.ablations_claims import findings

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
MST, ODD = "mnist-svhn-text", "50% <b>&'\" #1"
VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """What a browser would find in a page; asserts that every tag is closed where it should be."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.links, self.images, self.ids, self.open = "", [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []
        self.images += [(found["src"], found["alt"])] if tag == "img" else []
        assert not {name for name in found if name.startswith("on")} and tag != "script"
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Runs of several methods, seeds and settings on two data sets, and the page about them."""
    root = tmp_path_factory.mktemp("root")
    changes = ({}, {"seed": 1}, {"objective": "mmvae"}, {"objective": "mvae", "beta": 2.5}, {"style_dim": 4})
    runs = [finished(root / "runs" / f"run-{i}", shift=i / 50, **change) for i, change in enumerate(changes)]
    runs.append(finished(root / "runs" / ODD, data=MST))
    for name in ("run.ipynb", "run.html", "coherence.png", "generation.png"):
        (runs[0].folder / name).write_bytes(PIXEL)
    report_page.write(runs, root / "out put" / "page")
    return runs, root / "out put" / "page"


@pytest.fixture(scope="module")
def page(written):
    return Page(written[1] / "index.html")


def leads_to(link: str, folder: Path) -> Path:
    """The file that a browser opens for a link in a page of this folder."""
    return folder / urllib.parse.unquote(urllib.parse.urlsplit(link).path)


def test_the_page_stands_alone(written, page):
    runs, folder = written
    assert {path.name for path in folder.iterdir()} == {"index.html", "results.csv"}
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert "http://" not in re.sub(r'xmlns="[^"]*"', "", text) and "https://" not in text and "@import" not in text
    assert len(page.ids) == len(set(page.ids))
    assert all(source.startswith("data:image/") and len(alt) > 20 for source, alt in page.images)
    assert pd.read_csv(folder / "results.csv")["run"].nunique() == len(runs)


def test_every_link_leads_somewhere(written, page):
    folder = written[1]
    inside = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert inside <= {*page.ids} and {"compared", "runs", OTHER, MST} <= inside
    outside = [link for link in page.links if not link.startswith("#")]
    assert all(link.partition("/")[0] in ("..", "results.csv") for link in outside), "relative"
    assert all(leads_to(link, folder).exists() for link in outside)


def test_every_run_is_there_with_its_folder_notebook_and_origin(written, page):
    runs, folder = written
    targets = {leads_to(link, folder).resolve() for link in page.links}
    for run, name in zip(runs, results.names(runs), strict=True):
        assert name in page.text and run.folder.resolve() in targets and (run.folder / "metrics.json") in targets
    assert {runs[0].folder / "run.ipynb", runs[0].folder / "run.html"} <= targets
    assert page.text.count("executed notebook") == 1, "of the one run that has it"
    origin = runs[0].read("config.json")
    assert f"{origin['date']}, at commit {origin['commit']}, on {origin['machine']}" in page.text
    assert "beta 2.5" in page.text and "style_dim 4" in page.text and "learning_rate 0.001" not in page.text
    assert "learning_rate0.001" in page.text, "among what all runs share"


def test_commands_are_shown_as_they_were_typed(tmp_path):
    run = finished(tmp_path / "run")
    command = "workbench train -p 'data=<x> & y'"
    run.write("config.json", run.read("config.json") | {"command": command})
    report_page.write([run], tmp_path / "page")
    text = (tmp_path / "page" / "index.html").read_text()
    assert html.escape(command).replace("&#x27;", "&#39;") in text and "<x>" not in text


def test_what_is_rendered_is_said_of_every_data_set(written):
    text = (written[1] / "index.html").read_text(encoding="utf-8")
    sections = {name: text.partition(f'<section id="{name}">')[2].partition("</section>")[0] for name in (OTHER, MST)}
    told = "It has images in part rendered by this project, NOT real ones."
    assert told in sections[OTHER] and told not in sections[MST]
    assert "None of its images was rendered by this project." in sections[MST] and "SVHN" in sections[MST]


def test_the_tables_are_those_of_the_runs(written, page):
    chosen = [run for run in written[0] if run.config.data == OTHER]
    for table in tables.all_tables(chosen):
        assert table.heading in page.text and table.caption in page.text
        for line in table.lines():
            assert all(cell in page.text for cell in line.heads + line.cells)
    assert "▲ better" in page.text and "▼ 0." in page.text, "verdicts are told by marks, not by colours alone"


def test_the_claims_are_those_of_the_runs(written, page):
    found = claims.findings([run for run in written[0] if run.config.data == OTHER])
    tested = [f for f in found if f.tested]
    assert f"{len(tested)} of {len(found)} claims could be tested on these runs" in page.text
    for f in tested:
        assert all(cell in page.text for cell in f.row())
    lacking = next(f for f in found if not f.tested)
    assert f"{lacking.claim.statement}: {'; '.join(lacking.notes)}" in page.text


def test_pictures_are_embedded_and_told(written, page):
    told = " | ".join(alt for _, alt in page.images)
    assert "claims about accuracies are supported" in told and "log-likelihood in nats, means by method" in told
    assert "Total at the end, in nats per item: mmJSD 1; MMVAE 1" in told
    photos = [source.partition("image/png;base64,")[2] for source, _ in page.images]
    assert [base64.b64decode(photo) for photo in photos if photo] == [PIXEL, PIXEL], "of the first run that has them"


def test_the_same_runs_make_the_same_page(written, tmp_path):
    runs, folder = written
    again = folder.with_name("again")
    report_page.write([*runs, runs[0]], again)
    assert (again / "index.html").read_bytes() == (folder / "index.html").read_bytes()
    assert (again / "results.csv").read_bytes() == (folder / "results.csv").read_bytes()


def test_collected_runs_link_their_file(tmp_path):
    report.write([finished(tmp_path / "a"), finished(tmp_path / "b", seed=1)], tmp_path / "all.json")
    report_page.write(report.read(tmp_path / "all.json"), tmp_path / "page")
    page = Page(tmp_path / "page" / "index.html")
    assert page.links.count("../all.json") == 2 and "Report of 2 runs" in page.text
    assert len(page.images) == 3, "claims about one method, its trade-off, its losses: all of them were collected"


def test_runs_that_lack_sections_have_a_page(tmp_path):
    run = finished(tmp_path / "run", data="uci-speech", metrics=lambda found: {})
    (run.folder / "history.csv").unlink()
    report_page.write([run], tmp_path / "page")
    text = Page(tmp_path / "page" / "index.html").text
    assert "does not know this data set" in text and "evaluate them again with workbench evaluate" in text
    assert "None of the 44 claims could be tested" in text and "Report of 1 run\n" in text


def test_the_runs_of_a_sweep_are_shown_as_curves_with_their_claims(tmp_path):
    runs = sweep(tmp_path / "runs", "beta", (1.0, 5.0, 20.0), seeds=(0, 1))
    report_page.write(runs, tmp_path / "page")
    page = Page(tmp_path / "page" / "index.html")
    told = next(alt for _, alt in page.images if alt.startswith("From the smallest to the largest value of beta"))
    first, last = (ablations.means(ablations.curves(runs, BETA), "Rate")["M"].loc[beta] for beta in (1, 20))
    assert f"Rate, M: {first:.2f} to {last:.2f}" in told
    for found in findings(runs, BETA):
        assert all(cell in page.text for cell in found.row()) and found.tested
    assert "beta-probe" in page.text and "beta 20.0" in page.text


def test_nothing_to_report_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no run to report on: train one with `workbench train`"):
        report_page.write([], tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_the_command_writes_the_page(tmp_path, monkeypatch, capsys):
    finished(tmp_path / "runs" / "a")
    monkeypatch.setattr(sys, "argv", ["workbench", "report", str(tmp_path / "runs"), "--page", str(tmp_path / "page")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert f"Written: {tmp_path / 'page' / 'index.html'}" in capsys.readouterr().out
    assert "Report of 1 run" in (tmp_path / "page" / "index.html").read_text()


OVERFLOW = """() => [...document.querySelectorAll('main *, nav *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 1 && box.right > innerWidth + 1 && !e.closest('.scrolled, thead, .unseen');
}).map(e => e.outerHTML.slice(0, 80))"""
CONTRAST = """() => { const style = getComputedStyle(document.body);
    const light = c => c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255)
        .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
        .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
    return [light(style.color), light(style.backgroundColor)]; }"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.mark.parametrize("width", [1280, 420])
def test_it_fits_the_screen_in_light_and_dark(written, browser, width):
    brightness = {}
    for scheme in ("light", "dark"):
        screen = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        asked = []
        screen.on("request", lambda request, asked=asked: asked.append(request.url))
        screen.goto((written[1] / "index.html").as_uri())
        assert screen.evaluate("document.documentElement.scrollWidth") == width
        assert screen.evaluate(OVERFLOW) == []
        assert screen.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert all(url.startswith(("file:", "data:")) for url in asked)
        ink, paper = screen.evaluate(CONTRAST)
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 7
        brightness[scheme] = paper
        screen.close()
    assert brightness["dark"] < 0.05 < 0.9 < brightness["light"]
