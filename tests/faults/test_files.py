"""The writer, the reader and the locks of all files: names of their own, nothing left, what there is no room for."""

import errno
import itertools
import os
import stat
import subprocess
import sys

import pandas
import pytest
import torch
from filelock import FileLock
from made_runs import finished

from workbench import files, paths
from workbench.data.images import Images, cached
from workbench.data.tensors import read_tensors, write_tensors
from workbench.errors import DamagedFile, LaterFile
from workbench.files import read_json, write_json
from workbench.interop import export as exporting
from workbench.reports import layout, tables
from workbench.reports.page import show
from workbench.runs.run import Run, find_runs, sole_writer
from workbench.training import checkpoint

DEAD = """
import os, sys
from pathlib import Path
from workbench.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os._exit(1)
"""


@pytest.fixture(autouse=True)
def unsaid(monkeypatch):
    """What is said once is said once in each test."""
    monkeypatch.setattr(files, "_said", set())


def test_files_have_the_mode_that_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        write_tensors(tmp_path / "a.safetensors", {"x": torch.ones(2)})
        write_json(tmp_path / "a.json", {})
        with files.replacing_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"a.safetensors": 0o640, "a.json": 0o640, "folder": 0o750}


def test_what_a_dead_writer_left_goes_with_the_next_and_what_a_living_one_writes_stays(tmp_path):
    subprocess.run([sys.executable, "-c", DEAD, tmp_path / "file"], check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(f".file.{files.HOST}-") and left.read_text() == "half"
    old, fresh = tmp_path / ".tmpAb3xYz", tmp_path / ".tmpFresh1"
    for path in (old, fresh, tmp_path / ".gitignore"):
        path.touch()
    os.utime(old, (0, 0))
    with files.replacing(tmp_path / "other") as mine:
        mine.touch()
        write_json(tmp_path / "file", {})
        assert mine.exists() and not left.exists() and not old.exists()
    assert {path.name for path in tmp_path.iterdir()} == {".gitignore", ".tmpFresh1", "file", "other"}


def test_a_parent_folder_leaves_the_files_of_runs_within_it_alone(tmp_path):
    own, other = tmp_path / ".model.safetensors.1.part", tmp_path / "child" / ".model.safetensors.1.part"
    other.parent.mkdir()
    for path in (own, other):
        path.touch()
    with sole_writer(tmp_path):
        assert not own.exists() and other.exists()


@pytest.mark.parametrize("number", sorted(paths.NO_LOCKS))
def test_where_there_can_be_no_locks_all_goes_on_without(number, tmp_path, monkeypatch, capsys):
    def refuse(self, *rest, **more):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    for _ in range(2):
        with paths.locked(tmp_path / "run", "busy") as held:
            assert not held
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(tmp_path) in said and "cannot be locked" in said


def test_a_lock_file_that_anybody_left_is_not_waited_for_where_flock_is_missing(tmp_path, monkeypatch, capsys):
    import fcntl

    def missing(*arguments):
        raise OSError(errno.ENOSYS, "Function not implemented")

    (tmp_path / ".run.lock").touch()
    monkeypatch.setattr(fcntl, "flock", missing)
    with paths.locked(tmp_path / "run", "busy") as held:
        assert not held
    assert "Function not implemented" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_cache_that_cannot_be_written_is_gone_without(number, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    images = Images(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.arange(2))

    def refuse(path, content):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_bytes", refuse)
        for _ in range(2):
            assert torch.equal(cached("name-1", lambda: images).labels, images.labels)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "name-1.safetensors is not kept" in said


@pytest.mark.parametrize("step", [-1, 2.5, True, None, "4", 10**9])
def test_a_step_that_cannot_be_is_refused(step, tmp_path):
    write_tensors(tmp_path / "checkpoint-0000004.safetensors", {"noise": torch.zeros(1)})
    write_json(tmp_path / "checkpoint.json", {"step": step, "tensors": "checkpoint-0000004.safetensors"})
    words = r"checkpoint\.json is damaged \(step .*\): remove .*checkpoint\.json, and"
    with pytest.raises(DamagedFile, match=words), checkpoint.read(tmp_path).going_on(10):
        pytest.fail("it goes on")


def test_a_field_of_a_later_version_and_a_number_that_was_not_finite(tmp_path):
    run = finished(tmp_path / "run")
    stored = run.read("config.json")
    run.write("config.json", stored | {"config": stored["config"] | {"gamma": 1.0}})
    with pytest.raises(LaterFile, match=r"config\.json is of a later version .*'gamma'"):
        _ = run.config
    write_json(run.folder / "config.json", stored | {"config": stored["config"] | {"beta": None}})
    with pytest.raises(DamagedFile, match=r"config\.json is damaged \(beta is null"):
        _ = run.config


def test_a_bad_folder_beside_a_good_one(tmp_path, capsys):
    finished(tmp_path / "bad"), finished(tmp_path / "good", seed=1)
    (tmp_path / "bad" / "config.json").write_text("[1")
    assert [run.folder.name for run in find_runs(tmp_path)] == ["good"]
    assert capsys.readouterr().err.startswith(f"passed over: {tmp_path / 'bad' / 'config.json'} is damaged (no JSON")


def test_a_cut_row_of_a_history_is_dropped(tmp_path):
    run = Run(tmp_path)
    for step in (50, 100):
        run.add_to_history(step, {"total": step / 7})
    path = tmp_path / "history.csv"
    whole = path.read_bytes()
    for length in range(whole.rindex(b"100"), len(whole)):
        path.write_bytes(whole[:length])
        assert run.history()["step"] == [50]
        run.cut_history(100)
        run.add_to_history(100, {"total": 100 / 7})
        assert path.read_bytes() == whole


def history(folder, rows: int = 3) -> Run:
    """A history of so many rows, by a run that has not ended."""
    run = Run(folder)
    for step in range(50, 50 * rows + 1, 50):
        run.add_to_history(step, {"total": step / 7, "nll_text": -step})
    return run


def test_every_bit_of_a_history_that_is_changed_is_noticed(tmp_path, capsys, monkeypatch):
    run = history(tmp_path, 2)
    path, expected = tmp_path / "history.csv", run.history()
    whole = path.read_bytes()
    for place, bit in itertools.product(range(len(whole)), range(8)):
        monkeypatch.setattr(files, "_said", set())
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        try:
            found = run.history()
        except DamagedFile as error:
            assert str(error).startswith(f"{path} is damaged (")
            continue
        said = capsys.readouterr().err
        end = place >= len(whole) - 2  # a row without its end may be about to be written
        assert found == expected or end or said.startswith(f"{path} is not as it was written (line "), (place, bit)
        assert all(row in zip(*expected.values(), strict=True) for row in zip(*found.values(), strict=True))


def test_a_changed_row_is_left_out_and_named_on_reading_and_on_resume(tmp_path, capsys):
    run, path = history(tmp_path), tmp_path / "history.csv"
    path.write_bytes(path.read_bytes().replace(b"100,14.", b"100,24."))
    assert run.history()["step"] == [50, 150]
    assert capsys.readouterr().err == f"{path} is not as it was written (line 3): that is left out\n"
    files._said.clear()
    run.cut_history(150)
    assert f"{path} is not as it was written (line 3)" in capsys.readouterr().err
    assert run.history()["step"] == [50, 150] and capsys.readouterr().err == ""


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_history_that_lacks_its_end_says_so(lost, tmp_path, capsys):
    run = finished(tmp_path / "run", steps=150)
    path = run.folder / "history.csv"
    path.unlink()
    whole = history(run.folder).history()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) - lost]))
    assert len(run.history()["step"]) == 3 - lost and capsys.readouterr().err == "", "it may still grow"
    (run.folder / "model.safetensors").touch()
    assert run.history() == {name: column[: 3 - lost] for name, column in whole.items()}
    said = capsys.readouterr().err
    assert said == (f"{path} is not as it was written (its end): that is left out\n" if lost else "")


