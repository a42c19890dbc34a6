"""Precision, recall and Fréchet distances against loops over their definitions, numpy, pytorch-fid and closed forms."""

import math
import sys
from dataclasses import astuple

import numpy as np
import pytest
import torch
from helpers import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import load_digits
from torch import nn

from workbench.data import DataError
from workbench.metrics.coherence import conditional_coherence, confusion
from workbench.metrics.features import (
    ClassifierFeatures,
    Features,
    FeatureSet,
    InceptionFeatures,
    Statistics,
    features_for,
    reference,
)
from workbench.metrics.generation import Judges
from workbench.metrics.judges import Classifier
from workbench.metrics.kmeans import clusters_of
from workbench.metrics.quality import (
    Curve,
    average_precision,
    f_beta,
    frechet_distance,
    prd,
    prd_ceiling,
    prd_curve,
    quality,
)
from workbench.networks.classifiers import MnistClassifier, SvhnClassifier


class Pixels:
    """Images are their own features."""

    name = "pixels"

    def __init__(self, dimensions: int = 64) -> None:
        self.dimensions, self.weights = dimensions, {}

    def __call__(self, images):
        return images.flatten(1)


def described(images: torch.Tensor, batch: int = 100) -> FeatureSet:
    return reference(Pixels(images[0].numel()), images.split(batch))


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """1,797 real 8x8 digits and their classes, writers mixed."""
    data, order = load_digits(), torch.randperm(1797, generator=seeded())
    return torch.from_numpy(data.images / 16).float()[order, None], torch.from_numpy(data.target).long()[order]


# ------------------------------------------------------------------------------------------- PRD of distributions
def curve_by_loops(p: list[float], q: list[float], angles: int) -> tuple[list[float], list[float]]:
    """The definition in its own symbols, with the limits at both ends, where the slope is 0 and infinite."""
    alphas, betas = [0.0], [sum(a for a, b in zip(p, q, strict=True) if b > 0)]
    for n in range(1, angles - 1):
        slope = math.tan(n / (angles - 1) * math.pi / 2)
        alphas.append(sum(min(slope * a, b) for a, b in zip(p, q, strict=True)))
        betas.append(sum(min(a, b / slope) for a, b in zip(p, q, strict=True)))
    return [*alphas, sum(b for a, b in zip(p, q, strict=True) if a > 0)], [*betas, 0.0]


def counts(states: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 9), min_size=states, max_size=states).filter(any)


def shares(counts: list[int]) -> torch.Tensor:
    return torch.tensor(counts, dtype=torch.float64) / sum(counts)


@given(st.integers(1, 6).flatmap(lambda states: st.tuples(counts(states), counts(states))), st.integers(3, 60))
def test_the_curve_is_its_definition(pair, angles):
    p, q = map(shares, pair)
    alphas, betas = curve_by_loops(p.tolist(), q.tolist(), angles)
    curve = prd_curve(p, q, angles)
    assert curve.precision.tolist() == pytest.approx(alphas, abs=1e-8)
    assert curve.recall.tolist() == pytest.approx(betas, abs=1e-8)
    assert average_precision(curve) == pytest.approx(np.mean([alphas, betas]), abs=1e-8)
    swapped = prd_curve(q, p, angles)  # precision of one is recall of the other, at the inverse slope
    assert torch.allclose(swapped.precision.flip(0), curve.recall, atol=1e-8)
    assert torch.allclose(swapped.recall.flip(0), curve.precision, atol=1e-8)


@settings(max_examples=30)
@given(st.integers(1, 6).flatmap(counts))
def test_identical_distributions_reach_the_ceiling(one):
    p = shares(one)
    curve = prd_curve(p, p)
    assert average_precision(curve) == pytest.approx(prd_ceiling(), abs=1e-12)
    assert f_beta(curve, 8.0) == pytest.approx(1, abs=1e-9) and f_beta(curve, 1 / 8) == pytest.approx(1, abs=1e-9)


