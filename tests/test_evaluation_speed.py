"""What makes an evaluation fast, against the plain way: other layers, kept features, other devices."""

import copy

import pytest
import torch
from helpers import seeded
from torch import nn

from workbench.config import Config
from workbench.device import double
from workbench.evaluation import evaluate
from workbench.metrics import quality
from workbench.metrics.fast_layers import Doubled, FromOnePosition, ToOnePosition, fuse_for_inference
from workbench.metrics.features import ClassifierFeatures, kept_reference, reference
from workbench.metrics.judges import Classifier
from workbench.modality import NETWORKS
from workbench.networks.classifiers import MnistClassifier
from workbench.runs.run import Run
from workbench.training.loop import fit


@pytest.mark.parametrize("shape", NETWORKS)
def test_quicker_layers_give_what_decoder_and_encoder_give(shape):
    torch.manual_seed(0)
    encode, decode = NETWORKS[shape].sized(0.1)
    shown = torch.randint(71, (5, *shape)) if len(shape) == 1 else torch.rand(5, *shape, generator=seeded())
    kinds: list[type] = []
    for plain, given in ((decode(6).eval(), torch.randn(5, 6, generator=seeded())), (encode().eval(), shown)):
        quick = fuse_for_inference(copy.deepcopy(plain))
        with torch.no_grad():
            torch.testing.assert_close(quick(given), plain(given), atol=1e-5, rtol=1e-4)
        kinds += [type(m) for m in quick.modules() if isinstance(m, FromOnePosition | Doubled | ToOnePosition)]
    expected = {(3, 32, 32): [FromOnePosition, Doubled], (8,): [FromOnePosition]}.get(shape)
    assert not expected or (kinds[: len(expected)] == expected and {*kinds[len(expected) :]} == {ToOnePosition})


@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
def test_both_kinds_of_layers_at_any_size(size):
    torch.manual_seed(0)
    x = torch.randn(2, 7, *size, generator=seeded())
    for layer, kind in (
        (nn.ConvTranspose2d(7, 5, (4, 3)), FromOnePosition),
        (nn.ConvTranspose2d(7, 5, 4, stride=2, bias=False), FromOnePosition),
        (nn.ConvTranspose2d(7, 3, 4, stride=2, padding=1, bias=False), Doubled),
        (nn.ConvTranspose2d(7, 3, 4, stride=2, padding=1), Doubled),
    ):
        (quick,) = fuse_for_inference(nn.Sequential(copy.deepcopy(layer)))
        assert isinstance(quick, kind)
        torch.testing.assert_close(quick(x), layer(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(4, 3), (5, 3), (6, 3), (4, 9), (11, 8)])  # the first three have room for one kernel
def test_convolutions_to_one_position_at_any_size(size):
    torch.manual_seed(0)
    x = torch.randn(2, 7, *size, generator=seeded())
    for layer in (nn.Conv2d(7, 5, (4, 3), stride=(3, 2)), nn.Conv2d(7, 5, (4, 3), stride=(3, 2), bias=False)):
        for shown in (x, x.contiguous(memory_format=torch.channels_last)):
            (quick,) = fuse_for_inference(nn.Sequential(copy.deepcopy(layer)))
            torch.testing.assert_close(quick(shown), layer(shown), atol=1e-5, rtol=1e-4)


def test_only_what_nobody_else_has_is_rectified_in_place():
    class Skips(nn.Sequential):
        """Adds what its first layer made, which must still be there."""

        def forward(self, x):
            first = self[0](x)
            return first + self[1](first)

    x = torch.randn(3, 4, generator=seeded())
    for network in (
        nn.Sequential(nn.Linear(4, 4), nn.ReLU()),
        nn.Sequential(nn.ReLU(), nn.Linear(4, 4)),
        nn.Sequential(nn.Linear(4, 4), nn.Identity(), nn.ReLU()),
        Skips(nn.Linear(4, 4), nn.ReLU()),
    ):
        quick, given = fuse_for_inference(copy.deepcopy(network)), x.clone()
        torch.testing.assert_close(quick(given), network(x))
        assert torch.equal(given, x)
    (_, relu) = fuse_for_inference(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    assert relu.inplace


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose2d(6, 32, 4, stride=2, padding=1),
        nn.ConvTranspose2d(6, 3, 4, stride=2, padding=1, output_padding=1),
        nn.ConvTranspose2d(6, 3, 4, stride=2, padding=1, groups=3),
        nn.ConvTranspose2d(6, 3, 3, stride=2, padding=1),
        nn.Conv2d(6, 3, 4, padding=1),
        nn.Conv2d(6, 3, 4, padding="same"),
        nn.Conv2d(6, 3, 4, groups=3),
    ],
)
def test_other_layers_stay(layer):
    (kept,) = fuse_for_inference(nn.Sequential(layer))
    assert kept is layer


