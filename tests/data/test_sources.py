import gzip
import itertools
import string

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat, savemat
from source_files import idx, write_mnist, write_svhn

from workbench.data import alphabet, text
from workbench.data.images import DataError
from workbench.data.mnist import count, load_mnist, read_idx
from workbench.data.pairing import pair_table
from workbench.data.svhn import count as count_crops
from workbench.data.svhn import load_svhn

# The official training set of SVHN.
SVHN_COUNTS = [4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659]


def one_line(error: pytest.ExceptionInfo, *words: object) -> bool:
    message = str(error.value)
    return "\n" not in message and all(str(word) in message for word in words)


@pytest.mark.parametrize("split", ["train", "test"])
def test_mnist_equals_torchvision(real_data, split):
    datasets = pytest.importorskip("torchvision.datasets")
    if not (real_data / "MNIST" / "raw").is_dir():
        pytest.skip("no MNIST under WORKBENCH_DATA")
    theirs = datasets.MNIST(real_data, train=split == "train")
    ours = load_mnist(split, real_data)
    assert ours.values.shape == (60_000 if split == "train" else 10_000, 1, 28, 28)
    assert torch.equal(ours.values.squeeze(1), theirs.data) and torch.equal(ours.labels, theirs.targets)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_mnist_plain_and_packed(tmp_path, split, packed):
    images, labels = write_mnist(tmp_path, split, packed=packed)
    loaded = load_mnist(split, tmp_path)
    assert loaded.values.dtype == torch.uint8 and loaded.labels.dtype == torch.int64
    assert np.array_equal(loaded.values.squeeze(1).numpy(), images)
    assert np.array_equal(loaded.labels.numpy(), labels)


