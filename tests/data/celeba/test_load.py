"""CelebA from folders on disk: pixels, attributes, splits, and what is said of folders that are not whole."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from source_files import HALF, OFFICIAL, attribute_list, attributes_of, names, photo, picture, write_celeba

from workbench import paths
from workbench.data.celeba import attributes, cache, load
from workbench.data.celeba.lists import COUNT, is_own_test, read_attributes, read_partition
from workbench.data.celeba.load import load_celeba, survey
from workbench.data.celeba.photos import Unusable, crop_box, read_photo
from workbench.data.images import DataError
from workbench.data.load import load_dataset


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project without a cache; its own data folder is the data root."""
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    return tmp_path / "data"


def kept():
    """File names in the order of the only cache, training first."""
    (index,) = paths.cache_dir().glob("celeba-*/index.json")
    return json.loads(index.read_text())["names"]


def refusal(root, split="train") -> str:
    with pytest.raises(DataError) as error:
        load_celeba(split, root)
    assert "\n" not in str(error.value)
    return str(error.value)


def torchvisions(path, crop):
    transforms = pytest.importorskip("torchvision.transforms")
    steps = [transforms.CenterCrop(crop), transforms.Resize(64, transforms.InterpolationMode.BICUBIC)]
    with Image.open(path) as image:
        return transforms.Compose([*steps, transforms.PILToTensor()])(image.convert("RGB"))


@pytest.mark.parametrize(
    ("size", "crop"), [(OFFICIAL, 148), (HALF, 74), ((356, 436), 296), ((90, 110), 75), ((59, 73), 49), ((45, 55), 37)]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_pixels_are_torchvisions(tmp_path, size, crop, mode):
    path = tmp_path / "face.jpg"
    picture(1, size).convert(mode).save(path, quality=90)
    assert torch.equal(torch.from_numpy(read_photo(path).copy()), torchvisions(path, crop))


def test_the_crop_is_the_middle():
    assert crop_box(*OFFICIAL) == (15, 35, 163, 183) and crop_box(*HALF) == (8, 18, 82, 92)
    for size in ((64, 64), (218, 178), (178, 178), (178, 220), (90, 109), (8, 10)):
        with pytest.raises(Unusable, match=f"^{size[0]}x{size[1]}, no copy of 178x218$"):
            crop_box(*size)


def test_images_and_attributes_belong_together(root):
    folder = write_celeba(root, 30, parts=[0, 2, 1] * 10)
    train, test = load_celeba("train", root), load_celeba("test", root)
    assert kept() == names(*range(1, 31, 3), *range(2, 31, 3))
    assert train.values.dtype == torch.uint8 and train.labels.dtype == torch.bool
    assert train.values.shape == test.values.shape == (10, 3, 64, 64)
    for images, first in ((train, 1), (test, 2)):
        for value, label, n in zip(*images, range(first, 31, 3), strict=True):
            assert torch.equal(value, torchvisions(photo(folder, n), 74))
            assert np.array_equal(label.numpy(), attributes_of(30)[n - 1])


def test_the_data_set_describes_its_faces(root):
    write_celeba(root, 30, parts=[0, 2] * 15)
    dataset = load_dataset("celeba", "test", root)
    assert (dataset.modalities, dataset.shapes, len(dataset)) == (("image", "text"), ((3, 64, 64), (256,)), 15)
    batch = dataset.batch(torch.tensor([4]), torch.Generator())
    assert np.array_equal(attributes.parse(attributes.text_of(batch.values[1])[0]).numpy(), attributes_of(30)[9])
    assert torch.equal(batch.values[0][0], load_celeba("test", root).values[4] / 255)


def test_pixels_stay_on_disk_and_cannot_be_changed_there(root):
    write_celeba(root, 12, parts=[0, 2] * 6)
    test = load_celeba("test", root)
    before = test.values.clone()
    (folder,) = paths.cache_dir().glob("celeba-*")
    assert isinstance(cache.read(folder.name).values, np.memmap) and test.values.is_contiguous()
    test.values.zero_()
    assert torch.equal(load_celeba("test", root).values, before) and before.any()


def test_the_official_split(root, capsys):
    write_celeba(root, 12, parts=[0] * 6 + [1] * 2 + [2] * 4)
    shutil.move(photo(root / "celeba", 3), root / "elsewhere.jpg")
    load_celeba("train", root)
    assert kept() == names(1, 2, 4, 5, 6, 9, 10, 11, 12)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "celeba: 11 of 12 images: 5 train, 4 test (official split, 2 of the official validation partition used for "
        "neither)"
    )