class Counting(ClassifierFeatures):
    """Counts the images it is shown."""

    seen = 0

    def __call__(self, images):
        type(self).seen += len(images)
        return super().__call__(images)


@pytest.fixture
def extractor():
    torch.manual_seed(0)
    Counting.seen = 0
    return Counting(Classifier(MnistClassifier().eval(), "mnist", 0.9))


def test_features_of_real_images_are_kept(tiny_root, extractor):
    images = torch.rand(12, 1, 28, 28, generator=seeded())
    plain = reference(extractor, images.split(5))
    for split in (5, 5):
        kept = kept_reference(extractor, lambda size=split: images.split(size))
        assert torch.equal(kept.features, plain.features) and len(kept) == 12
        torch.testing.assert_close(kept.statistics.covariance, plain.statistics.covariance)
    assert extractor.seen == 24, "shown once by hand and once for the file"
    assert len([*(tiny_root / "data" / "cache").glob("features-*")]) == 1


def test_other_images_weights_or_precision_have_other_features(tiny_root, extractor):
    images = torch.rand(4, 1, 28, 28, generator=seeded())
    kept_reference(extractor, lambda: [images])
    kept_reference(extractor, lambda: [images.flip(0)])
    with torch.autocast("cpu", torch.bfloat16):
        kept_reference(extractor, lambda: [images])
    with torch.no_grad():
        extractor.judge.network.layers[0].bias += 1
    kept_reference(extractor, lambda: [images])
    assert extractor.seen == 16 and len([*(tiny_root / "data" / "cache").glob("features-*")]) == 4


def test_a_damaged_file_of_features_is_made_again(tiny_root, extractor):
    images = torch.rand(4, 1, 28, 28, generator=seeded())
    kept_reference(extractor, lambda: [images])
    (path,) = (tiny_root / "data" / "cache").glob("features-*")
    path.write_bytes(b"not a tensor")
    assert torch.equal(kept_reference(extractor, lambda: [images]).features, reference(extractor, [images]).features)
    assert path.stat().st_size > 100


def trained(**changes) -> Run:
    return fit(
        Config(data="uci-plain-text", repeats=2, batch_size=16, steps=3, device="cpu", **changes), progress=False
    )


def test_a_device_that_is_not_there_is_refused(root_with_judges, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device 'cuda' is not available here: choose auto or cpu"):
        evaluate(trained(), device="cuda", progress=False)


def test_double_precision_where_there_is_one():
    assert double(torch.ones(2)).dtype == torch.float64 and double(torch.tensor([True])).tolist() == [1.0]


def test_half_precision_moves_numbers_by_noise_alone(root_with_judges, monkeypatch):
    """Judges without training read everything they are shown differently, so tallies differ; likelihoods hardly do."""
    monkeypatch.setattr(quality, "RUNS", 1)
    run = trained(precision="float32")
    one = evaluate(run, limit=60, progress=False, parts=["latent", "likelihood"])
    monkeypatch.setattr(Run, "precision", "bfloat16")
    half = evaluate(run, limit=60, progress=False, parts=["latent", "likelihood"])
    for fusion, row in one["log_likelihood"]["X"].items():
        for name, found in row.items():
            assert half["log_likelihood"]["X"][fusion][name]["nats"] == pytest.approx(found["nats"], abs=3)
            assert half["rate"][fusion][name] == pytest.approx(one["rate"][fusion][name], rel=0.05, abs=0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("changes", [{}, {"objective": "mopoe", "style_dim": 4, "precision": "bfloat16"}])
def test_on_cuda_as_on_the_cpu(root_with_judges, monkeypatch, changes):
    monkeypatch.setattr(quality, "RUNS", 1)
    run = trained(**changes)
    on_cpu, on_cuda = (evaluate(run, progress=False, device=name) for name in ("cpu", "cuda"))
    assert on_cuda.keys() == on_cpu.keys()
    for fusion, row in on_cpu["log_likelihood"]["X"].items():
        for name, found in row.items():
            there = on_cuda["log_likelihood"]["X"][fusion][name]
            error = 6 * (found["standard_error"] ** 2 + there["standard_error"] ** 2) ** 0.5 + 1
            assert there["nats"] == pytest.approx(found["nats"], abs=error)
    for fusion, row in on_cpu["linear_probe_full"].items():
        for name, accuracy in row.items():
            assert on_cuda["linear_probe_full"][fusion][name] == pytest.approx(accuracy, abs=0.15)
