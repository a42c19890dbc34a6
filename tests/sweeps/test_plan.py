"""Sweep files: what they ask for, which of several sections wins, and everything that is refused."""

import itertools
import shlex
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import evaluation
from workbench.config import Config
from workbench.sweeps.plan import PRESETS, Sweep, read

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "04_training.ipynb"

LAYERED = """
title = "What wins?"
fixed = { beta = 1.0, steps = 10, parts = ["latent"] }
grid = { seed = [0, 1], style_dim = [0, 2] }
quick.fixed = { beta = 2.0, seed = 7 }
reduced.grid = { beta = [3.0, 4.0] }

[[runs]]
name = "plain"

[[runs]]
name = "special"
fixed = { steps = 20, style_dim = 4 }
quick.fixed = { steps = 30 }
"""


def sweep(text: str, tmp_path: Path, preset: str = "quick", folder: Path | None = Path("runs"), **given) -> Sweep:
    path = tmp_path / "some.toml"
    path.write_text(text)
    return read(path, preset, given, folder, NOTEBOOK)


def values(found: Sweep, *names: str) -> list[tuple]:
    return [tuple(getattr(job.config, name) for name in names) for job in found.jobs]


# --------------------------------------------------------------------------------------------------- what is asked for
def test_every_combination_is_a_run_and_the_first_list_changes_slowest(tmp_path):
    found = sweep('title = "A question"\ngrid = { seed = [0, 1], objective = ["mmjsd", "mvae"] }', tmp_path)
    assert found.title == "A question" and found.folder == Path("runs")
    assert values(found, "seed", "objective") == [(0, "mmjsd"), (0, "mvae"), (1, "mmjsd"), (1, "mvae")]
    assert [job.label for job in found.jobs][:2] == ["objective=mmjsd seed=0", "objective=mvae seed=0"]


BETAS, STYLES, SEEDS = st.sampled_from([0.5, 1.0, 2.5, 5.0]), st.integers(0, 19), st.integers(0, 9)
LISTS = {
    name: st.lists(values, min_size=1, max_size=most, unique=True)
    for name, values, most in (("beta", BETAS, 4), ("style_dim", STYLES, 4), ("seed", SEEDS, 3))
}


@settings(max_examples=25)
@given(grid=st.fixed_dictionaries({}, optional=LISTS))
def test_jobs_are_the_product_of_the_lists(grid, tmp_path_factory):
    text = "\n".join(["[grid]", *(f"{name} = {options}" for name, options in grid.items())])
    found = sweep(text, tmp_path_factory.mktemp("sweep"))
    expected = {Config.make("quick", **dict(zip(grid, x, strict=True))) for x in itertools.product(*grid.values())}
    assert {job.config for job in found.jobs} == expected and len(found.jobs) == len(expected)
    assert len({job.label for job in found.jobs}) == len({job.folder for job in found.jobs}) == len(expected)
    for job in found.jobs:
        fields = {name: value for name, value in job.parameters.items() if name not in ("preset", "run_folder")}
        assert Config.make(job.parameters["preset"], **fields) == job.config
        assert Path(job.parameters["run_folder"]) == job.folder and job.folder.is_absolute()


def test_blocks_win_over_the_file_and_presets_over_what_is_beside_them(tmp_path):
    names = ("beta", "seed", "style_dim", "steps")
    assert values(sweep(LAYERED, tmp_path), *names) == [(2.0, 7, 0, 10), (2.0, 7, 2, 10), (2.0, 7, 4, 30)]
    reduced = sweep(LAYERED, tmp_path, "reduced")
    assert values(reduced, *names) == [
        *itertools.product((3.0, 4.0), (0, 1), (0, 2), (10,)),
        *itertools.product((3.0, 4.0), (0, 1), (4,), (20,)),
    ]
    assert [job.label for job in reduced.jobs[-2:]] == ["special, beta=4 seed=0", "special, beta=4 seed=1"]
    assert {job.config.preset for job in reduced.jobs} == {"reduced"}
    assert {job.parts for job in reduced.jobs} == {("latent",)}
    folders = [job.folder.parent for job in reduced.jobs[7:9]]
    assert folders == [Path("runs/plain").resolve(), Path("runs/special").resolve()]


def test_the_command_line_wins_over_everything(tmp_path):
    found = sweep(LAYERED, tmp_path, beta=9.0, style_dim=[1, 3], parts=["probe"], limit=20)
    assert values(found, "beta", "style_dim", "steps") == [(9.0, 1, 10), (9.0, 3, 10), (9.0, 1, 30), (9.0, 3, 30)]
    assert {(job.parts, job.limit) for job in found.jobs} == {(("probe",), 20)}


def test_a_file_without_parameters_is_one_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    (job,) = sweep("", tmp_path, folder=None).jobs
    assert job.config == Config.make("quick") and job.label == "the only run"
    assert (job.parts, job.limit) == (evaluation.PARTS, evaluation.ITEMS)
    assert job.folder.parent == tmp_path / "outputs" / "quick" / "sweeps" / "some"


COMMITTED = ("subspace_size", "prior_weight", "beta", "dynamic_prior", "objectives", "modalities", "missing")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("path", sorted((ROOT / "notebooks" / "sweeps").glob("*.toml")), ids=lambda path: path.stem)
def test_committed_sweeps_are_sound(path, preset, tmp_path):
    assert all((path.parent / f"{name}.toml").is_file() for name in COMMITTED)
    found = read(path, preset, folder=tmp_path)
    data = {"quick": "uci-plain-text", "reduced": "mnist-plain-text", "paper": "mnist-svhn-text"}[preset]
    many = {f"polydigits-{m}" for m in ((2, 4) if preset == "quick" else (2, 4, 8, 16))}
    assert len(found.jobs) >= 3 and found.title.endswith(("?", "?)", ")"))
    wanted = {"modalities": many, "family": {data, "polydigits-5"}}.get(path.stem, {data})
    assert {job.config.data for job in found.jobs} == wanted
    assert {job.config.preset for job in found.jobs} == {preset}
    assert all({"probe", "coherence"} <= set(job.parts) for job in found.jobs)
    assert {job.config.seed for job in found.jobs} == {"quick": {0}, "reduced": {0, 1}, "paper": {0, 1, 2}}[preset]