def test_a_history_of_an_older_version_goes_on_without_checksums(tmp_path, capsys):
    path = tmp_path / "history.csv"
    path.write_bytes(b"step,total\r\n50,2.5\r\n100,1.5\r\n")
    run = Run(tmp_path)
    run.cut_history(50)
    run.add_to_history(100, {"total": 1.25})
    assert path.read_bytes() == b"step,total\r\n50,2.5\r\n100,1.25\r\n" and capsys.readouterr().err == ""
    assert run.history() == {"step": [50.0, 100.0], "total": [2.5, 1.25]}


def test_a_history_is_a_table_for_others_with_one_column_more(tmp_path):
    run = history(tmp_path)
    table = pandas.read_csv(tmp_path / "history.csv")
    assert list(table) == [*run.history(), "checksum"] and table["checksum"].str.fullmatch(r"crc32:[0-9a-f]{8}").all()
    assert table["nll_text"].tolist() == run.history()["nll_text"] == [-50, -100, -150]


HOSTILE = ("../../outside", "/tmp/outside-of-it", "x}\\input{secret.txt}", "a/b", "..", "")


@pytest.mark.parametrize("data", HOSTILE)
def test_names_from_files_never_lead_out_of_a_folder_nor_into_latex(data, tmp_path):
    run = finished(tmp_path / "runs" / "run", data=data)
    out = tmp_path / "deep" / "er" / "out"
    for path in tables.write([run], out):
        assert path.resolve().parent.parent == out.resolve()
        assert "\\input{" not in path.read_text() if path.suffix == ".tex" else True
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "deep"}


