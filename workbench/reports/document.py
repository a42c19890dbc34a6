"""A document whose tables come from finished runs: prose in NAME.in.md, with a line for each table, becomes NAME.md.

A line `<!-- WHAT: FILE.json ... -->` gives way to what it asks for, of the runs in these files, which lie beside it.
`FIELD=VALUE` after them chooses runs by a field of their configuration. WHAT is one of

    headline   a row for each method of the paper's: probe, coherence, quality, ln p(X), the paper's in brackets
    origins    what was run, at which scale, by which commit, on which machine
    tables     tables beside the paper's: those that are named after the files, else all
    claims     the verdicts on the paper's ordinal claims, a column for each data set
    ablation   the verdicts on the paper's words about the ablation that the file is named after, curve by curve
    family     the verdicts on what later papers claim, of runs on one data set
    beside     numbers of such a paper beside ours
    choices    which method is best for what, and which are as good, of runs on one data set
    changed    the claims whose verdicts are others than a file has kept: {"lines": {LINE: {data: {claim: verdict}}}}

`spread=FILE.json` names further runs that tell how far seeds are apart, for claims and family.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.config import field_names
from workbench.files import replacing
from workbench.reports import ablations, ablations_claims, claims, claims_later, family
from workbench.reports.layout import markdown, origins
from workbench.reports.published import RANDOM
from workbench.reports.specs import SPECS
from workbench.reports.tables import all_tables, held, held_back, table
from workbench.runs.collected import gather
from workbench.runs.naming import label
from workbench.runs.run import Run

LINE = re.compile(r"^<!-- (\w+): (.+?) -->$", re.MULTILINE)
NOTICE = "<!-- Made by `workbench document {}`: change that file, or the runs beside it, not this one. -->\n\n"


def write(template: Path) -> Path:
    """Write the document of a template beside it, whole or not at all; returns its path.

    ValueError for a template of another name, and where a line asks for what there is not.
    """
    if not template.name.endswith(".in.md"):
        raise ValueError(f"{template} is no template of a document: its name must end in .in.md")
    made = LINE.sub(lambda line: _made(line[1], line[2], template.parent), template.read_text("utf-8"))
    target = template.with_name(template.name.removesuffix(".in.md") + ".md")
    with replacing(target) as temporary:
        temporary.write_text(NOTICE.format(template.name) + made, encoding="utf-8")
    return target


def _made(what: str, rest: str, folder: Path) -> str:
    """What one line asks for."""
    if what == "changed":
        return _changed(rest.split(), folder)
    if what in FINDERS:
        found = _found(what, rest, folder)
        return _side_by_side(found) if what == "claims" else _one_by_one(found)
    if what not in MAKERS:
        known = ", ".join((*MAKERS, *FINDERS, "changed"))
        raise ValueError(f"<!-- {what}: ... --> asks for nothing that there is: write one of {known}")
    return MAKERS[what](*_asked(what, rest.split(), folder)[:2])


def _found(what: str, rest: str, folder: Path) -> dict[str, list[claims.Finding]]:
    """The findings that one line asks for, by data set or curve."""
    return FINDERS[what](*_asked(what, rest.split(), folder))


def _asked(what: str, words: Sequence[str], folder: Path) -> tuple[list[Run], Sequence[str], list[Run]]:
    """The runs that a line chooses, its words, and the runs that tell how far seeds are apart."""
    spread = [word.removeprefix("spread=") for word in words if word.startswith("spread=")]
    words = [word for word in words if not word.startswith("spread=")]
    chosen = [word.partition("=") for word in words if not word.endswith(".json")]
    if unknown := [name for name, *_ in chosen if name not in {*SPECS, *field_names()}]:
        raise ValueError(f"<!-- {what}: ... --> names {unknown[0]!r}: neither a table nor a field of a configuration")
    runs = gather([folder / word for word in words if word.endswith(".json")])
    wanted = {field: value for field, equals, value in chosen if equals}
    runs = [run for run in runs if all(str(getattr(run.config, name)) == x for name, x in wanted.items())]
    return runs, words, gather([folder / name for name in spread]) if spread else []


def _tables(runs: Sequence[Run], words: Sequence[str]) -> str:
    named = [word for word in words if word in SPECS]
    return "\n\n".join(made.markdown() for made in all_tables(runs) if made.spec.name in named or not named)


# What the headline shows: table, the columns whose mean it is, and how it is written.
HEADLINE = {
    "joint probe": ("linear_probe", "M,S,T", "{:.2f}"),
    "coherence": ("coherence", "", "{:.2f}"),
    "quality": ("quality", "", "{:.2f}"),
    "ln p(X)": ("log_likelihood", "X", "{:.0f}"),
}


def _headline(runs: Sequence[Run], words: Sequence[str]) -> str:
    """Read every method of the paper's by its first posterior; the mean is that of all conditional paths."""
    rows = [["method", *(f"{head}, ours (paper)" for head in HEADLINE)]]
    shown = {head: table(name, runs) for head, (name, *_) in HEADLINE.items()}
    methods = dict.fromkeys(method for method, *_ in next(iter(shown.values())).paper.dropna(how="all").index)
    for method in methods:
        rows.append([method])
        for head, (_, column, form) in HEADLINE.items():
            chosen = [column] if column else [path for path in shown[head].ours if RANDOM not in path]
            pair = (frame.loc[method][chosen].iloc[0].mean() for frame in (shown[head].ours, shown[head].paper))
            ours, paper = ("–" if math.isnan(x) else form.format(x) for x in pair)
            rows[-1].append(f"{ours} ({paper})")
    return "\n\n".join(filter(None, (markdown(rows), held_back((label(run), held(run)) for run in runs))))