def test_a_job_can_be_typed_as_a_papermill_command(tmp_path):
    job = sweep("", tmp_path, objective="mmvae", style_dim=4, parts=["probe", "latent"]).jobs[0]
    program, notebook, _, option, parameters = shlex.split(job.command)
    assert (program, notebook, option) == ("papermill", "notebooks/04_training.ipynb", "-y")
    typed = yaml.safe_load(parameters)
    assert typed == {"preset": "quick", "objective": "mmvae", "style_dim": 4, "parts": ["probe", "latent"]}


# -------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fixed = { betta = 1.0 }", "04_training.ipynb has no parameter 'betta': did you mean 'beta'?"),
        ("grid = { seed = [0, 'one'] }", "04_training.ipynb: parameter 'seed' is of type int, which 'one' is not"),
        ("grid = { style_dim = [4, 20] }", "style_dim=20: style_dim 20 leaves no content of latent_dim 20"),
        ("grid = { seed = [1, 1] }", "seed=1: the same run as seed=1"),
        ("grid = { beta = [5, 5.0, 1] }", "beta=5: the same run as beta=5"),
        ("fixed = { objective = 'elbo' }", "the only run: unknown objective 'elbo': choose one of mvae"),
        ("fixed = { objective = 'mopoe', data = 'polydigits-16' }", "= 65,535 components: take at most 10 modalities"),
        ("fixed = { data = 'uci-speech' }", "the only run: unknown source 'speech'"),
        ("fixed = { parts = ['speed'] }", "the only run: unknown part 'speed' of an evaluation"),
        ("fixed = { limit = 0 }", "the only run: limit 0 leaves no test items: choose 1 or more"),
        ("fixed = { preset = 'paper' }", "preset is not for sweeps to choose: use the option --preset"),
        ("fixed = { run_folder = 'x' }", "run_folder is not for sweeps to choose: use the option --out"),
        ("fixxed = { beta = 1.0 }", "the file has no place for 'fixxed': did you mean 'fixed'?"),
        ("beta = 1.0", "the file has no place for 'beta': choose from title, runs, fixed, grid, quick"),
        ("quick = { steps = 3 }", "[quick] has no place for 'steps': choose from fixed, grid"),
        ("[[runs]]\nseed = 1", "[[runs]] has no place for 'seed'"),
        ("grid = { seed = 1 }", "[grid] needs a list of values for seed: seed = [1]"),
        ("grid = { seed = [] }", "[grid] needs a list of values for seed"),
        ("runs = []", "asks for no run: a list of values, or of [[runs]], is empty"),
        ("fixed = { parts = [] }", "the only run: parts is an empty list: leave it out for all parts"),
        ("fixed = { beta = inf }", "04_training.ipynb: parameter 'beta' is inf: give a finite number"),
        ("grid = { learning_rate = [1e-3, nan] }", "parameter 'learning_rate' is nan: give a finite number"),
        ("fixed = { latent_dim = 1000000000 }", "the only run: latent_dim 1000000000 is too much"),
        ("fixed = { seed = 1 }\ngrid = { seed = [2] }", "seed is in [fixed] and in [grid]: choose one"),
        ("quick.fixed = { seed = 1 }\nquick.grid.seed = [2]", "seed is in [quick.fixed] and in [quick.grid]"),
        ("fixed = 3", "fixed must be a table of parameters: [fixed]"),
        ("quick = 3", "quick must be a table: [quick.fixed] or [quick.grid]"),
        ("runs = 3", "runs must be written [[runs]], once for each grid"),
        ("[[runs]]\nname = 'a'\n[[runs]]\n", "each of several [[runs]] needs a name of its own"),
        ("[[runs]]\nname = 'A!'\n[[runs]]\nname = 'a'", "two [[runs]] are called 'a'"),
        ("[[runs]]\nname = 'a'\n[[runs]]\nname = 'b'", "b: the same run as a"),
        ("fixed = {", "some.toml is not TOML: "),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text, message, tmp_path):
    with pytest.raises(ValueError) as error:
        sweep(text, tmp_path)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_each_of_several_problems_has_its_line_and_unknown_presets_and_missing_files_are_refused(tmp_path):
    text = "fixed = { betta = 1.0 }\ngrid = { style_dim = [0, 'x'], seeds = [1, 2] }"
    with pytest.raises(ValueError) as error:
        sweep(text, tmp_path)
    first, *lines = str(error.value).splitlines()
    assert first.endswith("some.toml: 3 problems")
    ends = [line.strip().partition(":")[0].removeprefix("04_training.ipynb") for line in lines]
    assert ends == [" has no parameter 'betta'", "", " has no parameter 'seeds'"]
    with pytest.raises(ValueError, match=r"2 problems\n  style_dim=20: .*\n  style_dim=25: "):
        sweep("grid = { style_dim = [0, 20, 25] }", tmp_path)
    with pytest.raises(ValueError, match="unknown preset 'big': choose one of quick, reduced, paper"):
        sweep("", tmp_path, "big")
    with pytest.raises(ValueError, match="asks for no run"):
        sweep("", tmp_path, beta=[])
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.toml", notebook=NOTEBOOK)
