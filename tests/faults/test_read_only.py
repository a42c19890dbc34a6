"""A project whose data and caches can only be read, by a real mount: training, judging and evaluating go on."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from helpers import fill_cache, fill_cache_with_judges

from workbench import files
from workbench.config import Config
from workbench.data.images import Images, cached
from workbench.evaluation import train_and_evaluate
from workbench.runs.run import Run

CONFIG = Config(data="uci-plain-text", repeats=2, batch_size=8, steps=3, style_dim=2, device="cpu", compiled="off")
PARTS = ["latent", "probe", "coherence", "quality"]

pytestmark = pytest.mark.slow


@pytest.fixture
def closed() -> Iterator[Callable[[Path], None]]:
    """Make folders ones that can only be read, by root too, until the test ends."""
    mounted = []

    def close(folder: Path) -> None:
        for options in (["--bind", folder, folder], ["-o", "remount,bind,ro", folder]):
            done = subprocess.run(["mount", *options], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
            mounted.append(folder)
        with pytest.raises(OSError, match="Read-only file system"):
            (folder / "file").touch()

    yield close
    for folder in {*mounted}:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A project root with a few digits in its cache, and nothing that was said before."""
    monkeypatch.setattr(files, "_said", set())
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path / "root"))
    fill_cache()
    return tmp_path / "root"


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def done(folder: Path) -> tuple[dict, bytes]:
    """The numbers and weights of the run that is trained and evaluated there."""
    run = train_and_evaluate(CONFIG, folder, progress=False, parts=PARTS, limit=40)
    told = {name: value for name, value in run.metrics.items() if name not in ("seconds", "evaluated_with")}
    return told, (run.folder / "model.safetensors").read_bytes()


def test_with_a_cache_that_can_only_be_read_all_numbers_are_the_same(root, tmp_path, closed, capsys, monkeypatch):
    fill_cache_with_judges(CONFIG.data)
    before = content(root / "data")
    closed(root / "data")
    found = done(tmp_path / "closed")
    said = capsys.readouterr().err.splitlines()
    assert content(root / "data") == before and {line.partition(" is not kept ")[1] for line in said} == {
        " is not kept "
    }
    shutil.copytree(root, tmp_path / "open")
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path / "open"))
    assert done(tmp_path / "run") == found and content(tmp_path / "open" / "data").keys() > before.keys()


def test_what_is_not_cached_is_made_and_not_kept_which_is_said_once(root, closed, capsys):
    closed(root / "data")
    before, images = content(root / "data"), Images(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.arange(2))
    for _ in range(2):
        assert torch.equal(cached("other-1", lambda: images).labels, images.labels)
        fill_cache_with_judges("uci-text")
    said = capsys.readouterr().err.splitlines()
    kept = [line for line in said if " is not kept (Read-only file system)" in line]
    assert len(kept) == 3 and len(said) == 4 and "cannot be locked" in said[0] and content(root / "data") == before


def test_an_output_folder_that_can_only_be_read_is_refused_with_its_name(root, tmp_path, closed):
    (out := tmp_path / "out").mkdir()
    run = train_and_evaluate(CONFIG.replace(data="uci-text"), out / "run", progress=False, parts=["latent"], limit=40)
    closed(out)
    again = train_and_evaluate(run.config, run.folder, progress=False, parts=["latent"], limit=40)
    assert again.folder == run.folder and again.metrics == run.metrics, "what is there is read"
    with pytest.raises(OSError, match=rf"Read-only file system: '{out}/other"):
        train_and_evaluate(run.config, out / "other", progress=False, parts=["latent"], limit=40)
    assert not Run(out / "other").trained
