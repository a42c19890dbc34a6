import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import seeded

from workbench.data import Batch, DataError, Images, MultimodalDataset, load_dataset
from workbench.data import sources as module
from workbench.data.alphabet import decode
from workbench.data.text import WORDS

CPU = torch.device("cpu")


def small(n: int, channels: int, side: int, seed: int) -> Images:
    generator = seeded(seed)
    values = torch.randint(256, (n, channels, side, side), dtype=torch.uint8, generator=generator)
    return Images(values, torch.randint(10, (n,), generator=generator))


@pytest.fixture
def sources(monkeypatch):
    """Two small image sources in the places of the built-in ones."""
    for name, *sizes in (("uci", 150, 1, 28), ("plain", 210, 3, 32)):

        def load(split, root, seed, sizes=sizes):
            return small(*sizes, seed + 100 * (split == "test") + sizes[-1])

        monkeypatch.setitem(module.SOURCES, name, module.SOURCES[name]._replace(load=load))


@pytest.fixture
def dataset(sources) -> MultimodalDataset:
    return load_dataset("uci-plain-text", "train", repeats=3)


def same(one: Batch, other: Batch) -> bool:
    pairs = [*zip(one.values, other.values, strict=True), (one.present, other.present), (one.labels, other.labels)]
    return all(torch.equal(a, b) for a, b in pairs)


def test_names_and_numbers(dataset):
    handwriting, street = small(150, 1, 28, 28), small(210, 3, 32, 32)
    n = sum(min(int((handwriting.labels == c).sum()), int((street.labels == c).sum())) for c in range(10))
    assert len(dataset) == 3 * n and dataset.repeats == 3
    assert dataset.name == "uci-plain-text" and dataset.split == "train"
    assert dataset.modalities == ("handwriting", "street", "text")
    assert dataset.sources == ("uci", "plain", "text")
    assert dataset.shapes == ((1, 28, 28), (3, 32, 32), (8,))
    assert dataset.sizes == (784, 3072, 8)
    assert dataset.counts == (150, 210, 40)
    assert dataset.pairs.shape == (3 * n, 3) and dataset.pairs.dtype == torch.int32


def test_every_row_shows_one_digit_in_all_modalities(dataset):
    pairs, labels = dataset.pairs.long(), dataset.labels
    assert torch.equal(dataset.unimodal(0).labels[pairs[:, 0]], labels)
    assert torch.equal(dataset.unimodal(1).labels[pairs[:, 1]], labels)
    assert torch.equal(pairs[:, 2], labels)