def test_the_ceiling_is_the_mean_of_the_smaller_of_slope_and_one():
    angles = [n / 1000 * math.pi / 2 for n in range(1001)]
    expected = np.mean([min(math.tan(a), 1) for a in angles])  # of the precisions; that of the recalls is the same
    assert prd_ceiling() == pytest.approx(expected, abs=1e-9) and round(prd_ceiling(), 2) == 0.72
    assert prd_ceiling(100_001) == pytest.approx(1 / 2 + math.log(2) / math.pi, abs=1e-5)


@pytest.mark.parametrize("beta", [1 / 8, 1.0, 8.0])
def test_f_beta_by_loop(beta):
    curve = prd_curve(shares([1, 3, 4, 0]), shares([2, 1, 1, 5]))
    pairs = zip(*(x.tolist() for x in curve), strict=True)
    expected = max((1 + beta**2) * p * r / (beta**2 * p + r) for p, r in pairs)
    assert f_beta(curve, beta) == pytest.approx(expected)


def test_f_8_weighs_recall_and_its_inverse_precision():
    every, half = shares([1] * 10), shares([1] * 5 + [0] * 5)
    missing, junk = prd_curve(every, half), prd_curve(half, every)
    low, high = 65 * 0.5 / 64.5, 65 * 0.5 / (0.5 * 64 + 1)  # F_8 of (1, 1/2) and of (1/2, 1)
    assert f_beta(missing, 8.0) == pytest.approx(low, abs=1e-3) == f_beta(junk, 1 / 8)
    assert f_beta(missing, 1 / 8) == pytest.approx(high, abs=1e-3) == f_beta(junk, 8.0)
    assert low < 0.51 and high > 0.98
    disjoint = prd_curve(shares([1, 3, 0, 0]), shares([0, 0, 2, 5]))
    assert average_precision(disjoint) == f_beta(disjoint, 8.0) == f_beta(disjoint, 1 / 8) == 0


