"""`workbench COMMAND` in a shell: run, sweep, train, evaluate, ls, watch, report, document, bench, data, and more."""

import io
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from workbench import __version__
from workbench.errors import WorkbenchError
from workbench.notebooks.shell import Commands, Settings, WithParameters, parse

app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
data_app = typer.Typer(no_args_is_help=True, help="Downloaded data sets: fetch them, check them.")
app.add_typer(data_app, name="data")

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="TOML with NAME = VALUE, or a sweep's file without grids; -p wins over it."),
]
Trust = Annotated[bool, typer.Option("--trust", help="Import networks that runs name and this package has not.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data (else WORKBENCH_DATA, else data/).")]


def _version(asked: bool) -> bool:
    if asked:
        print(f"workbench {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before a command."""


@app.command()
def run(
    notebooks: Annotated[list[str] | None, typer.Argument(help="Numbers or names; none: all, in order.")] = None,
    preset: Annotated[str, typer.Option(help="quick, reduced or paper")] = "quick",
    out: Annotated[Path | None, typer.Option(help="Folder of the executed notebooks.")] = None,
    workers: Annotated[int | None, typer.Option(help="Notebooks at a time (else: as many as cores).")] = None,
    config: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Execute numbered notebooks and write a page that links them.

    Without names: all that are left. What has ended well, and would be the same again, stays as it is.
    """
    from workbench.notebooks import find, series
    from workbench.paths import outputs_dir
    from workbench.sweeps.table import Display

    out, chosen = out or outputs_dir() / preset, find(notebooks or ())
    parameters = {"preset": preset, **_of_file(config, preset), **parse(settings)}
    with Display("Notebooks", [path.stem for path in chosen]) as display, _stopped_by_hand(goes_on=not notebooks):
        results = series.run(chosen, out, parameters, display.show, workers, again=bool(notebooks))
    failed = [result for result in results if result.error]
    for result in failed:
        print(result.error, file=sys.stderr)
    print(f"Look at it: {out / 'index.html'}")
    if failed:
        raise SystemExit(f"{len(failed)} of {len(chosen)} notebooks failed: {', '.join(r.source.name for r in failed)}")


@contextmanager
def _stopped_by_hand(goes_on: bool = True) -> Iterator[None]:
    """Say what becomes of what Ctrl-C stops: whether the same command goes on."""
    try:
        yield
    except KeyboardInterrupt:
        print("Stopped." + " The same command goes on from here." * goes_on, file=sys.stderr)
        raise


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="What to run: a TOML file, such as notebooks/sweeps/beta.toml.")],
    preset: Annotated[str, typer.Option(help="quick, reduced or paper: the file's sections for it.")] = "quick",
    workers: Annotated[int | None, typer.Option(help="Runs at a time (else: as cores and GPU memory allow).")] = None,
    engine: Annotated[str, typer.Option(help="local, dask or slurm; all need one file system only.")] = "local",
    scheduler: Annotated[str | None, typer.Option(help="Address of a dask scheduler (else a cluster here).")] = None,
    slurm: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE to ask Slurm for, as submitit calls it; several times.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs (else outputs/PRESET/sweeps/NAME).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and show its runs only.")] = False,
    settings: Settings = None,
) -> None:
    """Execute the training notebook over a grid of parameters; does what is left when it is started again."""
    from workbench import paths
    from workbench.notebooks import kernels

    if engine == "local" and not dry_run:
        kernels.warm_up(paths.training_notebook())  # it imports at the same time as this process
    from workbench.sweeps import run as machinery
    from workbench.sweeps.plan import read
    from workbench.sweeps.table import Display

    plan = read(file, preset, parse(settings), out)
    display = Display(plan.title, [job.label for job in plan.jobs])
    if dry_run:
        display.list_all(machinery.states_of(plan.jobs))
        return
    with display, _stopped_by_hand():
        options = {"workers": workers, "scheduler": scheduler, "asked": parse(slurm)}
        states = machinery.complete(plan, display.show, engine, **options)
    failed = [(job, state.error) for job, state in zip(plan.jobs, states, strict=True) if state.status == "failed"]
    for job, error in failed:
        print(f"Failed: {job.label}: {error} (in {job.folder})")
    print(f"Compare them: workbench report {shlex.quote(str(plan.folder))}")
    if failed:
        raise SystemExit(f"{len(failed)} of {len(plan.jobs)} runs failed; the same command tries them again")


@app.command(cls=WithParameters)
def train(
    preset: Annotated[str, typer.Option(help="quick, reduced or paper")] = "quick",
    out: Annotated[Path | None, typer.Option(help="Run folder (else outputs/PRESET/runs/...).")] = None,
    judge: Annotated[bool, typer.Option("--evaluate/--no-evaluate", help="Evaluate at the end.")] = True,
    file: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Train and evaluate one configuration without a notebook; resumes from its last checkpoint.

    Under torchrun, by all its processes: torchrun --nproc-per-node 4 -m workbench train ...
    """
    from workbench.config import Config
    from workbench.evaluation import train_and_evaluate
    from workbench.training.loop import fit
    from workbench.training.processes import joined

    config = Config.make(preset, **_of_file(file, preset) | parse(settings))
    with joined() as processes:
        command = shlex.join([*processes.program, *sys.argv[1:]])
        run = train_and_evaluate(config, out, command) if judge else fit(config, out, command=command)
        if processes.is_main:
            print(f"{'Complete' if judge else 'Trained, to be evaluated by `workbench evaluate`'}: {run.folder}")


@app.command()
def evaluate(
    folders: Annotated[list[Path], typer.Argument(help="Run folders, or folders above them.")],
    samples: Annotated[int, typer.Option(help="Importance samples behind every log-likelihood.")] = 12,
    limit: Annotated[int, typer.Option(help="Test items at most.")] = 10_000,
    inception: Annotated[Path | None, typer.Option(help="Weights of Inception (else features of the judges).")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps (else each run's own).")] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="Further parts: samplers (random items from mixtures and flows of codes), clustering, evidence "
            "(ln p(X) by proposals fitted to each item), annealed (the same, and its judge)."
        ),
    ] = None,
    trust: Trust = False,
) -> None:
    """Evaluate trained runs with the metrics of this version, again if need be; their weights stay as they are."""
    from workbench.evaluation import evaluate_into, parts_by_default
    from workbench.files import passed_over
    from workbench.runs.run import find_runs, sole_writer

    runs = [run for folder in folders for run in find_runs(folder, evaluated=False, trust=trust)]
    if not runs:
        raise ValueError(f"no trained run below {', '.join(map(str, folders))}: train one with `workbench train`")
    left = len(runs)
    for run in runs:
        with passed_over():
            with sole_writer(run.folder):
                options = {"samples": samples, "limit": limit, "inception": inception, "device": device}
                evaluate_into(run, parts=[*parts_by_default(run.config.data), *(also or ())], **options)
            print(f"Evaluated: {run.folder}")
            left -= 1
    if left:
        raise ValueError(f"{left} of {len(runs)} runs could not be evaluated: what is wrong with them stands above")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Run folder of a trained run.")],
    out: Annotated[Path, typer.Option(help="Folder of the exported model.")],
    trust: Trust = False,
) -> None:
    """Write a run's encoders and decoders as programs of torch.export, which run without this package."""
    from workbench.interop.export import export as write
    from workbench.runs.run import Run

    print(f"Written: {write(Run.load(folder, trust=trust), out)}")


@app.command()
def latents(
    folder: Annotated[Path, typer.Argument(help="Run folder of a trained run on a data set that has a name.")],
    out: Annotated[Path, typer.Option(help="File to write: .csv, or .parquet (needs pyarrow).")],
    split: Annotated[str, typer.Option(help="train or test")] = "test",
    given: Annotated[list[str] | None, typer.Option(help="A modality, by letter or name; several. None: all.")] = None,
    fusion: Annotated[str | None, typer.Option("--fusion", "--how", help="How to fuse (else as the method).")] = None,
    trust: Trust = False,
) -> None:
    """Write what a run makes of every item to a table: content, styles, labels, and what was there."""
    from workbench.interop import latents as tables
    from workbench.runs.run import Run

    run = Run.load(folder, trust=trust)
    print(f"Written: {tables.write(tables.latents(run, run.dataset(split), given, fusion), out)}")


@app.command()
def ls(folder: Annotated[Path, typer.Argument(help="A run folder, or one above several.")]) -> None:
    """Say how each run below a folder stands: at which step, for how long still, or its main numbers."""
    from rich.console import Console

    from workbench.sweeps.listing import rows, shown

    Console(file=sys.stdout).print(shown(rows(folder)), soft_wrap=True, end="")


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(help="A run folder, or one above several.")],
    track: Annotated[
        list[str] | None, typer.Option(help="Also tell a tracker what is new: tensorboard or mlflow; several times.")
    ] = None,
) -> None:
    """Say the same again and again, until no run below the folder is at work."""
    from workbench.sweeps.listing import watch as look

    with suppress(KeyboardInterrupt):
        look(folder, track=track or ())


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Run folders, folders above them, or files of --out.")],
    out: Annotated[Path | None, typer.Option(help="Also write everything to this JSON file.")] = None,
    tables: Annotated[Path | None, typer.Option(help="Also write every table to this folder: CSV, LaTeX.")] = None,
    claims: Annotated[
        bool, typer.Option("--claims", help="Also print a verdict on each of the paper's claims.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option(help="Also write a page of it all to this folder: index.html, results.csv.")
    ] = None,
) -> None:
    """Print the tables of finished runs beside the paper's; collect their numbers with configuration and commit."""
    from workbench.runs import collected

    runs, written = collected.gather(folders), [out] if out else []
    if out:
        collected.write(runs, out)  # first: it needs no pandas
    try:
        from workbench.reports import tables as sheets

        if page:
            from workbench.notebooks import report as report_page
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{'pages' if page else 'tables'} need {error.name}: install it with `pip install -e '.[notebooks]'`"
        ) from None
    print(sheets.markdown(runs))
    if claims:
        from workbench.reports import claims as ordinal

        print(f"\n{ordinal.markdown(runs)}")
    written += sheets.write(runs, tables) if tables else []
    written += report_page.write(folders, page) if page else []
    for path in written:
        print(f"Written: {path}")


