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
"""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.config import field_names
from workbench.files import replacing
from workbench.reports import ablations, ablations_claims, claims, claims_later
from workbench.reports.layout import markdown, origins
from workbench.reports.published import RANDOM
from workbench.reports.specs import SPECS
from workbench.reports.tables import all_tables, table
from workbench.runs.collected import gather
from workbench.runs.run import Run

LINE = re.compile(r"^<!-- (\w+): (.+?) -->$", re.MULTILINE)
NOTICE = "<!-- Made by `workbench document {}`: change that file, or the runs beside it, not this one. -->\n\n"


def write(template: Path) -> Path:
    """Write the document of a template beside it, whole or not at all; returns its path.

    ValueError for a template of another name, and where a line asks for what there is not.
    """
    if not template.name.endswith(".in.md"):
        raise ValueError(f"{template} is no template of a document: its name must end in .in.md")
    made = LINE.sub(lambda line: _made(line[1], line[2].split(), template.parent), template.read_text("utf-8"))
    target = template.with_name(template.name.removesuffix(".in.md") + ".md")
    with replacing(target) as temporary:
        temporary.write_text(NOTICE.format(template.name) + made, encoding="utf-8")
    return target


def _made(what: str, words: Sequence[str], folder: Path) -> str:
    """What one line asks for."""
    if what not in MAKERS:
        raise ValueError(f"<!-- {what}: ... --> asks for nothing that there is: write one of {', '.join(MAKERS)}")
    chosen = [word.partition("=") for word in words if not word.endswith(".json")]
    if unknown := [name for name, *_ in chosen if name not in {*SPECS, *field_names()}]:
        raise ValueError(f"<!-- {what}: ... --> names {unknown[0]!r}: neither a table nor a field of a configuration")
    runs = gather([folder / word for word in words if word.endswith(".json")])
    wanted = {field: value for field, equals, value in chosen if equals}
    runs = [run for run in runs if all(str(getattr(run.config, name)) == x for name, x in wanted.items())]
    return MAKERS[what](runs, words)


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
    return markdown(rows)


def _claims(runs: Sequence[Run], words: Sequence[str]) -> str:
    names = dict.fromkeys(run.config.data for run in runs)
    by_data = {data: claims.findings([run for run in runs if run.config.data == data]) for data in names}
    return markdown(claims.side_by_side(by_data))


def _ablation(runs: Sequence[Run], words: Sequence[str]) -> str:
    ablation = ablations.ABLATIONS[Path(words[0]).stem]
    curves = ablations.series(runs, ablation)
    verdicts = {name: ablations_claims.table(ablations_claims.findings(x, ablation)) for name, x in curves.items()}
    return "\n\n".join(f"**{name or 'One curve'}**\n\n{markdown(rows)}" for name, rows in verdicts.items())


def _tested(runs: Sequence[Run]) -> list[claims.Finding]:
    """What runs say to later papers' claims, of those that they can say something to."""
    return [finding for finding in claims.findings(runs, claims_later.CLAIMS) if finding.tested]


MAKERS: dict[str, Callable[[Sequence[Run], Sequence[str]], str]] = {
    "headline": _headline,
    "origins": lambda runs, words: markdown(origins(runs)),
    "tables": _tables,
    "claims": _claims,
    "ablation": _ablation,
    "family": lambda runs, words: markdown(ablations_claims.table(_tested(runs))),
    "beside": lambda runs, words: markdown(claims_later.beside(runs), words=1),
}