def test_slugs_keep_names_that_are_some_and_tell_others_apart():
    names = ["uci-plain-text", "hospital-3fa9c1d2", "A", "a", "ä", "ö", "..", "a b", "a/b"]
    found = files.slugs(names)
    assert found["uci-plain-text"] == "uci-plain-text" and found["A"] == "A"
    assert len({slug.lower() for slug in found.values()}) == len(names)
    assert layout.slugs is files.slugs


def test_a_picture_behind_a_link_is_not_shown(tmp_path, monkeypatch):
    from IPython.display import Image

    shown = []
    monkeypatch.setattr("workbench.reports.page.display", lambda what, **_: shown.append(what))
    (tmp_path / "run").mkdir()
    (tmp_path / "secret").write_bytes(b"\x89PNG secret")
    (tmp_path / "run" / "coherence.png").symlink_to(tmp_path / "secret")
    show(Image(tmp_path / "run" / "coherence.png", format="png"), "alt", "caption")
    assert len(shown) == 1 and "left out" in shown[0].data


def test_a_full_disk_is_an_error_with_the_name_of_the_file(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(exporting, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device: .*encoder\.pt2"):
        exporting._save(torch.nn.Linear(2, 2), torch.zeros(2, 2), tmp_path / "encoder.pt2", "encoder")


def test_what_is_read_is_what_was_written_and_older_files_have_no_checksum(tmp_path):
    import safetensors.torch

    tensors = {"a": torch.arange(3), "b": torch.tensor(True), "c": torch.zeros(0, 2), "d": torch.ones(2).bfloat16()}
    tensors["e"] = tensors["a"].view(3, 1)  # of the same memory
    write_tensors(tmp_path / "new", tensors, {"note": "x"})
    safetensors.torch.save_file({"a": tensors["a"]}, tmp_path / "old")
    found, note = read_tensors(tmp_path / "new")
    assert note == {"note": "x"} and all(torch.equal(found[name], x) for name, x in tensors.items())
    assert torch.equal(read_tensors(tmp_path / "old").tensors["a"], tensors["a"])
    write_json(tmp_path / "json", {"b": 1.5, "a": [None]}, checked=True)
    assert read_json(tmp_path / "json") == {"b": 1.5, "a": [None]}
