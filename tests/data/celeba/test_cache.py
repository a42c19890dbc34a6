"""CelebA's cache: damaged images, stopped builds, damaged caches, several processes."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import ImageFile
from source_files import attributes_of, names, photo, picture, write_celeba

from workbench import paths
from workbench.data.celeba import cache, lists
from workbench.data.celeba import load as celeba
from workbench.data.celeba.load import load_celeba
from workbench.data.celeba.photos import read_photo
from workbench.data.images import DataError, Images

PARTS = [0] * 30 + [2] * 10


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project with 40 images in its data folder, 30 of training and 10 of test, and no cache; small blocks."""
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    monkeypatch.setattr(cache, "BLOCK", 8)
    write_celeba(tmp_path / "data", 40, PARTS)
    return tmp_path / "data"


def load(root) -> Images:
    """Both splits one after the other."""
    return Images(*map(torch.cat, zip(load_celeba("train", root), load_celeba("test", root), strict=True)))


def caches() -> list[str]:
    """Caches, whole or not, by name."""
    return sorted(path.name for path in paths.cache_dir().glob("*celeba-*"))


def expected(root, *missing: int) -> Images:
    """What loading must give, one image after the other, without those numbers."""
    numbers = [n for n in range(1, 41) if n not in missing]
    pixels = np.stack([read_photo(photo(root / "celeba", n)) for n in numbers])
    return Images(torch.from_numpy(pixels), torch.from_numpy(attributes_of(40)[[n - 1 for n in numbers]]))


def assert_equal(images: Images, others: Images) -> None:
    assert torch.equal(images.values, others.values) and torch.equal(images.labels, others.labels)


@pytest.fixture
def decoded(monkeypatch) -> Counter:
    """How often each photograph is decoded."""
    counter = Counter()

    def counting(path):
        counter[path.name] += 1
        return read_photo(path)

    monkeypatch.setattr(cache, "read_photo", counting)
    return counter


def rewrite(path, change):
    path.write_bytes(change(path.read_bytes()))


