"""Kills at random moments and disks that are full: nothing half written, and the same end, bit by bit.

What is written while it is killed is compared with what nobody disturbed. Moments are random, but the same every time.
"""

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from helpers import fill_cache
from random_kills import CONFIG, begun, draw, judge, killed_at_random, noise, photographs, take_away, train
from small_sweeps import command, kept_steps, kill_when, make_root, results
from source_files import write_celeba

from workbench.data.images import cached
from workbench.runs.run import Run
from workbench.training.loop import fit

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Iterator[Path]:
    """A project root with tiny data and a trained run in it, for all tests of this file."""
    folder = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_ROOT", str(folder))
        fill_cache()
        fit(CONFIG.replace(steps=5), folder / "trained", progress=False)
        yield folder


def nothing_left(*folders: Path) -> bool:
    """Whether no file of a killed writer is there: half of one, or under a name that is not its own."""
    return not [path for folder in folders for path in folder.rglob("*") if ".part" in path.name or ".tmp" in path.name]


def trained(out: Path) -> dict[str, bytes]:
    """The files of a run that do not say when it was made."""
    assert nothing_left(out) and not [*out.rglob("checkpoint*")]
    paths = [path for path in sorted((out / "run").rglob("*")) if path.is_file() and path.name != "config.json"]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def judged(out: Path) -> dict:
    assert nothing_left(out)
    return {name: x for name, x in Run(out / "run").metrics.items() if name not in ("seconds", "evaluated_with")}


def drawn(out: Path) -> bytes:
    with np.load(io.BytesIO((out / "read.npz").read_bytes())) as read:
        return read["values"].tobytes()


def collected(out: Path) -> list[bytes]:
    """CelebA's cache of that folder, the only thing that is left there."""
    (own,) = [path for path in (out / "data" / "cache").iterdir() if path.is_dir()]
    return [(own / name).read_bytes() for name in ("images.npy", "labels.npy")]


def exported(out: Path) -> list[str]:
    assert json.loads((out / "model" / "model.json").read_text())["content_dim"] == CONFIG.content_dim
    return sorted(path.name for path in (out / "model").iterdir())


def nothing(out: Path) -> None:
    """What a folder needs before its work: nothing."""


WORKS = {
    "train": (train, 10, trained, nothing),
    "evaluate": (judge, 5, judged, nothing),
    "cache": (draw, 8, drawn, nothing),
    "celeba": (photographs, 8, collected, lambda out: write_celeba(out, 60)),
    "export": (take_away, 3, exported, nothing),
}


@pytest.mark.parametrize("work", WORKS)
def test_what_is_killed_at_random_moments_ends_as_if_nobody_had_disturbed_it(work, root, tmp_path, monkeypatch):
    what, kills, whole, fresh = WORKS[work]
    place = tmp_path / "root"
    monkeypatch.setenv("WORKBENCH_ROOT", str(place))
    shutil.copytree(root, place)
    undisturbed, *others = killed_at_random(what, place, tmp_path, kills, len(work), whole, fresh)
    assert others and all(other == undisturbed for other in others)


def test_a_killed_sweep_loses_nothing_and_the_same_command_ends_it_bit_by_bit(tmp_path):
    """By the default number of workers: killed in trainings, between two runs, and when one is left."""
    path = make_root(tmp_path / "root")
    place, many = os.environ | {"WORKBENCH_ROOT": str(path.parent)}, {"workers": None}
    whole, out = tmp_path / "whole", tmp_path / "out"
    subprocess.run(command(path, whole, **many), env=place, check=True, capture_output=True, timeout=300)
    kept: dict[str, int] = {}
    for complete in (0, 1, 3):

        def reached(complete=complete) -> bool:
            return len([*out.glob("*/metrics.json")]) >= complete and bool([*out.glob("*/checkpoint.json")])

        if not kill_when(reached, command(path, out, **many), place):
            break
        now = kept_steps(out)
        assert all(now.get(name, 0) >= step for name, step in kept.items()), f"lost steps: {kept} -> {now}"
        kept = now
    done = subprocess.run(command(path, out, **many), env=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert kept and results(out) == results(whole)
    speeds = [json.loads(file.read_text())["speed"] for file in tmp_path.glob("*/*/config.json")]
    assert len(speeds) == 8 and all(speed == speeds[0] for speed in speeds)
    assert nothing_left(out) and not [*out.glob("*/checkpoint*")]


# ------------------------------------------------------------------------------------------------------- full disks


@pytest.fixture
def disk(tmp_path) -> Iterator[Callable[[int], Path]]:
    """A disk of its own of so many kB, which can be made larger by asking again."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def sized(kilobytes: int) -> Path:
        mounted = ["remount,"] if os.path.ismount(folder) else [""]
        options = ["-t", "tmpfs", "-o", f"{mounted[0]}size={kilobytes}k", "tmpfs", folder]
        done = subprocess.run(["mount", *options], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a disk to fill cannot be mounted here: {done.stderr.strip()}")
        return folder

    yield sized
    if os.path.ismount(folder):
        subprocess.run(["umount", "--lazy", folder], check=True)


def whole_tensors(folder: Path) -> bool:
    """Whether every file of tensors below a folder can be read to its end."""
    return all(safetensors.torch.load_file(path) is not None for path in folder.rglob("*.safetensors"))


@pytest.mark.parametrize("kilobytes", [8, 400, 3000, 4500])
def test_a_training_on_a_full_disk_says_so_and_goes_on_where_there_is_room(kilobytes, root, tmp_path, disk):
    config = CONFIG.replace(steps=12, snapshot_every=3)
    undisturbed = fit(config, tmp_path / "undisturbed", progress=False)
    folder = disk(kilobytes) / "run"
    with pytest.raises(Exception, match="No space left on device"):
        fit(config, folder, progress=False)
    assert whole_tensors(folder) and nothing_left(folder)
    disk(100_000)
    run = fit(config, folder, progress=False)
    for name in ("model.safetensors", "history.csv", "snapshots/0000009.safetensors"):
        assert (run.folder / name).read_bytes() == (undisturbed.folder / name).read_bytes(), name


def test_a_cache_on_a_full_disk_is_not_there_and_is_made_where_there_is_room(disk, monkeypatch):
    """Whether it is gone on without, or the disk is the error, no half of one is left to be read."""
    (root := disk(2000) / "root").mkdir()
    monkeypatch.setenv("WORKBENCH_ROOT", str(root))
    try:
        assert np.array_equal(cached("noise-train-seed0-1", noise).values, noise().values)
    except Exception as error:
        assert "No space left on device" in str(error)
    assert not [*root.rglob("*.safetensors")] and nothing_left(root)
    disk(100_000)
    assert np.array_equal(cached("noise-train-seed0-1", noise).values, noise().values)
    assert [*root.rglob("noise-train-seed0-1.safetensors")]


def test_an_export_on_a_full_disk_leaves_nothing_half_written(root, tmp_path, disk):
    out = disk(60)
    process = begun(take_away, root, out)
    process.join()
    assert process.exitcode == 1, "it ended by an error of Python's, not by a signal"
    assert not [*out.iterdir()]
    disk(100_000)
    process = begun(take_away, root, out)
    process.join()
    assert process.exitcode == 0 and exported(out)