# -------------------------------------------------------------------------------------------------- PRD of images
def one_hot(counts: list[int]) -> torch.Tensor:
    """Images [sum, 1, 1, modes] without any spread, so that clusters are modes."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return torch.eye(len(counts))[labels[torch.randperm(len(labels), generator=seeded())], None, None]


def test_quality_of_modes_is_that_of_their_shares():
    p, q = [50, 20, 0, 10, 70, 30, 20], [10, 40, 60, 10, 20, 0, 60]
    found = quality(described(one_hot(p)), described(one_hot(q)))
    alphas, betas = curve_by_loops([a / 200 for a in p], [b / 200 for b in q], 1001)
    assert found.average_precision == pytest.approx(np.mean([alphas, betas]), abs=1e-8)
    for beta, value in ((8, found.f_8), (1 / 8, found.f_1_8)):
        scores = ((1 + beta**2) * a * b / (beta**2 * a + b) for a, b in zip(alphas, betas, strict=True))
        assert value == pytest.approx(max(scores), abs=1e-8)


def test_a_perfect_generator_hits_the_ceilings(digits):
    images, labels = (x[:500] for x in digits)
    order = torch.randperm(len(images), generator=seeded())
    assert conditional_coherence(confusion(labels, labels)) == 1
    shuffled = conditional_coherence(confusion(labels[order], labels))
    assert shuffled == pytest.approx(0.1, abs=0.04), "incoherent"
    for samples in (images, images[order]):  # shuffled: of the same quality
        found = quality(described(images), described(samples))
        assert found.average_precision == pytest.approx(prd_ceiling(), abs=1e-12)
        assert (found.f_8, found.f_1_8) == pytest.approx((1, 1), abs=1e-9)
        assert 0 <= found.fid < 1e-4


def test_samples_unlike_anything_real_and_a_generator_that_knows_one_image_only(digits):
    images = digits[0][:300]
    found = quality(described(images), described(images + 5))
    assert found.average_precision < 1e-6 and found.f_8 < 1e-6 and found.f_1_8 < 1e-6
    assert found.fid == pytest.approx(64 * 5**2, rel=1e-4)
    collapsed = images[:1].expand(len(images), -1, -1, -1)
    found = quality(described(images), described(collapsed))
    assert found.average_precision < 0.1 and found.f_8 < 0.1 and found.fid > 1
    same = quality(described(collapsed), described(collapsed))
    assert same.average_precision == pytest.approx(prd_ceiling()) and same.fid == 0


def test_missing_classes_and_junk_are_told_apart(digits):
    images, labels = digits
    real, others, half = described(images[:500]), images[500:], labels[500:] < 5
    sound = quality(real, described(others[:500]))
    missing = quality(real, described(others[half][:500]))
    junk = quality(real, described(torch.cat([others[:250], others[250:500] + 5])))
    assert missing.f_8 < 0.7 < 0.9 < missing.f_1_8
    assert junk.f_1_8 < 0.7 < 0.9 < junk.f_8
    for found in (missing, junk):
        assert found.average_precision < sound.average_precision - 0.1 and found.fid > 1.2 * sound.fid


def test_more_noise_is_lower_quality(digits):
    images = digits[0][:300]
    noise = torch.randn(images.shape, generator=seeded())
    found = [quality(described(images), described(images + s * noise)) for s in (0.0, 0.3, 1.0)]
    for name in ("average_precision", "f_8", "f_1_8", "fid"):
        values = [getattr(each, name) * (1 if name == "fid" else -1) for each in found]
        assert values == sorted(set(values))


def test_the_seed_decides_and_values_are_plain_numbers(digits):
    real, generated = described(digits[0][:300]), described(digits[0][300:600])
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        found.append(quality(real, generated, seed=3))
    first, again = found
    assert first == again and all(type(x) is float and math.isfinite(x) for x in astuple(first))
    assert len(astuple(first)) == 4
    other = quality(real, generated, seed=4)
    assert other != first and other.fid == first.fid
    assert other.average_precision == pytest.approx(first.average_precision, abs=0.02)


def curve_of(labels: np.ndarray) -> Curve:
    """The curve of one clustering of real and as many generated images, by counts of numpy."""
    real, generated = (np.bincount(half, minlength=20) / len(half) for half in np.split(labels, 2))
    return prd_curve(torch.tensor(real), torch.tensor(generated))


def test_ten_clusterings_are_averaged(digits):
    real, generated = digits[0][:100].flatten(1), digits[0][100:200].flatten(1) + 0.1
    averaged = prd(real, generated, seed=3)
    assert len(averaged.precision) == len(averaged.recall) == 1001
    single = [curve_of(run.numpy()) for run in clusters_of(torch.cat([real, generated]), 20, 10, seeded(3))]
    assert torch.allclose(averaged.precision, sum(curve.precision for curve in single) / 10)
    assert torch.allclose(averaged.recall, sum(curve.recall for curve in single) / 10)
    assert len({average_precision(curve) for curve in single}) > 5


def test_curves_are_those_of_the_published_clustering(digits):
    """By scikit-learn's MiniBatchKMeans, as Sajjadi et al. published it; both are averages over random clusterings."""
    real, generated = digits[0][:400].flatten(1), digits[0][400:800].flatten(1) ** 0.5
    union = torch.cat([real, generated]).numpy()
    clusters = (MiniBatchKMeans(20, n_init=10, batch_size=100, random_state=seed) for seed in range(30))
    theirs = [average_precision(curve_of(method.fit_predict(union))) for method in clusters]
    ours = np.mean([average_precision(prd(real, generated, seed)) for seed in range(3)])
    assert np.std(theirs) > 0
    assert ours == pytest.approx(np.mean(theirs), abs=4 * np.std(theirs) * (1 / 30 + 1 / 30) ** 0.5)