def _verdicts(runs: Sequence[Run], words: Sequence[str], spread: Sequence[Run]) -> dict[str, list[claims.Finding]]:
    """What runs say to claims on each data set."""
    names = dict.fromkeys(run.config.data for run in runs)
    told = [*runs, *spread]
    return {data: claims.findings([run for run in runs if run.config.data == data], spread=told) for data in names}


def _of_ablation(runs: Sequence[Run], words: Sequence[str], spread: Sequence[Run]) -> dict[str, list[claims.Finding]]:
    """What they say to the paper's words about an ablation, curve by curve."""
    ablation = ablations.ABLATIONS[Path(words[0]).stem]
    return {name: ablations_claims.findings(x, ablation) for name, x in ablations.series(runs, ablation).items()}


def _of_family(runs: Sequence[Run], words: Sequence[str], spread: Sequence[Run]) -> dict[str, list[claims.Finding]]:
    """What they say to later papers' claims, of those that they can say something to."""
    found = claims.findings(runs, claims_later.CLAIMS, spread)
    return {runs[0].config.data: [finding for finding in found if finding.tested]}


FINDERS = {"claims": _verdicts, "ablation": _of_ablation, "family": _of_family}


def _side_by_side(found: dict[str, list[claims.Finding]]) -> str:
    chances = "\n".join(f"* `{data}`: {claims.by_chance(x)}" for data, x in found.items())
    return f"{markdown(claims.side_by_side(found))}\n\n{chances}"


def _one_by_one(found: dict[str, list[claims.Finding]]) -> str:
    parts = [(name, markdown(ablations_claims.table(x)), claims.by_chance(x)) for name, x in found.items()]
    return "\n\n".join(f"**{name or 'One curve'}**\n\n{rows}\n\n{chances}" for name, rows, chances in parts)


def _changed(words: Sequence[str], folder: Path) -> str:
    """The claims whose verdicts are others than a file says, with the lines of a template that ask for them."""
    rows = [["runs", "claim", "before", "now"]]
    for line, before in json.loads((folder / words[0]).read_text("utf-8"))["lines"].items():
        for name, found in _found(*line.split(": ", 1), folder).items():
            old, now = before.get(name, {}), {f.claim.name: f.verdict for f in found}
            rows += [
                [f"{line.partition(':')[0]}, {name or 'one curve'}", x, was, now[x]]
                for x, was in old.items()
                if now.get(x, was) != was
            ]
    return markdown(rows, words=4)


MAKERS: dict[str, Callable[[Sequence[Run], Sequence[str]], str]] = {
    "headline": _headline,
    "origins": lambda runs, words: markdown(origins(runs)),
    "tables": _tables,
    "beside": lambda runs, words: markdown(claims_later.beside(runs), words=1),
    "choices": lambda runs, words: markdown(family.choices(family.summary(family.scores(runs))), words=3),
}