# By case: what is done to a file, and why it is left out.
CASES = {
    "empty": (lambda path: path.write_bytes(b""), "empty file"),
    "half": (lambda path: rewrite(path, lambda content: content[: len(content) // 2]), "image file is truncated"),
    "last byte": (lambda path: rewrite(path, lambda content: content[:-1]), "image file is truncated"),
    "header only": (lambda path: rewrite(path, lambda content: content[:200]), "Truncated File Read"),
    "web page": (lambda path: path.write_bytes(b"<html>404 not found</html>"), "no JPEG"),
    "png": (lambda path: picture(1).save(path, format="png"), "no JPEG"),
    "odd": (lambda path: picture(1, (100, 100)).save(path), "100x100, no copy of 178x218"),
}


def damage(path, case):
    CASES[case][0](path)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("lenient", [False, True])
def test_damaged_images_are_skipped_and_named(root, capsys, monkeypatch, case, lenient):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    for n in (5, 33):
        damage(photo(root / "celeba", n), case)
    images = load(root)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is lenient
    assert_equal(images, expected(root, 5, 33))
    assert (len(load_celeba("train", root).labels), len(load_celeba("test", root).labels)) == (29, 9)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("celeba: 40 of 40 images: 29 train, 9 test (official split); skipped 2: 000005.jpg (")
    assert line.count(CASES[case][1]) == 2 and "000033.jpg" in line
    counts, is_cached = celeba.survey(root)
    assert is_cached and list(counts.skipped) == names(5, 33)


def test_every_truncation_is_noticed(tmp_path):
    path = tmp_path / "face.jpg"
    picture(1, (45, 55)).save(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"\w"):
            read_photo(path)


@pytest.mark.parametrize("case", ["half", "odd"])
def test_mostly_damaged_is_refused_and_nothing_is_kept(root, case):
    for n in range(1, 22):
        damage(photo(root / "celeba", n), case)
    for _ in range(2):
        with pytest.raises(DataError) as error:
            load_celeba("test", root)
        message = str(error.value)
        assert "\n" not in message and "more than half of the 40 images" in message and CASES[case][1] in message
        assert "21: 000001.jpg (" in message and caches() == []
    picture(1).save(photo(root / "celeba", 1))
    assert_equal(load(root), expected(root, *range(2, 22)))


def test_no_test_image_left_is_refused_and_nothing_is_kept(root):
    for n in range(31, 41):
        damage(photo(root / "celeba", n), "half")
    with pytest.raises(DataError, match="no image is left for test"):
        load_celeba("train", root)
    assert caches() == []


def test_a_disk_that_does_not_answer_is_no_damaged_image(root, monkeypatch):
    def failing(path):
        if path.name == "000020.jpg":
            raise PermissionError(13, "Permission denied", str(path))
        return read_photo(path)

    with monkeypatch.context() as patch:
        patch.setattr(cache, "read_photo", failing)
        with pytest.raises(DataError, match=r"000020.jpg cannot be read \(Permission denied\)"):
            load_celeba("train", root)
    assert caches() == []
    assert_equal(load(root), expected(root))


def test_without_room_nothing_is_begun(root, monkeypatch, decoded):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: SimpleNamespace(free=100_000))
    with pytest.raises(DataError, match=r"need 0\.0 GB in .*cache, where 0\.0 are free"):
        load_celeba("train", root)
    assert not decoded


def test_without_pillow_the_cure_is_named(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(DataError, match="pip install pillow"):
        load_celeba("train", root)


@pytest.mark.parametrize("damaged", [False, True])
def test_an_interrupted_build_leaves_nothing_and_begins_again(root, monkeypatch, decoded, damaged):
    if damaged:
        damage(photo(root / "celeba", 3), "half")

    def interrupted(path):  # as by Ctrl-C
        if path.name == "000022.jpg":
            raise KeyboardInterrupt
        return read_photo(path)

    with monkeypatch.context() as patch:
        patch.setattr(cache, "read_photo", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_celeba("train", root)
    assert caches() == []
    assert_equal(load(root), expected(root, *[3] * damaged))
    assert sorted(decoded) == names(*range(1, 41)) and set(decoded.values()) == {1}
    assert list(celeba.survey(root)[0].skipped) == names(3) * damaged


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from workbench.data.celeba import cache, load

    cache.BLOCK = 8

    def kill(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    if sys.argv[2] == "decoding":
        read_photo, cache.read_photo = cache.read_photo, lambda path: (kill if "30" in path.name else read_photo)(path)
    else:
        cache.os.fsync = kill
    load.load_celeba("train", Path(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["decoding", "all is written but not named"])
def test_what_a_killed_build_leaves_is_no_cache_and_goes(root, decoded, when):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(root), when]
    assert subprocess.run(command, env=os.environ, check=False, capture_output=True).returncode == -signal.SIGKILL
    assert [name[0] for name in caches()] == ["."]  # nothing that a loader would take for whole
    assert not celeba.survey(root)[1]
    assert_equal(load(root), expected(root))
    assert sorted(decoded) == names(*range(1, 41)) and set(decoded.values()) == {1}
    assert [name[0] for name in caches()] == ["c"]


def test_what_a_build_that_ended_early_has_left_goes_with_the_next(root):
    left = paths.cache_dir() / ".celeba-train-64.building"
    left.mkdir(parents=True)
    (left / "images.npy").write_bytes(b"half")
    assert_equal(load(root), expected(root))
    assert [name[0] for name in caches()] == ["c"]


def test_a_second_load_reads_neither_lists_nor_photographs(root, monkeypatch, capsys):
    images = load(root)
    capsys.readouterr()
    for module, name in ((lists, "read_attributes"), (lists, "read_partition"), (cache, "read_photo")):
        monkeypatch.setattr(module, name, None)
    assert_equal(load(root), images)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("file", ["images.npy", "labels.npy", "index.json"])
@pytest.mark.parametrize("case", ["cut", "empty", "missing", "other"])
def test_a_damaged_cache_is_made_again(root, decoded, file, case):
    images = load(root)
    values = images.values.clone()
    path = next(paths.cache_dir().glob("celeba-*")) / file
    content = path.read_bytes()
    path.unlink()
    if case == "other":
        np.save(paths.cache_dir() / "other.npy", np.zeros((40, 40)))
        path.write_bytes((paths.cache_dir() / "other.npy").read_bytes())
    elif case != "missing":
        path.write_bytes(content[: -1 if case == "cut" else 0])
    decoded.clear()
    assert_equal(load(root), Images(values, images.labels))
    assert sorted(decoded) == names(*range(1, 41)) and path.read_bytes() == content


def test_more_images_replace_the_cache_when_the_new_one_stands(root, monkeypatch):
    extra = photo(root / "celeba", 40)
    shutil.move(extra, root / "later.jpg")
    load(root)
    (old,) = caches()
    shutil.move(root / "later.jpg", extra)
    with monkeypatch.context() as patch:
        patch.setattr(cache.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
        with pytest.raises(DataError):
            load(root)
    assert caches() == [old]
    assert_equal(load(root), expected(root))
    (new,) = caches()
    assert new != old


def test_caches_of_two_folders_live_side_by_side(root, tmp_path, decoded):
    write_celeba(tmp_path / "second", 30, [0, 2] * 15)
    load(root), load(tmp_path / "second")
    decoded.clear()
    load(root), load(tmp_path / "second")
    assert len(caches()) == 2 and not decoded
    shutil.rmtree(tmp_path / "second")
    write_celeba(tmp_path / "third", 20, [0, 2] * 10)
    load(tmp_path / "third")
    assert len(caches()) == 2  # that of the folder that is gone has gone too


@pytest.mark.parametrize("file", ["list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba/000007.jpg"])
def test_other_content_makes_another_cache(root, file):
    load(root)
    before, path = caches(), root / "celeba" / file
    path.write_bytes(path.read_bytes() + b"\r\n")
    load(root)
    assert len(caches()) == 1 and caches() != before


def test_another_recipe_makes_another_cache(root, monkeypatch):
    load(root)
    before = caches()
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    assert_equal(load(root), expected(root))
    assert len(caches()) == 1 and caches() != before


def test_a_moved_folder_keeps_its_cache(root, decoded):
    load(root)
    decoded.clear()
    moved = root.with_name("moved")
    moved.mkdir()
    (root / "celeba").rename(moved / "celeba")
    load(moved)
    assert not decoded


def test_two_at_a_time_make_it_once(root, decoded):
    loaded = []
    threads = [threading.Thread(target=lambda: loaded.append(load(root))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(decoded.values()) == {1} and len(loaded) == 3
    for images in loaded:
        assert_equal(images, expected(root))