def test_sets_that_cannot_be_compared(digits):
    images, _ = digits
    with pytest.raises(ValueError, match="equal size, not 50 real with 49 generated images"):
        quality(described(images[:50]), described(images[:49]))
    with pytest.raises(ValueError, match="equal size"):
        prd(torch.zeros(50, 3), torch.zeros(60, 3))
    with pytest.raises(ValueError, match="at least 10 images in each set, not 9"):
        quality(described(images[:9]), described(images[:9]))
    other = described(images[:50])
    other.extractor.name = "rods and cones"
    with pytest.raises(ValueError, match="features of pixels and of rods and cones cannot be compared"):
        quality(described(images[:50]), other)
    with pytest.raises(ValueError, match="at least two items, not 1"):
        _ = statistics_of(torch.ones(1, 3)).covariance


# --------------------------------------------------------------------------------------------- Fréchet distance
def gaussian_features(items: int, dimensions: int, seed: int) -> torch.Tensor:
    generator = seeded(seed)
    mixing = torch.randn(dimensions, dimensions, generator=generator)
    return torch.randn(items, dimensions, generator=generator) @ mixing + torch.randn(dimensions, generator=generator)


def statistics_of(features: torch.Tensor, cuts: tuple[int, ...] = ()) -> Statistics:
    found = Statistics(features.shape[1])
    for part in features.tensor_split(cuts):
        found.update(part)
    return found


@settings(max_examples=30)
@given(st.sets(st.integers(1, 59), max_size=6), st.floats(-1e4, 1e4))
def test_streamed_statistics_are_those_of_all_at_once(cuts, offset):
    features = gaussian_features(60, 5, seed=1).double() + offset
    found = statistics_of(features, tuple(sorted(cuts)))
    assert found.count == 60
    assert np.allclose(found.mean, features.numpy().mean(0), rtol=1e-12)
    assert np.allclose(found.covariance, np.cov(features.numpy(), rowvar=False), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("items", "dimensions", "rel"), [((200, 300), 8, 1e-9), ((20, 30), 40, 1e-4)], ids=["regular", "singular"]
)
def test_fid_is_that_of_pytorch_fid(items, dimensions, rel):
    """Also of fewer images than features, as with Inception's 2048."""
    score = pytest.importorskip("pytorch_fid.fid_score")
    one, other = (gaussian_features(n, dimensions, seed) for seed, n in enumerate(items, start=1))
    moments = [m for x in (one, other) for m in (x.double().numpy().mean(0), np.cov(x.double().numpy(), rowvar=False))]
    with pytest.warns(DeprecationWarning, match="disp"):
        expected = score.calculate_frechet_distance(*moments)
    assert frechet_distance(statistics_of(one, (7, 9)), statistics_of(other)) == pytest.approx(expected, rel=rel)


def diagonal(mean: list[float], deviations: list[float]) -> torch.Tensor:
    """Features with exactly this mean and these standard deviations, and no correlation."""
    axes = torch.diag(torch.tensor(deviations, dtype=torch.float64)) * math.sqrt(len(mean) - 1 / 2)
    return torch.tensor(mean, dtype=torch.float64) + torch.cat([axes, -axes])


@pytest.mark.parametrize("last", [4.0, 0.0], ids=["regular", "a feature that never fires"])
def test_fid_of_uncorrelated_features_has_a_closed_form(last):
    one, other = diagonal([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]), diagonal([1.0, 1.0, 0.0], [1.5, 0.5, last])
    assert torch.allclose(one.T.cov(), torch.diag(torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64)))
    expected = (1 + 0 + 4) + (0.5**2 + 1.5**2 + (last - 3) ** 2)
    assert frechet_distance(statistics_of(one), statistics_of(other)) == pytest.approx(expected)
    assert frechet_distance(statistics_of(other), statistics_of(one)) == pytest.approx(expected)


