"""One page for any set of finished runs: tables, claims, figures, and every run with the link to its notebook.

`write` makes index.html, which needs no network, and results.csv, which holds every number
(`workbench.reports.results`).
"""

import os
import urllib.parse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from workbench.data.sources import describe, is_known, is_rendered
from workbench.notebooks.pages import stylesheet, write_page
from workbench.reports import ablations_claims, claims, report, results, tables
from workbench.reports.claims import Finding
from workbench.reports.layout import LEGEND, Table
from workbench.reports.report_figures import Picture, all_pictures
from workbench.runs.run import Run
from workbench.runs.versions import provenance

FILES = {"executed notebook": "run.ipynb", "its page": "run.html"}
FILES |= {name: name for name in ("metrics.json", "history.csv")}


@dataclass(frozen=True)
class Section:
    """What the page shows of one data set."""

    data: str
    provenance: str
    statement: str  # what is rendered
    paper: str  # what the paper's differences were measured on
    tables: list[Table]
    findings: list[Finding]
    pictures: list[Picture]

    @property
    def tested(self) -> list[Finding]:
        """Claims that there were the runs for."""
        return [found for found in self.findings if found.tested]

    @property
    def untested(self) -> list[Finding]:
        """Claims that lack something, which their notes name."""
        return [found for found in self.findings if not found.tested]

    @property
    def verdicts(self) -> dict[str, int]:
        """How often each verdict was given, the most frequent first."""
        return dict(Counter(found.verdict for found in self.tested).most_common())


@dataclass(frozen=True)
class Entry:
    """What the page shows of one run."""

    name: str
    place: str  # URL of its folder, or of the file that it was collected in
    facts: dict[str, Any]
    origin: dict[str, str]
    links: dict[str, str]


def write(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write FOLDER/index.html and FOLDER/results.csv about runs on any data sets; returns the files.

    Links lead from FOLDER to the runs' folders. ValueError without runs.
    """
    if not runs:
        raise ValueError("there is no run to report on: train one with `workbench train`")
    runs = [*dict(zip(results.names(runs), runs, strict=True)).values()]  # given twice: counted once
    results.write(runs, folder / "results.csv")
    title = f"Report of {len(runs)} run{'s' * (len(runs) > 1)}"
    write_page(folder / "index.html", title, _body(title, runs, folder), stylesheet("page.css", "report.css"))
    return [folder / "index.html", folder / "results.csv"]


def _body(title: str, runs: Sequence[Run], folder: Path) -> str:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("report.html").render(
        title=title,
        sections=[_section(data, runs) for data in sorted({run.config.data for run in runs})],
        methods=sorted({report.label(run) for run in runs}),
        origins=report.origins(runs),
        legend=LEGEND,
        rule=claims.RULE,
        claim_heads=claims.HEADING,
        entries=_entries(runs, folder),
        common=_common(runs),
        now=provenance(),
    )


def _section(data: str, runs: Sequence[Run]) -> Section:
    chosen = [run for run in runs if run.config.data == data]
    found = [*claims.findings(chosen), *ablations_claims.all_findings(chosen)]
    known = is_known(data)
    statement = "None of its images was rendered by this project."
    if not known:
        statement = "This version of the workbench does not know this data set, nor what in it was rendered."
    elif is_rendered(data):
        statement = f"It has {tables.RENDERED}."
    told = describe(data)[0].upper() + describe(data)[1:] + "." if known else ""
    paper = claims.paper_data(chosen)
    return Section(data, told, statement, paper, tables.all_tables(chosen), found, all_pictures(chosen, found))


# The runs themselves


def _entries(runs: Sequence[Run], folder: Path) -> list[Entry]:
    varying = results.varying_fields(runs)
    return [_entry(name, run, [*varying], folder) for name, run in zip(results.names(runs), runs, strict=True)]


def _entry(name: str, run: Run, varying: Sequence[str], folder: Path) -> Entry:
    config, stored = run.config, run.read("config.json")
    facts = {"method": report.label(run), "data": config.data, "seed": config.seed}
    facts |= {"steps": f"{report.steps_taken(run):,}"} | {field: getattr(config, field) for field in varying}
    origin = {"trained": _origin(stored), "evaluated": _origin(run.metrics.get("evaluated_with") or {})}
    command = {"command": stored["command"]} if stored.get("command") else {}
    links = {what: link(run.folder / file, folder) for what, file in FILES.items() if (run.folder / file).is_file()}
    return Entry(name, link(run.folder, folder), facts, command | origin, links)


def _origin(origin: dict[str, Any]) -> str:
    """Day, commit, machine and version of torch, as far as they are known."""
    words = {"date": "{}", "commit": "at commit {}", "machine": "on {}", "gpu": "with {}", "torch": "torch {}"}
    told = [form.format(origin[name]) for name, form in words.items() if origin.get(name)]
    return ", ".join(told) or "unknown"


def _common(runs: Sequence[Run]) -> dict[str, Any]:
    """Fields of the configuration in which all runs agree."""
    first, *others = [run.config.to_json() for run in runs]
    return {field: x for field, x in first.items() if all(other[field] == x for other in others)}


def link(target: Path, folder: Path) -> str:
    """A URL that leads from a page in `folder` to a file: relative, but for another drive of Windows."""
    target, folder = target.resolve(), folder.resolve()
    if target.anchor != folder.anchor:
        return target.as_uri()
    return urllib.parse.quote(Path(os.path.relpath(target, folder)).as_posix() + "/" * target.is_dir())