@app.command()
def document(template: Annotated[Path, typer.Argument(help="Such as outputs/reference/results.in.md.")]) -> None:
    """Write NAME.md: a template's prose, with tables and verdicts of collected runs where it asks for them."""
    from workbench.reports import document as documents

    print(f"Written: {documents.write(template)}")


@app.command()
def bench(
    objective: Annotated[list[str] | None, typer.Option("--objective", "-o", help="One of several; none: all.")] = None,
    against: Annotated[str | None, typer.Option(help="Another library's steps beside ours: multivae.")] = None,
    scaling: Annotated[bool, typer.Option("--scaling", help="Sweeps of batch, modalities and samples.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Where the time of a step goes.")] = False,
    evaluation: Annotated[Path | None, typer.Option(help="Measure the evaluation of this run, and no steps.")] = None,
    checkout: Annotated[list[Path] | None, typer.Option(help="With --evaluation: another version; several.")] = None,
    limit: Annotated[int, typer.Option(help="With --evaluation: test items at most.")] = 2000,
    rounds: Annotated[int, typer.Option(help="Rounds, of which the best counts.")] = 5,
    seconds: Annotated[float, typer.Option(help="Of a round of one training, about.")] = 1.0,
    max_batch: Annotated[int, typer.Option(help="End of the scaling sweep of batches.")] = 4096,
    max_modalities: Annotated[int, typer.Option(help="End of the scaling sweep of modalities.")] = 16,
    max_samples: Annotated[int, typer.Option(help="End of the scaling sweep of importance samples.")] = 50,
    out: Annotated[Path | None, typer.Option(help="Also write everything to this JSON file.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Also draw it to this file, one of each kind of table.")] = None,
    settings: Settings = None,
) -> None:
    """Measure training steps on this machine: speed of every objective, or scaling, parts, and another library's.

    Without -p precision=... and -p style_dim=... both precisions are measured, with and without styles.
    """
    try:
        from workbench.studies import speed_plots as shown
    except ModuleNotFoundError as error:
        raise ValueError(f"the bench needs {error.name}: install it with `pip install -e '.[notebooks]'`") from None
    from workbench.files import write_json
    from workbench.studies import speed_results as machinery

    if evaluation:
        results = machinery.measure_evaluation(evaluation, checkout or [], limit, rounds)
    else:
        asked = {"against": against, "scaling": scaling, "profiles": profile}
        ends = {"batch_size": max_batch, "modalities": max_modalities, "samples": max_samples}
        timing = machinery.Timing(rounds, seconds)
        results = machinery.measure(parse(settings), objective or [], timing=timing, ends=ends, **asked)
    results = {"command": shlex.join(["workbench", *sys.argv[1:]])} | results
    print(shown.tables(results))
    if out:
        write_json(out, results)
    for path in [*([out] if out else ()), *(shown.draw(results, figure) if figure else ())]:
        print(f"Written: {path}")


