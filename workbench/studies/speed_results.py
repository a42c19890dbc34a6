"""What a bench found: measured as asked for, kept as JSON with machine and settings, shown as tables of text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from workbench.config import Config
from workbench.objectives import METHODS
from workbench.paths import replacing
from workbench.runs.versions import provenance
from workbench.studies import speed, speed_against, speed_profile
from workbench.studies.speed import Limits, StepCost, Timing
from workbench.studies.speed_against import Comparison
from workbench.studies.speed_profile import PARTS, REST, Profile
from workbench.training import step

MEGABYTE = 1e6


@dataclass(frozen=True)
class Wanted:
    """What is to be measured; objectives: none for all that can be; `fixed` are the fields of `base` that stay."""

    base: Config
    objectives: Sequence[str] = ()
    fixed: Sequence[str] = ()
    speeds: bool = True
    against: str | None = None
    scaling: bool = False
    profile: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Results:
    """What was measured, with the command, the settings that all rows share, and the machine."""

    command: str
    settings: dict[str, Any]
    measured_with: dict[str, str | None]
    speeds: list[StepCost]
    scaling: dict[str, list[StepCost]]  # by what is varied
    comparisons: list[Comparison]
    profiles: list[Profile]


def measure(wanted: Wanted, timing: Timing | None = None, command: str = "") -> Results:
    """Everything that is wanted. ValueError, before anything is measured, on what cannot be."""
    timing, base = timing or Timing(), wanted.base
    if "compiled" not in wanted.fixed:  # compiling takes a minute for every row: only where it is asked for
        base = base.replace(compiled="off")
    variants = speed.variants(base, wanted.objectives, wanted.fixed) if wanted.speeds else []
    sweeps = speed.sweeps(base, wanted.objectives, wanted.limits) if wanted.scaling else {}
    compare = speed_against.against(wanted.against) if wanted.against else None
    compared = speed_against.configurations(base, wanted.objectives, wanted.fixed) if compare else []
    profiled = list(wanted.objectives or METHODS) if wanted.profile else []
    return Results(
        command,
        {**base.to_json(), "rounds": timing.rounds, "seconds": timing.seconds, "steps_in_a_round": timing.steps},
        provenance(),
        speed.speeds(variants, timing) if variants else [],
        {name: speed.speeds(configs, timing) for name, configs in sweeps.items()},
        compare(compared, timing, _ways(base, wanted.fixed)) if compare else [],
        speed_profile.profiles(base, profiled, timing),
    )


def _ways(base: Config, fixed: Sequence[str]) -> list[step.Speed]:
    """Ways of taking our steps, for a comparison: those that have what is fixed."""
    return [
        way
        for way in speed_against.SPEEDS
        if ("precision" not in fixed or way.precision == base.precision)
        and ("compiled" not in fixed or way.compiled == (base.compiled == "on"))
    ]


def write(results: Results, path: Path) -> None:
    """Keep results as JSON, whole or not at all."""
    content = {name: _plain(value) for name, value in vars(results).items()}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def read(path: Path) -> Results:
    """Results that were kept."""
    found = json.loads(path.read_text())
    rows = {"speeds": StepCost, "comparisons": Comparison, "profiles": Profile}
    made = {name: [kind(**row) for row in found[name]] for name, kind in rows.items()}
    scaling = {name: [StepCost(**row) for row in speeds] for name, speeds in found["scaling"].items()}
    return Results(**{**found, **made, "scaling": scaling})


def _plain(value: Any) -> Any:
    """Named tuples as dictionaries."""
    if hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


# ------------------------------------------------------------------------------------------------------------- tables


def tables(results: Results) -> str:
    """All tables as Markdown, each under a line that says what it holds."""
    where = results.measured_with
    machine = ", ".join(part for part in (where["gpu"], where["machine"]) if part)
    head = f"Measured {where['date']} on {machine}; torch {where['torch']}, commit {where['commit']}."
    parts = [f"{head}\nBest of {results.settings['rounds']} rounds (fewer where a step is slow), in turns."]
    if results.speeds:
        parts.append(f"Training steps\n\n{speed_table(results.speeds)}")
    parts += [f"Scaling in {name}\n\n{speed_table(rows)}" for name, rows in results.scaling.items()]
    if results.comparisons:
        parts.append(f"Against multivae\n\n{comparison_table(results.comparisons)}\n\n{speed_against.NOTE}")
    if results.profiles:
        parts.append(f"Where a step's time goes\n\n{profile_tables(results.profiles)}")
    return "\n\n".join(parts)


class Column(NamedTuple):
    """A column of a table: its heading, and its cell of a row."""

    heading: str
    cell: Any


SPEED_COLUMNS = (
    Column("method", lambda row: row.method),
    Column("precision", lambda row: row.precision),
    Column("batch", lambda row: str(row.batch_size)),
    Column("M", lambda row: str(row.modalities)),
    Column("K", lambda row: str(row.samples)),
    Column("steps/s", lambda row: significant(row.steps_per_second)),
    Column("items/s", lambda row: significant(row.items_per_second)),
    Column("peak MB", lambda row: significant(row.peak_bytes / MEGABYTE)),
    Column("first step s", lambda row: significant(row.first_step)),
    Column("device", lambda row: row.device),
)
COMPARISON_COLUMNS = (
    Column("method", lambda row: row.method),
    Column("theirs", lambda row: row.theirs),
    Column("batch", lambda row: str(row.batch_size)),
    Column("ours in", lambda row: row.precision),
    Column("ours ms", lambda row: significant(1000 * row.our_seconds)),
    Column("theirs ms", lambda row: significant(1000 * row.their_seconds)),
    Column("ratio", lambda row: f"{row.ratio:.2f}"),
    Column("device", lambda row: row.device),
)


def speed_table(rows: Sequence[StepCost]) -> str:
    """One line a configuration; items are triples where M is 3."""
    triples = {row.modalities for row in rows} == {3}
    named = (c._replace(heading="triples/s") if triples and c.heading == "items/s" else c for c in SPEED_COLUMNS)
    return _table(rows, list(named))


def comparison_table(rows: Sequence[Comparison]) -> str:
    """One line an objective and a precision of ours; the ratio is how many times faster ours is."""
    return _table(rows, COMPARISON_COLUMNS)


def profile_tables(rows: Sequence[Profile]) -> str:
    """For each method the parts of a step, in milliseconds and shares, before and after side by side."""
    methods = dict.fromkeys(row.method for row in rows)
    return "\n\n".join(_profile_table([row for row in rows if row.method == name]) for name in methods)


def _profile_table(rows: Sequence[Profile]) -> str:
    """Lines are parts, columns are profiles of one method."""
    lines = [*PARTS, REST, "with clocks", "without"]

    def values(row: Profile) -> list[float]:
        return [*row.parts.values(), row.rest, row.clocked, row.seconds]

    columns = [Column(rows[0].method, lambda n: lines[n])]
    for row in rows:
        found = values(row)
        columns += [
            Column(f"{row.label} ms ({row.precision})", lambda n, found=found: significant(1000 * found[n])),
            Column(
                "share", lambda n, found=found, row=row: f"{found[n] / row.clocked:.0%}" if n < len(PARTS) + 1 else ""
            ),
        ]
    return _table(range(len(lines)), columns)


def significant(value: float) -> str:
    """Three significant digits, without an exponent where the number is large."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def _table(rows: Iterable[Any], columns: Sequence[Column]) -> str:
    """A Markdown table whose columns are aligned; numbers to the right."""
    rows = list(rows)
    cells = [[column.heading, *(column.cell(row) for row in rows)] for column in columns]
    widths = [max(3, *map(len, column)) for column in cells]  # a rule of Markdown has three characters
    right = [bool(rows) and column[1][:1].isdigit() for column in cells]
    lines = [
        [
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        ]
        for line in zip(*cells, strict=True)
    ]
    rule = ["-" * (width - 1) + (":" if flush else "-") for width, flush in zip(widths, right, strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])