def test_the_first_repeat_shows_each_paired_item_once(dataset):
    rows = dataset.first_repeat()
    assert rows.tolist() == list(range(len(dataset) // 3))
    assert dataset.first_repeat(7).tolist() == list(range(7))
    for m in range(2):
        shown = dataset.pairs[rows, m].tolist()
        assert len(set(shown)) == len(shown) and set(shown) == set(dataset.pairs[:, m].tolist())


def test_unimodal_gives_whole_sources(dataset):
    assert all(map(torch.equal, dataset.unimodal(1), small(210, 3, 32, 32)))
    strings = dataset.unimodal(2)
    assert [decode(row)[0].strip() for row in strings.values] == [WORDS[label] for label in strings.labels.tolist()]


@pytest.mark.parametrize("name", ["uci", "plain-text", "text-uci", "uci-plain", "text"])
def test_any_combination_of_sources(sources, name):
    dataset = load_dataset(name, "test", repeats=2)
    batch = dataset.batch(dataset.first_repeat(16), seeded())
    assert dataset.sources == tuple(name.split("-")) and len(batch.values) == len(dataset.sources)
    for k, source in enumerate(dataset.sources):
        if source == "text":
            assert [string.strip() for string in decode(batch.values[k])] == [WORDS[c] for c in batch.labels.tolist()]
        else:
            known = {image.numpy().tobytes(): label for image, label in zip(*dataset.unimodal(k), strict=True)}
            shown = (batch.values[k] * 255).round().to(torch.uint8)
            assert [int(known[image.numpy().tobytes()]) for image in shown] == batch.labels.tolist()


def test_train_and_test_and_seeds_differ(sources):
    train, test = load_dataset("uci-plain", "train"), load_dataset("uci-plain", "test")
    assert train.unimodal(0).values.shape == test.unimodal(0).values.shape
    assert not torch.equal(train.unimodal(0).values, test.unimodal(0).values)
    again, other = load_dataset("uci-plain", "train"), load_dataset("uci-plain", "train", seed=1)
    assert torch.equal(train.pairs, again.pairs) and not torch.equal(train.labels, other.labels)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("uci-plains-text", "unknown source 'plains' in 'uci-plains-text': join some of mnist, uci, svhn"),
        ("", "unknown source ''"),
        ("mnist-uci-text", "names the modality handwriting twice"),
        ("text-text", "names the modality text twice"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(name, "train")


def test_wrong_split_and_missing_file(tmp_path):
    with pytest.raises(ValueError, match="unknown split 'validation'"):
        load_dataset("uci-plain-text", "validation")
    with pytest.raises(DataError, match=f"{tmp_path}.*train-images-idx3-ubyte is missing.*workbench data fetch mnist"):
        load_dataset("mnist-text", "train", root=tmp_path)


def test_what_is_real_and_what_is_rendered():
    assert [name for name in module.SOURCES if module.is_rendered(name)] == ["rendered", "plain"]
    assert module.is_rendered("mnist-rendered-text") and not module.is_rendered("mnist-svhn-text")
    for name in module.SOURCES:
        line = module.describe(name)
        assert "\n" not in line and ("NOT real" in line) == module.is_rendered(name)
    assert module.describe("mnist-plain") == f"{module.describe('mnist')}; {module.describe('plain')}"
    with pytest.raises(ValueError, match="unknown source"):
        module.describe("mnist-photographs")


def test_a_batch_against_a_loop_over_items(dataset):
    rows = torch.tensor([5, 0, 17, 5, len(dataset) - 1])
    batch = dataset.batch(rows, seeded())
    assert batch.size == 5 and batch.present.shape == (3, 5) and batch.present.all()
    for b, row in enumerate(rows.tolist()):
        for m, storage in enumerate(dataset.storages[:2]):
            image = storage.values[dataset.pairs[row, m].item()].numpy()
            assert np.array_equal(batch.values[m][b].numpy(), image.astype(np.float32) / 255)
        assert decode(batch.values[2][b])[0].strip() == WORDS[dataset.labels[row]]
        assert batch.labels[b] == dataset.labels[row]


def test_pixels_equal_torchvisions(dataset):
    functional = pytest.importorskip("torchvision.transforms.functional")
    image = dataset.unimodal(1).values[dataset.pairs[3, 1].item()]
    theirs = functional.to_tensor(image.permute(1, 2, 0).numpy())
    assert torch.equal(dataset.batch(torch.tensor([3]), seeded()).values[1][0], theirs)


def test_start_positions_are_redrawn_at_every_visit(dataset):
    rows, generator = dataset.first_repeat(50), seeded()
    one, other, again = dataset.batch(rows, generator), dataset.batch(rows, generator), dataset.batch(rows, seeded())
    assert not torch.equal(one.values[2], other.values[2]) and torch.equal(one.values[0], other.values[0])
    assert same(one, again)


def test_missing_modalities_follow_their_rows(dataset):
    present = torch.rand(len(dataset), 3, generator=seeded()) < 0.5
    masked = replace(dataset, present=present)
    rows = torch.randperm(len(dataset), generator=seeded(1))[:20]
    batch = masked.batch(rows, seeded())
    for b, row in enumerate(rows.tolist()):
        assert batch.present[:, b].tolist() == present[row].tolist()
    assert next(masked.batches(20, CPU, seeded())).present.shape == (3, 20)


def test_an_epoch_visits_no_row_twice_and_the_next_has_another_order(dataset, monkeypatch):
    visited = []
    gather = MultimodalDataset.batch
    monkeypatch.setattr(MultimodalDataset, "batch", lambda self, rows, g: visited.append(rows) or gather(self, rows, g))
    batches, steps = dataset.batches(32, CPU, seeded()), dataset.steps_per_epoch(32)
    assert steps == len(dataset) // 32 > 3
    for _ in range(2 * steps):
        assert next(batches).values[0].shape == (32, 1, 28, 28)
    first, second = torch.cat(visited[:steps]), torch.cat(visited[steps:])
    assert len(set(first.tolist())) == len(set(second.tolist())) == 32 * steps
    assert set(first.tolist()) <= set(range(len(dataset))) and not torch.equal(first, second)
    assert batches.state()["epoch"] == 1 and batches.state()["position"] == steps


@pytest.mark.parametrize("batch_size", [0, -1, 10**6])
def test_batch_sizes_that_do_not_fit(dataset, batch_size):
    with pytest.raises(ValueError, match=rf"batch size {batch_size} does not fit uci-plain-text \(train\), which has"):
        dataset.batches(batch_size, CPU, seeded())


def test_one_batch_may_take_all_rows(dataset):
    batches = dataset.batches(len(dataset), CPU, seeded())
    one, other = next(batches), next(batches)
    assert one.size == len(dataset) and torch.equal(one.labels.sort().values, dataset.labels.sort().values)
    assert not torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("steps_before", [0, 1, 3, "epoch - 1", "epoch", "epoch + 1", "epoch + 4"])
def test_resuming_goes_on_bit_for_bit(dataset, steps_before):
    epoch = dataset.steps_per_epoch(32)
    k = steps_before if isinstance(steps_before, int) else eval(steps_before, {"epoch": epoch})
    generator = seeded(7)
    batches = dataset.batches(32, CPU, generator)
    for _ in range(k):
        next(batches)
    saved, generator_state = json.dumps(batches.state()), generator.get_state()
    expected = [next(batches) for _ in range(epoch + 3)]  # over the end of an epoch

    fresh = torch.Generator()
    resumed = load_dataset("uci-plain-text", "train", repeats=3).batches(32, CPU, fresh)
    next(resumed)  # where it stood does not matter
    resumed.restore(json.loads(saved))
    fresh.set_state(generator_state)
    assert all(same(next(resumed), batch) for batch in expected)
    assert resumed.state() == batches.state()


def test_a_position_of_another_configuration_is_refused(dataset):
    state = dataset.batches(32, CPU, seeded()).state()
    with pytest.raises(ValueError, match=r"belongs to batch size 32 .* resume with the configuration"):
        dataset.batches(16, CPU, seeded()).restore(state)


def test_devices(dataset):
    moved = dataset.to("meta")
    assert {t.device.type for t in (moved.pairs, moved.labels, moved.storages[0].values)} == {"meta"}
    words = moved.storages[2]
    assert {t.device.type for t in (words.values, words.labels, words.offsets, words.counts)} == {"meta"}
    assert dataset.pairs.device.type == "cpu"
    assert dataset.to("cpu").storages[1].values.data_ptr() == dataset.storages[1].values.data_ptr()  # no copy


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("generator_device", ["cpu", "cuda"])
def test_batches_on_cuda(dataset, generator_device):
    batches = dataset.batches(32, "cuda", torch.Generator(generator_device).manual_seed(0))
    batch = next(batches)
    assert {t.device.type for t in (*batch.values, batch.present, batch.labels)} == {"cuda"}
    assert [s.strip() for s in decode(batch.values[2].cpu())] == [WORDS[c] for c in batch.labels.tolist()]


def test_real_digits_with_text(real_data):
    if not (real_data / "MNIST" / "raw").is_dir():
        pytest.skip("no MNIST under WORKBENCH_DATA")
    dataset = load_dataset("mnist-text", "test", root=real_data, repeats=1)
    assert len(dataset) == 10_000 and dataset.sizes == (784, 8)
    batch = dataset.batch(dataset.first_repeat(64), seeded())
    assert batch.values[0].min() == 0 and batch.values[0].max() == 1