@app.command()
def ship(folders: Annotated[list[Path], typer.Argument(help="Trained runs, one of each method.")]) -> None:
    """Write models to data/models, in 8 bits, with their judges: what explorers show where nothing was trained."""
    from workbench.evaluation import evaluate
    from workbench.metrics.judges import classifiers_of, note_of
    from workbench.runs.run import find_runs
    from workbench.runs.shipped import ship as pack

    runs = [run for folder in folders for run in find_runs(folder, evaluated=False)]
    if not runs:
        raise ValueError(f"no trained run below {', '.join(map(str, folders))}: train one with `workbench train`")
    for run in runs:
        judges = classifiers_of(run.dataset("train"), run.dataset("test"), width=run.config.judge_width)
        noted = {judge.source: (judge.network, note_of(judge)) for judge in judges}
        print(f"Written: {pack(run, noted, evaluate)}")


@data_app.command("fetch")
def data_fetch(name: Annotated[str, typer.Argument(help="mnist, svhn, celeba, inception")], root: Root = None) -> None:
    """Download a data set, with checksums; safe to interrupt and to repeat."""
    from workbench.data.fetch import fetch

    fetch(name, root)


@data_app.command("check")
def data_check(root: Root = None) -> None:
    """Say which files are there and whole, and how to get the others."""
    from workbench.data.fetch import check
    from workbench.paths import data_root

    print(f"Data in {data_root(root)}")
    for row in check(data_root(root)):
        print("  ".join(str(cell) for cell in row))


@app.command()
def doctor() -> None:
    """Look at this machine: versions, cores, memory and disk, data, browser, GPU; a line each, with what to do."""
    from workbench.studies.doctor import examine

    for name, found, cure in examine():
        print(f"{'?' if cure else ' '} {name:10} {found}{f': {cure}' if cure else ''}")


def _of_file(path: Path | None, preset: str) -> dict[str, object]:
    """What the file of --config says, where there is one."""
    if path is None:
        return {}
    from workbench.sweeps.plan import fixed

    return fixed(path, preset)


def main() -> None:
    """The console script: an expected error is one line and exit status 1, not a traceback.

    What a terminal's encoding lacks is shown as a question mark.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app(prog_name="workbench")
    except (ValueError, OSError, WorkbenchError) as error:
        raise SystemExit(f"workbench: {error}") from None
