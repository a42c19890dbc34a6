"""The page of a report: whole, self-contained, true to the runs, its links lead somewhere, on screens of any width."""

import base64
import html
import re
import shutil
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from browser import barriers, chromium
from made_runs import OTHER, finished, on_faces, several, sweep
from own_runs import shell

from workbench.notebooks import report
from workbench.reports import ablations, claims, results, sweep_figures, tables
from workbench.reports.ablations import BETA
from workbench.reports.ablations_claims import findings
from workbench.runs import collected

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
MST, ODD, COMMAND = "mnist-svhn-text", "50% <b>&'\" #1", "workbench train -p 'data=<x> & y'"
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

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Runs of several methods, seeds, settings and kinds of labels on four data sets, and the page about them."""
    root = tmp_path_factory.mktemp("root")
    changes = ({}, {"seed": 1}, {"objective": "mmvae"}, {"objective": "mvae", "beta": 2.5}, {"style_dim": 4})
    runs = several(root / "runs", *({"shift": i / 50} | change for i, change in enumerate(changes)))
    runs.append(finished(root / "runs" / ODD, data=MST))
    runs[0].write("config.json", runs[0].read("config.json") | {"command": COMMAND})
    for name in ("run.ipynb", "run.html"):
        (runs[0].folder / name).write_text("{}")
    for name in ("coherence.png", "generation.png"):
        (runs[0].folder / name).write_bytes(PIXEL)
    runs += [on_faces(root / "runs" / f"{name}-faces", name) for name in ("mmjsd", "mmvae", "mvae")]
    runs.append(finished(root / "runs" / "without", data="uci-speech", metrics=lambda found: {}))
    (runs[-1].folder / "history.csv").unlink()
    report.write([root / "runs"], root / "out put" / "page")
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
    assert all(html.escape(words, quote=False) in text for words in (COMMAND, ODD)), "as they were typed"
    assert "<x>" not in text and ODD not in text
    assert "http://" not in re.sub(r'xmlns="[^"]*"', "", text) and "https://" not in text and "@import" not in text
    assert len(page.ids) == len(set(page.ids))
    assert all(source.startswith("data:image/") and len(alt) > 20 for source, alt in page.images)
    assert pd.read_csv(folder / "results.csv")["run"].nunique() == len(runs) - 1, "one without numbers"


def test_every_link_leads_somewhere(written, page):
    folder = written[1]
    inside = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert inside == {"Tables", "Claims", "Figures", "Runs"} <= {*page.ids}
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
    assert "beta 2.5" in page.text and "style_dim 4" in page.text
    assert page.text.count("learning_rate 0.001") == 1, "among what all runs share"


def test_what_is_rendered_is_said_of_every_data_set_and_runs_that_lack_sections_are_there(page):
    lines = {name: line for name in (OTHER, MST) for line in page.text.splitlines() if line.startswith(f"{name}: real")}
    told = "It has images in part rendered by this project, NOT real ones."
    assert told in lines[OTHER] and told not in lines[MST]
    assert "None of its images was rendered by this project." in lines[MST] and "SVHN" in lines[MST]
    assert "uci-speech: this version of the workbench does not know this data set" in page.text
    assert "uci-speech: nothing that a table shows: evaluate these runs again with `workbench evaluate`" in page.text
    assert "uci-speech: 0 of 44 claims could be tested" in page.text and "Runs: 10. Methods: MMVAE, " in page.text


def test_the_tables_and_claims_are_those_of_the_runs(written, page):
    chosen = [run for run in written[0] if run.config.data == OTHER]
    for table in tables.all_tables(chosen):
        assert table.spec.heading in page.text and table.caption in page.text
        for line in table.lines():
            assert all(cell in page.text for cell in line.heads + line.cells)
    assert "▲ better" in page.text and "▼ 0." in page.text, "verdicts are told by marks, not by colours alone"
    found = claims.findings(chosen)
    tested = [f for f in found if f.tested]
    assert f"{len(tested)} of {len(found)} claims could be tested on these runs" in page.text
    for f in tested:
        assert all(cell in page.text for cell in f.row())
    lacking = next(f for f in found if not f.tested)
    assert f"{lacking.claim.statement}: {'; '.join(lacking.notes)}" in page.text


def test_pictures_are_embedded_and_told(written, page):
    told = " | ".join(alt for _, alt in page.images)
    assert re.search(
        r"Differences in accuracy\. mnist-plain-text: \d+ undecided.*; from -?\+?[\d.-]+ of [a-z-]+ to", told
    )
    assert re.search(r"Coherence and nats, means over seeds\. [\w-]+: mmJSD[^;]* [\d.]+ and -?\d+", told)
    assert "Total at the end, in nats per item: mmJSD 1; MMVAE 1" in told
    photos = [base64.b64decode(source.partition("image/png;base64,")[2]) for source, _ in page.images]
    assert photos.index(PIXEL) == len(photos) - 2 and photos[-1] == PIXEL, "of the first run that has them"
    told = [alt for _, alt in page.images if alt.startswith("Bars of each attribute")]
    assert len(told) == 2 and "differences are those of bimodal CelebA" in page.text
    assert "Linear probes on 256 items (as Figure 8)" in page.text and "Generated samples (as Figure 9)" in page.text
    assert "mmJSD (MS), I,T: " in told[0] and "mmJSD (MS), T → I: " in told[1], "means by subset or path"


@pytest.mark.slow
def test_the_command_makes_the_same_page_of_the_same_runs(written, monkeypatch, capsys):
    runs, folder = written
    again = folder.with_name("again")
    places = runs[0].folder.parent, runs[0].folder  # one is given twice: it counts once
    assert not shell(monkeypatch, "report", *places, "--page", again)
    assert f"Written: {again / 'index.html'}" in capsys.readouterr().out
    assert (again / "index.html").read_bytes() == (folder / "index.html").read_bytes()
    assert (again / "results.csv").read_bytes() == (folder / "results.csv").read_bytes()
    shutil.rmtree(again)


@pytest.mark.slow
def test_the_runs_of_a_sweep_are_shown_as_curves_with_their_claims(tmp_path):
    """Runs as folders, and the page about the file that they were collected in."""
    runs = sweep(tmp_path / "runs", "beta", (1.0, 5.0, 20.0), seeds=(0, 1))
    collected.write(runs, tmp_path / "all.json")
    report.write([tmp_path / "all.json"], tmp_path / "page")
    page = Page(tmp_path / "page" / "index.html")
    told = next(alt for _, alt in page.images if alt.startswith("From β 1"))
    first, last = (ablations.means(ablations.curves(runs, BETA), "Rate")["M"].loc[beta] for beta in (1, 20))
    assert f"Rate, M: {first:.2f} to {last:.2f}" in told
    for found in findings(runs, BETA):
        assert all(cell in page.text for cell in found.row()) and found.tested
    assert "beta-probe" in page.text and "beta 20.0" in page.text
    assert page.links.count("../all.json") == len(runs) == 6 and "Runs: 6. Methods: mmJSD (MS)." in page.text
    swept = [alt for _, alt in page.images if re.match(r"[\w ,]+ over beta: ", alt)]
    assert len(swept) == len(dict(sweep_figures.curves(runs, "beta"))) > 5 and "M,S → T 0." in "".join(swept)
    assert len(page.images) == 7 + len(swept), "curves, claims about four tables, trade-off, losses: all were collected"


def test_nothing_to_report_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no complete run below .*: train one with `workbench train`"):
        report.write([tmp_path], tmp_path / "page")
    assert not (tmp_path / "page").exists()


OVERFLOW = """() => [...document.querySelectorAll('main *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 1 && box.right > innerWidth + 1 && !e.closest('.output_subarea');
}).map(e => e.outerHTML.slice(0, 80))"""
CONTRAST = """() => { const style = getComputedStyle(document.body);
    const light = c => c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255)
        .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
        .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
    return [light(style.color), light(style.backgroundColor)]; }"""


@pytest.mark.slow
def test_it_fits_the_screen(written):
    with chromium() as browser:
        for width in (1280, 420):
            screen, asked = browser.new_page(viewport={"width": width, "height": 900}), []
            screen.on("request", lambda request, asked=asked: asked.append(request.url))
            screen.goto((written[1] / "index.html").as_uri())
            assert screen.evaluate("document.documentElement.scrollWidth") == width
            assert screen.evaluate(OVERFLOW) == []
            assert barriers(screen) == []
            assert screen.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
            assert all(url.startswith(("file:", "data:")) for url in asked)
            ink, paper = screen.evaluate(CONTRAST)
            assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 7
            screen.close()