def test_our_own_split_where_no_official_test_image_is(root, capsys):
    write_celeba(root, 60, parts=[0] * 60 + [2] * 3)
    counts = len(load_celeba("train", root).labels), len(load_celeba("test", root).labels)
    test = [name for name in names(*range(1, 61)) if is_own_test(name)]
    assert kept()[counts[0] :] == test and counts == (60 - len(test), len(test)) and len(test) > 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"celeba: 60 of 60 images: {counts[0]} train, {counts[1]} test "
        "(own split: all lie in the official training partition)"
    )


def test_validation_is_left_out_of_our_own_split_too(root, capsys):
    write_celeba(root, 40, parts=[0] * 30 + [1] * 10)
    load_celeba("test", root)
    assert set(kept()) == set(names(*range(1, 31)))
    kind = "(own split of the official training partition, as no official test image is there, 10 of the official "
    assert kind in capsys.readouterr().err


def test_our_own_split_is_an_eighth_and_never_changes():
    count = COUNT // 10
    test = [name for name in names(*range(1, count + 1)) if is_own_test(name)]
    assert abs(len(test) - count / 8) < 4 * (count * 7 / 64) ** 0.5  # four standard deviations
    assert test[:6] == names(2, 4, 5, 9, 18, 30)


def test_an_image_keeps_its_part_when_others_come(root):
    folder = write_celeba(root, 60)
    later = root / "later"
    later.mkdir()
    for n in range(1, 61, 2):
        shutil.move(photo(folder, n), later)
    sets = []
    for _ in range(2):
        rows = len(load_celeba("train", root).labels)
        sets.append((set(kept()[:rows]), set(kept()[rows:])))
        for path in later.iterdir():
            shutil.copy(path, folder / "img_align_celeba")
    (train, test), (more_train, more_test) = sets
    assert train < more_train and test < more_test and not more_train & more_test
    assert len(train | test) == 30 and len(more_train | more_test) == 60


@pytest.mark.parametrize(
    ("parts", "message"),
    [([2] * 30, "no image is left for training"), ([1] * 30, "no image is left for training"), ([0], "left for test")],
)
def test_a_split_without_images_is_refused(root, parts, message):
    write_celeba(root, len(parts), parts)
    assert message in refusal(root) and "data=faces" in refusal(root)
    assert not list(paths.cache_dir().glob("*celeba-*"))


def test_an_unknown_split(root):
    with pytest.raises(ValueError, match="unknown split 'valid'"):
        load_celeba("valid", root)


@pytest.mark.parametrize("case", ["no folder", "empty", "other format", "a file"])
def test_without_photographs_the_cure_is_named(root, case):
    photos = root / "celeba" / "img_align_celeba"
    if case == "a file":
        photos.parent.mkdir(parents=True)
        photos.write_text("")
    elif case != "no folder":
        photos.mkdir(parents=True)
    if case == "other format":
        picture(1).save(photos / "000001.png")
    message = refusal(root)
    assert str(photos) in message
    assert all(cure in message for cure in ("workbench data fetch celeba", "list_attr_celeba.txt", "data=faces"))
    with pytest.raises(DataError):
        survey(root)


@pytest.mark.parametrize("name", ["list_attr_celeba.txt", "list_eval_partition.txt"])
def test_a_list_of_other_images_or_none_is_refused_with_its_cure(root, name):
    path = write_celeba(root) / name
    path.write_text(path.read_text().replace(".jpg", ".png"))
    assert f"none of the 40 images, 000001.jpg the first, has a row in {name}" in refusal(root)
    path.unlink()
    assert f"{name} is missing: get the original with `workbench data fetch celeba`" in refusal(root)
    assert not list(paths.cache_dir().glob("*celeba-*"))