@given(shape=st.lists(st.integers(1, 6), min_size=1, max_size=3), cut=st.integers(1, 400), seed=st.integers(0, 99))
def test_idx_reads_back_and_no_cut_goes_unnoticed(tmp_path_factory, shape, cut, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path, content = tmp_path_factory.mktemp("idx") / "file", idx(array)
    path.write_bytes(content)
    assert np.array_equal(read_idx(path, len(shape)), array)
    for damaged in (content[: -min(cut, len(content))], content + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            read_idx(path, len(shape))
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_idx(path, len(shape) + 1)


@pytest.mark.parametrize(
    ("load", "name", "file"),
    [(load_mnist, "mnist", "MNIST/raw/train-images-idx3-ubyte"), (load_svhn, "svhn", "svhn/train_32x32.mat")],
)
def test_a_missing_file_and_its_cure_are_named(tmp_path, load, name, file):
    with pytest.raises(DataError) as error:
        load("train", tmp_path)
    assert one_line(error, tmp_path / file, f"workbench data fetch {name}")


def pack(images, cut=None):
    """Have a packed file, whole or cut short, in the place of the images'."""
    packed = images.with_name(images.name + ".gz")
    packed.write_bytes(gzip.compress(images.read_bytes())[:cut] if cut else images.read_bytes())
    images.unlink()


def empty(images, labels):
    images.write_bytes(idx(np.zeros((0, 28, 28), np.uint8)))
    labels.write_bytes(idx(np.zeros(0, np.uint8)))


BROKEN = {  # what is done to the files of the images and of the labels, and which of them the message names
    "cut": (lambda images, labels: images.write_bytes(images.read_bytes()[:-1]), "images-idx3-ubyte"),
    "empty": (lambda images, labels: images.write_bytes(b""), "images-idx3-ubyte"),
    "another file": (lambda images, labels: images.write_bytes(b"<html>404 not found</html>"), "images-idx3-ubyte"),
    "labels for images": (lambda images, labels: images.write_bytes(labels.read_bytes()), "images-idx3-ubyte"),
    "other number of labels": (lambda _, labels: labels.write_bytes(idx(np.zeros(29, np.uint8))), "labels-idx1-ubyte"),
    "no digit": (lambda _, labels: labels.write_bytes(idx(np.full(30, 10, np.uint8))), "images-idx3-ubyte"),
    "no images": (empty, "images-idx3-ubyte"),
    "a folder": (lambda images, labels: (images.unlink(), images.mkdir()), "images-idx3-ubyte"),
    "cut archive": (lambda images, labels: pack(images, cut=-20), "images-idx3-ubyte.gz"),
    "no archive": (lambda images, labels: pack(images), "images-idx3-ubyte.gz"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_damaged_mnist_gives_one_line_with_file_and_cure(tmp_path, case):
    write_mnist(tmp_path)
    folder, (damage, named) = tmp_path / "MNIST" / "raw", BROKEN[case]
    damage(folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte")
    with pytest.raises(DataError) as error:
        load_mnist("train", tmp_path)
    assert one_line(error, folder / f"train-{named}", "workbench data fetch mnist")


def test_count_of_mnist_files(tmp_path):
    write_mnist(tmp_path, n=12)
    assert {count(file) for file in (tmp_path / "MNIST" / "raw").iterdir()} == {12}


@pytest.mark.parametrize("split", ["train", "test"])
def test_svhn_equals_scipy(real_data, split):
    path = real_data / "svhn" / f"{split}_32x32.mat"
    if not path.is_file():
        pytest.skip("no SVHN under WORKBENCH_DATA")
    content, loaded = loadmat(path), load_svhn(split, real_data)
    assert count_crops(path) == len(loaded.labels) == content["X"].shape[3]
    for n in range(min(len(loaded.labels), 200)):
        for channel in range(3):
            assert np.array_equal(loaded.values[n, channel].numpy(), content["X"][:, :, channel, n])
        assert int(loaded.labels[n]) == {10: 0}.get(int(content["y"][n, 0]), int(content["y"][n, 0]))


@pytest.mark.parametrize("place", ["svhn", "."])
@pytest.mark.parametrize("compress", [True, False])
def test_svhn_from_either_place(tmp_path, place, compress):
    path, crops, labels = write_svhn(tmp_path / place, "test", compress=compress)
    loaded = load_svhn("test", tmp_path)
    assert loaded.values.dtype == torch.uint8 and loaded.labels.dtype == torch.int64 and loaded.values.is_contiguous()
    assert np.array_equal(loaded.values.numpy(), crops.transpose(3, 2, 0, 1))
    assert np.array_equal(loaded.labels.numpy(), np.where(labels == 10, 0, labels))
    assert count_crops(path) == 40


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("kept", [0, 4, 128, 132, 0.3, 0.9, -4, -1])
def test_truncated_svhn_is_noticed(tmp_path, compress, kept):
    path, *_ = write_svhn(tmp_path / "svhn", compress=compress)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    for read in (lambda: load_svhn("train", tmp_path), lambda: count_crops(path)):
        with pytest.raises(DataError) as error:
            read()
        assert one_line(error, path, "workbench data fetch svhn")


def test_flipped_bits_never_give_other_images(tmp_path):
    path, *_ = write_svhn(tmp_path / "svhn", n=10)
    content, sound = path.read_bytes(), load_svhn("train", tmp_path)
    generator, noticed = np.random.default_rng(0), 0
    for position in [*range(124, 230, 3), *generator.integers(128, len(content), 60)]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        try:
            loaded = load_svhn("train", tmp_path)
        except DataError as error:
            assert str(path) in str(error)
            noticed += 1
        else:
            assert torch.equal(loaded.values, sound.values) and torch.equal(loaded.labels, sound.labels)
    assert noticed > 80


@pytest.mark.parametrize(
    "content",
    [
        {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.ones((5, 1))},
        {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.array([[1], [2], [11], [3]])},
        {"X": np.zeros((32, 32, 3, 4)), "y": np.ones((4, 1))},
        {"X": np.zeros((28, 28, 3, 4), np.uint8), "y": np.ones((4, 1))},
        {"X": np.zeros((32, 32, 3, 4), np.uint8)},
        {"y": np.ones((4, 1))},
    ],
    ids=["label missing", "label 11", "floats", "28x28", "no y", "no X"],
)
def test_other_content_is_no_svhn(tmp_path, content):
    (tmp_path / "svhn").mkdir()
    savemat(tmp_path / "svhn" / "train_32x32.mat", content)
    with pytest.raises(DataError) as error:
        load_svhn("train", tmp_path)
    assert one_line(error, "train_32x32.mat", "workbench data fetch svhn")


@pytest.mark.parametrize("version", ["4", "7.3"])
def test_svhn_of_another_version_of_matlab_is_not_called_damaged(tmp_path, version):
    path = tmp_path / "svhn" / "train_32x32.mat"
    path.parent.mkdir()
    savemat(path, {"X": np.zeros((32, 96), np.uint8), "y": np.ones((4, 1))}, format="4")
    if version == "7.3":
        path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n" + bytes(512))
    for read in (lambda: load_svhn("train", tmp_path), lambda: count_crops(path)):
        with pytest.raises(DataError, match=f"MATLAB file of version {version}.*: save it as version 5, by") as error:
            read()
        assert one_line(error, path, "workbench data fetch svhn")


@pytest.mark.parametrize("load", [load_mnist, load_svhn])
def test_unknown_split(tmp_path, load):
    with pytest.raises(ValueError, match="unknown split 'valid'"):
        load("valid", tmp_path)


def test_alphabet():
    assert len(alphabet.ALPHABET) == 71
    assert set(alphabet.ALPHABET) == {*string.ascii_lowercase, *string.digits, *string.punctuation, " ", "\n"}
    assert alphabet.ALPHABET.count("-") == 2  # the literature's list: all others stand once


def test_the_forty_strings():
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    table = text.string_table()
    expected = [
        (word.rjust(len(word) + start).ljust(8), digit)
        for digit, word in enumerate(words)
        for start in range(0, 7 - len(word) + 1)
    ]
    assert len(set(expected)) == 40
    assert list(zip(alphabet.decode(table.values), table.labels.tolist(), strict=True)) == expected
    for digit in range(10):
        rows = range(table.offsets[digit], table.offsets[digit] + table.counts[digit])
        assert [n for n, label in enumerate(table.labels.tolist()) if label == digit] == list(rows)


@given(st.text(alphabet=alphabet.ALPHABET, max_size=8))
def test_encode_and_decode(characters):
    tokens = text.encode(characters)
    assert tokens.shape == (8,) and alphabet.decode(tokens) == [characters.ljust(8)]
    assert alphabet.decode(tokens.long().expand(2, 3, 8)) == [characters.ljust(8)] * 6


def test_what_is_no_string_of_the_modality():
    with pytest.raises(ValueError, match="at most 8"):
        text.encode("seventeen")
    with pytest.raises(ValueError, match="outside the alphabet: 'Zé'"):
        text.encode("Zéro")


def test_start_positions_are_uniform():
    storage, visits = text.TextStorage.of(text.string_table()), 6000
    tokens = storage.gather(torch.arange(10).repeat_interleave(visits), torch.Generator().manual_seed(0))
    assert tokens.dtype == torch.int64
    for word, drawn in zip(text.WORDS, tokens.split(visits), strict=True):
        strings = alphabet.decode(drawn)
        assert {drawn.strip() for drawn in strings} == {word}
        frequencies = np.bincount([drawn.index(word) for drawn in strings]) / visits
        assert len(frequencies) == 8 - len(word)
        assert np.abs(frequencies - 1 / len(frequencies)).max() < 5 * 0.5 / visits**0.5  # five standard errors


@given(
    counts=st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=1, max_size=3),
    repeats=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_pairs_against_the_rule(counts, repeats, seed):
    shuffler = np.random.default_rng(seed)
    labels = [shuffler.permutation(np.repeat(np.arange(3), column)) for column in counts]
    n = [min(column[digit] for column in counts) for digit in range(3)]
    tensors = [torch.from_numpy(column) for column in labels]
    if sum(n) == 0:
        with pytest.raises(ValueError, match="nothing to pair"):
            pair_table(tensors, repeats, seed)
        return
    table = pair_table(tensors, repeats, seed)
    assert table.dtype == torch.int32 and table.shape == (sum(n) * repeats, len(counts))
    for repeat in table.reshape(repeats, sum(n), len(counts)).tolist():
        for row in repeat:
            assert len({int(labels[m][index]) for m, index in enumerate(row)}) == 1
        for m, column in enumerate(labels):
            first = [i for digit in range(3) for i in np.flatnonzero(column == digit)[: n[digit]].tolist()]
            assert sorted(row[m] for row in repeat) == sorted(first)


def test_matchings_are_independent_random_ones():
    n, repeats = 4, 3000
    table = pair_table([torch.zeros(n, dtype=torch.int64)] * 2, repeats, seed=1).reshape(repeats, n, 2).tolist()
    matchings = [tuple(second for _, second in sorted(repeat)) for repeat in table]
    frequency = {m: matchings.count(m) / repeats for m in set(matchings)}
    assert len(frequency) == 24  # every permutation of 4
    assert max(abs(f - 1 / 24) for f in frequency.values()) < 5 * (1 / 24 / repeats) ** 0.5
    following = [a == b for a, b in itertools.pairwise(matchings)]
    assert abs(sum(following) / repeats - 1 / 24) < 5 * (1 / 24 / repeats) ** 0.5


def test_same_seed_same_pairs():
    labels = [torch.arange(100) % 10, torch.arange(150) % 10]
    assert torch.equal(pair_table(labels, 3, seed=5), pair_table(labels, 3, seed=5))
    assert not torch.equal(pair_table(labels, 3, seed=5), pair_table(labels, 3, seed=6))


def test_a_prefix_holds_all_classes():
    labels = torch.arange(1000) % 10
    first = labels[pair_table([labels, labels], 2)[:200, 0].long()]
    assert torch.bincount(first, minlength=10).min() >= 5


def test_size_of_the_papers_data_set(real_data):
    if not (real_data / "MNIST" / "raw").is_dir():
        pytest.skip("no MNIST under WORKBENCH_DATA")
    street = torch.arange(10).repeat_interleave(torch.tensor(SVHN_COUNTS))
    street = street[torch.randperm(len(street), generator=torch.Generator().manual_seed(0))]
    handwriting = load_mnist("train", real_data).labels
    table = pair_table([handwriting, street])
    assert len(street) == 73_257 and len(table) == 56_068 * 20 == 1_121_360 and len(table) // 256 == 4_380
    assert torch.equal(handwriting[table[:, 0].long()], street[table[:, 1].long()])
    assert all(len(torch.unique(table[:56_068, m])) == 56_068 for m in range(2))