def test_pytorch_fid_is_needed_for_inception_alone(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pytorch_fid", None)
    for name in ("inception", "fid_score"):
        monkeypatch.delitem(sys.modules, f"pytorch_fid.{name}", raising=False)
    statistics = statistics_of(gaussian_features(20, 3, seed=1))
    assert frechet_distance(statistics, statistics) < 1e-12
    with pytest.raises(DataError, match="pip install pytorch-fid"):
        InceptionFeatures(tmp_path / "weights.pth")


# ------------------------------------------------------------------------------------------------------- features
@pytest.mark.parametrize(
    ("network", "shape", "source"), [(MnistClassifier, (1, 28, 28), "mnist"), (SvhnClassifier, (3, 32, 32), "plain")]
)
def test_a_judges_features_are_what_its_last_layer_reads(network, shape, source):
    judge = Classifier(network().eval(), source, 0.9)
    features, images = features_for(judge, None), torch.rand(7, *shape, generator=seeded())
    assert isinstance(features, ClassifierFeatures) and isinstance(features, Features)
    assert features.name == f"judge of {source} (128 features)" and features.dimensions == 128
    last = judge.network.layers[-1]
    made = features(images)
    assert not made.requires_grad and made.shape == (7, 128)
    assert torch.allclose(made @ last.weight.T + last.bias, judge.network(images), atol=1e-6)
    assert torch.equal((made @ last.weight.T + last.bias).argmax(-1), judge.predict(images))
    seen = reference(features, images.split(3))
    assert len(seen) == 7 and seen.features.dtype == torch.float32
    assert torch.allclose(seen.features, made, atol=1e-6)
    assert np.allclose(seen.statistics.covariance, np.cov(seen.features.double().numpy(), rowvar=False))


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """Random weights in the form of pytorch-fid's: patched layers have the parameters of torchvision's."""
    pytest.importorskip("pytorch_fid.inception")
    from torchvision.models import inception_v3

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)  # features of the default weights are all but zero
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()  # 95 MB


def test_inceptions_features_are_pytorch_fids(inception_file, monkeypatch):
    from pytorch_fid import inception

    def download(*arguments, **options):
        raise AssertionError("weights in a file must not be downloaded")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    features = features_for(Classifier(MnistClassifier().eval(), "mnist", 0.9), inception_file)
    assert isinstance(features, InceptionFeatures) and isinstance(features, Features)
    assert (features.name, features.dimensions) == ("Inception pool3 (pytorch-fid)", 2048)
    grey = torch.rand(2, 1, 28, 28, generator=seeded())
    made = features(grey)
    monkeypatch.setattr("workbench.metrics.features.INCEPTION_BATCH", 1)
    assert made.shape == (2, 2048) and not made.requires_grad
    assert torch.allclose(made, features(grey.repeat(1, 3, 1, 1)), rtol=1e-3, atol=1e-4 * made.max().item())

    # The same by the whole network without its last layer: images enlarged, from -1 to 1
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: torch.load(inception_file))
    network = inception.fid_inception_v3().eval()
    network.fc = nn.Identity()
    large = nn.functional.interpolate(grey.repeat(1, 3, 1, 1), size=(299, 299), mode="bilinear")
    with torch.no_grad():
        expected = network(2 * large - 1)
    assert (expected[0] - expected[1]).abs().mean() > 1e-3 * expected.max()
    assert torch.allclose(made, expected, rtol=1e-3, atol=1e-4 * expected.max().item())


@pytest.mark.parametrize("content", [b"no weights", b"", None, "other"], ids=["foreign", "empty", "missing", "others"])
def test_files_without_inceptions_weights(tmp_path, content):
    pytest.importorskip("pytorch_fid.inception")
    path = tmp_path / "weights.pth"
    if content == "other":
        torch.save(MnistClassifier().state_dict(), path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="does not hold pytorch-fid's Inception weights") as error:
        InceptionFeatures(path)
    assert "\n" not in str(error.value) and "workbench data fetch inception" in str(error.value)


def test_generated_images_are_seen_in_the_range_of_real_ones():
    """A decoder's output may lie beside [0, 1], where no pixel of a real image is."""
    judge = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 10)), "mnist", 0.9)  # its features are the pixels
    panel = Judges({"M": judge}, {"M": FeatureSet(ClassifierFeatures(judge))})
    seen = panel.look([torch.tensor([-0.5, 0.25, 1.0, 1.75]).view(1, 1, 2, 2)], ["M"]).features["M"]
    assert seen.tolist() == [[0.0, 0.25, 1.0, 1.0]]