def test_images_without_rows_are_skipped_and_named(root, capsys):
    folder = write_celeba(root, 40, parts=[0, 2] * 20)
    attribute_rows = (folder / "list_attr_celeba.txt").read_text().splitlines()
    attribute_rows[0] = "37"
    (folder / "list_attr_celeba.txt").write_text("\n".join(attribute_rows[:8] + attribute_rows[11:]))  # not 7, 8, 9
    partition = (folder / "list_eval_partition.txt").read_text().splitlines()
    (folder / "list_eval_partition.txt").write_text("\n".join(partition[:1] + partition[2:]))  # not 2
    labels = torch.cat([load_celeba("train", root).labels, load_celeba("test", root).labels])
    assert kept() == names(*(n for start in (1, 2) for n in range(start, 41, 2) if n not in (2, 7, 8, 9)))
    assert np.array_equal(labels.numpy(), attributes_of(40)[[int(name[:6]) - 1 for name in kept()]])
    skipped = "000002.jpg (no row in list_eval_partition.txt), 000007.jpg (no row in list_attr_celeba.txt), "
    skipped += "000008.jpg (no row in list_attr_celeba.txt), ..."
    assert capsys.readouterr().err.strip().endswith(f"skipped 4: {skipped}")


def test_a_list_that_announces_another_number_of_rows(root, capsys):
    folder = write_celeba(root)
    text = attribute_list(attributes_of(40)).replace("40", "202599", 1)
    (folder / "list_attr_celeba.txt").write_text(text)
    load_celeba("train", root)
    assert capsys.readouterr().err.strip().endswith("list_attr_celeba.txt announces 202,599 rows but has 40")


def test_what_is_no_photograph_is_ignored(root, capsys):
    photos = write_celeba(root) / "img_align_celeba"
    for name in ("Thumbs.db", "000041.png", "._000001.jpg", ".DS_Store", "list.txt"):
        (photos / name).write_bytes(b"\0")
    (photos / "000042.jpg").mkdir()
    load_celeba("train", root)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("celeba: 40 of 40 images") and "skipped" not in line


def test_photographs_in_a_folder_of_the_same_name_twice(root):
    photos = write_celeba(root) / "img_align_celeba"
    photos.rename(photos.with_name("inner"))
    photos.mkdir()
    photos.with_name("inner").rename(photos / "img_align_celeba")
    assert len(load_celeba("train", root).labels) + len(load_celeba("test", root).labels) == 40


def test_survey_builds_nothing(root):
    write_celeba(root)
    counts, cached = survey(root)
    assert not cached and not list(paths.cache_dir().iterdir())
    load_celeba("test", root)
    assert survey(root) == (counts, True)


def test_real_photographs(real_data, root, capsys):
    source = real_data / "celeba"
    if not photo(source, 1).is_file():
        pytest.skip("no CelebA under WORKBENCH_DATA")
    folder = root / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        (folder / name).symlink_to(source / name)
    for n in range(1, 201):
        photo(folder, n).symlink_to(photo(source, n))
    train, test = load_celeba("train", root), load_celeba("test", root)
    assert f"celeba: 200 of 202,599 images: {len(train.labels)} train" in capsys.readouterr().err
    table = read_attributes(folder / "list_attr_celeba.txt")
    assert set(read_partition(folder / "list_eval_partition.txt").values()) == {0, 1, 2}
    values, labels = torch.cat([train.values, test.values]), torch.cat([train.labels, test.labels])
    with Image.open(photo(folder, 1)) as image:
        crop = round(148 * image.width / 178)
    for value, label, name in zip(values, labels, kept(), strict=True):
        assert torch.equal(value, torchvisions(folder / "img_align_celeba" / name, crop))
        assert np.array_equal(label.numpy(), table.values[table.rows[name]])
    assert load.photo_sizes(folder)["000001.jpg"] == photo(source, 1).stat().st_size
