"""The networks of the paper's tables as they run, and the model around them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import fewer_modalities, rows_of, seeded, spoiled, tiny_batch, tiny_model
from torch import nn

from workbench.data.dataset import Batch
from workbench.distributions import Gaussian, Mixture
from workbench.metrics.encode import subset_posteriors
from workbench.metrics.likelihood import log_likelihoods
from workbench.modality import make_modalities, modalities_of
from workbench.model import MultimodalVAE
from workbench.networks import classifiers, digits

NAMES, SHAPES = ("handwriting", "street", "text"), ((1, 28, 28), (3, 32, 32), (8,))


def digit_model(content_dim: int = 20, style_dim: int = 0) -> MultimodalVAE:
    torch.manual_seed(0)
    return MultimodalVAE(make_modalities(NAMES, SHAPES), content_dim, style_dim)


def digit_batch(items: int = 4) -> Batch:
    generator = seeded()
    images = [torch.rand(items, *shape, generator=generator) for shape in SHAPES[:2]]
    text = torch.randint(71, (items, 8), generator=generator)
    return Batch((*images, text), torch.ones(3, items, dtype=torch.bool), torch.arange(items))


def layers_of(network: nn.Module) -> list[str]:
    """Layers that compute something: kind, in, out and, for convolutions, kernel, stride, padding."""
    found = []
    for layer in network.modules():
        kind = type(layer).__name__
        if isinstance(layer, nn.Linear):
            found.append(f"{kind} {layer.in_features} {layer.out_features}")
        elif hasattr(layer, "kernel_size"):
            (kernel,), (stride,), (padding,) = {*layer.kernel_size}, {*layer.stride}, {*layer.padding}
            found.append(f"{kind} {layer.in_channels} {layer.out_channels} {kernel} {stride} {padding}")
        elif isinstance(layer, nn.ReLU | nn.Sigmoid | nn.Dropout | nn.BatchNorm2d):
            found.append(kind)
    return found


def rectified(kind: str, *rows: str) -> list[str]:
    """Layers of a kind, each with a ReLU behind it."""
    return [layer for row in rows for layer in (f"{kind} {row}", "ReLU")]


def back(dimensions: str, *rows: str) -> list[str]:
    """The same that lead from a vector back to something larger."""
    return rectified(f"ConvTranspose{dimensions}", *rows)


STREET = ("3 32 4 2 1", "32 64 4 2 1", "64 64 4 2 1", "64 128 4 2 0")
FROM_STREET = [*back("2d", "128 64 4 1 0", "64 64 4 2 1", "64 32 4 2 1"), "ConvTranspose2d 32 3 4 2 1"]
FROM_TEXT = [*back("1d", "128 128 4 1 0", "128 128 4 2 1"), "Conv1d 128 71 1 1 0"]
JUDGE = [*rectified("Conv2d", "1 32 4 2 0", "32 64 4 2 0", "64 128 4 2 0"), "Linear 128 10"]
TABLES = [
    (digits.MnistEncoder(), ["Linear 784 400", "ReLU"]),
    (digits.MnistDecoder(20), ["Linear 20 400", "ReLU", "Linear 400 784", "Sigmoid"]),
    (digits.SvhnEncoder(), rectified("Conv2d", *STREET)),
    (digits.SvhnDecoder(20), ["Linear 20 128", "ReLU", *FROM_STREET]),
    (digits.TextEncoder(), rectified("Conv1d", "71 128 1 1 0", "128 128 4 2 1", "128 128 4 2 0")),
    (digits.TextDecoder(20), ["Linear 20 128", *FROM_TEXT]),
    (classifiers.MnistClassifier(), JUDGE),
]


@pytest.mark.parametrize(("network", "table"), TABLES, ids=lambda x: type(x).__name__)
def test_networks_layer_by_layer(network, table):
    assert layers_of(network) == table


def test_classifiers_of_street_and_text():
    street, text = layers_of(classifiers.SvhnClassifier()), layers_of(classifiers.TextClassifier())
    assert [row for row in street if row.startswith("Conv2d")] == [f"Conv2d {row}" for row in STREET]
    assert street.count("Dropout") == 4
    steps = {tuple(row.split()[1:3]) for row in text if row.startswith("Conv1d") and row.split()[3] == "4"}
    assert steps == {("128", "192"), ("192", "128")}
    for network, shape in ((classifiers.MnistClassifier(), SHAPES[0]), (classifiers.SvhnClassifier(), SHAPES[1])):
        assert network(torch.rand(5, *shape)).shape == (5, 10)


def test_the_text_classifier_reads_probabilities_as_they_are():
    """Tokens are probabilities of one; and the first layer, which is linear, sees the mean of two strings as such."""
    network, tokens = classifiers.TextClassifier().eval(), torch.randint(71, (2, 8), generator=seeded())
    sure = nn.functional.one_hot(tokens, 71).float()
    torch.testing.assert_close(network(sure), network(tokens))
    seen = []
    network.layers[0].register_forward_hook(lambda layer, inputs, output: seen.append(output))
    for x in (sure[:1], sure[1:], sure.mean(0, keepdim=True)):
        network(x)
    torch.testing.assert_close(seen[2], (seen[0] + seen[1]) / 2)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("content", "style"), [(20, 0), (16, 4)])
def test_parameter_counts_by_hand(content, style):
    model, code = digit_model(content, style), content + style
    mnist, svhn, text = model.encoders
    assert parameters(mnist) == 784 * 400 + 400
    assert parameters(svhn) == 16 * (3 * 32 + 32 * 64 + 64 * 64 + 64 * 128) + 32 + 64 + 64 + 128
    assert parameters(text) == 71 * 128 + 128 + 2 * (4 * 128 * 128 + 128)
    mnist, svhn, text = model.decoders
    assert parameters(mnist) == code * 400 + 400 + 400 * 784 + 784
    assert parameters(svhn) == code * 128 + 128 + 16 * (128 * 64 + 64 * 64 + 64 * 32 + 32 * 3) + 64 + 64 + 32 + 3
    assert parameters(text) == code * 128 + 128 + 2 * (4 * 128 * 128 + 128) + 128 * 71 + 71
    for heads, features in zip(model.heads, (400, 128, 128), strict=True):
        assert parameters(heads) == 2 * (features + 1) * (content + style)
        assert [layer.out_features for layer in heads.layers] == [content, content, style, style][: 4 if style else 2]


@pytest.mark.parametrize(("content", "style"), [(20, 0), (16, 4)])
def test_shapes_and_ranges(content, style):
    model, batch = digit_model(content, style), digit_batch()
    q = model.encode(batch)
    assert q.content.mean.shape == q.content.logvar.shape == (3, 4, content)
    assert q.style.mean.shape == q.style.logvar.shape == (3, 4, style)
    handwriting, street, text = model.decode(q.content.mean[0], q.style.mean)
    assert handwriting.shape == (4, 1, 28, 28) and street.shape == (4, 3, 32, 32) and text.shape == (4, 8, 71)
    assert handwriting.min() >= 0 and handwriting.max() <= 1
    assert street.min() < 0, "the last layer of the street decoder has no activation"
    shown = model.generate(5, generator=seeded())
    assert [x.shape for x in shown] == [(5, 1, 28, 28), (5, 3, 32, 32), (5, 8, 71)]
    torch.testing.assert_close(shown[2].sum(-1), torch.ones(5, 8))


def test_weights_and_letters_of_the_digits():
    modalities = make_modalities(NAMES, SHAPES)
    assert [m.weight for m in modalities] == pytest.approx([3072 / 784, 1, 384])
    assert [m.style_weight for m in modalities] == [1, 1, 5]
    assert digit_model().letters == ("M", "S", "T")
    with pytest.raises(ValueError, match="no networks for 'sound' of shape"):
        make_modalities(("sound",), ((9,),))


def test_modalities_of_a_data_set(tiny_root):
    from workbench.data.load import load_dataset

    modalities = modalities_of(load_dataset("uci-text", "test", repeats=1))
    assert [(m.letter, m.shape) for m in modalities] == [("M", (1, 28, 28)), ("T", (8,))]
    assert [m.weight for m in modalities] == pytest.approx([1, 784 / 8])


def test_the_decoder_reads_style_then_content():
    model = tiny_model(2, content_dim=2, style_dim=1)
    content, style = torch.rand(3, 2, dtype=torch.float64), torch.rand(2, 3, 1, dtype=torch.float64)
    for m, output in enumerate(model.decode(content, style)):
        torch.testing.assert_close(output, model.decoders[m](torch.cat([style[m], content], 1)))


# ------------------------------------------------------------------------------------------- any number of modalities


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("style", [0, 2])
def test_any_number_of_modalities(count, style):
    model, batch = tiny_model(count, 2, style), tiny_batch(count)
    q = model.encode(batch)
    assert q.content.mean.shape == (count, 7, 2) and q.style.mean.shape == (count, 7, style)
    for m in range(count):
        features = model.encoders[m](batch.values[m])
        outputs = [layer(features) for layer in model.heads[m].layers]
        expected = [q.content.mean[m], q.content.logvar[m], q.style.mean[m], q.style.logvar[m]]
        for ours, theirs in zip(expected, outputs, strict=False):
            torch.testing.assert_close(ours, theirs)
    assert len(model.generate(q.content[0], generator=seeded())) == count


@pytest.mark.parametrize("fusion", ["product", "mixture", "dynamic_prior"])
@pytest.mark.parametrize("style", [0, 2])
def test_absent_values_never_influence_anything(fusion, style):
    model, batch = tiny_model(3, 2, style), tiny_batch(3, items=9, missing=True)
    clean, dirty = (model.infer(b, fusion=fusion) for b in (batch, spoiled(batch)))
    if isinstance(clean, Mixture):
        clean, dirty = clean.select(), dirty.select()
    somebody = batch.present.any(0)
    assert torch.equal(clean.mean[somebody], dirty.mean[somebody])
    assert torch.isfinite(dirty.mean).all() and torch.isfinite(dirty.logvar).all()


@pytest.mark.parametrize("fusion", ["product", "mixture", "dynamic_prior"])
@pytest.mark.parametrize("keep", [[0], [1], [2], [0, 2], [1, 2], [0, 1, 2]])
def test_infer_from_a_subset_is_a_smaller_model(fusion, keep):
    model, batch = tiny_model(3), tiny_batch(3)
    small = fewer_modalities(model, keep)
    part = Batch(tuple(batch.values[m] for m in keep), batch.present[keep], batch.labels)
    given = [model.letters[m] for m in keep]
    ours, theirs = model.infer(batch, given, fusion), small.infer(part, fusion=fusion)
    if isinstance(ours, Mixture):
        ours, theirs = ours.select(), theirs.select()
    torch.testing.assert_close((ours.mean, ours.logvar), (theirs.mean, theirs.logvar))


def test_infer_takes_letters_names_and_posteriors():
    model, batch = tiny_model(3), tiny_batch(3)
    by_letter, by_name = model.infer(batch, ["A", "C"], "product"), model.infer(batch, ["a", "c"], "product")
    encoded = model.infer(model.encode(batch), ("C", "A"), "product")
    assert torch.equal(by_letter.mean, by_name.mean) and torch.equal(by_letter.mean, encoded.mean)
    everything = model.infer(batch, fusion="product")
    assert torch.equal(everything.mean, model.infer(batch, "ABC", "product").mean)
    assert not torch.equal(everything.mean, by_letter.mean)
    nothing = model.infer(batch, [], "product")
    assert (nothing.mean == 0).all() and (nothing.logvar == 0).all()


def test_letters_of_older_runs_that_equal_a_name():
    """V1 and V10 had the letters V and V1: everything counts by places, whatever they are called."""
    model, batch = tiny_model(2), tiny_batch(2)
    plain = infer_everything(model, batch)
    called = (("V1", "V"), ("V10", "V1"))
    model.modalities = tuple(
        replace(m, name=name, letter=letter) for m, (name, letter) in zip(model.modalities, called, strict=True)
    )
    for before, after in zip(plain, infer_everything(model, batch), strict=True):
        assert torch.equal(before, after)
    assert model.mask(None, batch.present).flatten().tolist() == [True, True]
    assert model.mask("V1", batch.present).flatten().tolist() == [True, False]


def infer_everything(model, batch):
    """Posteriors of all subsets, generations from them and likelihoods, in one order."""
    q = model.encode(batch)
    codes = subset_posteriors(model, [(q, batch.labels)], "dynamic_prior")
    found = log_likelihoods(model, batch, ["mixture"], 4, seeded(0))["mixture"]
    return [
        *(x.mean for x in codes.values()), *(x.value for x in found.joint.values()),
        *(x.value for row in found.conditional.values() for x in row.values()),
    ]  # fmt: skip


def test_numbers_of_any_type_are_codes():
    model = tiny_model(2, 2, 1).float()
    codes, styles = np.arange(6.0).reshape(3, 2), np.zeros((2, 3, 1))
    expected = model.generate(torch.tensor(codes).float(), torch.zeros(2, 3, 1))
    for kind in (np.asarray, torch.tensor, np.ndarray.tolist, lambda x: x.astype(int)):
        shown = model.generate(kind(codes), styles)
        assert all(torch.equal(a, b) for a, b in zip(shown, expected, strict=True))
    assert [len(x) for x in model.generate(np.int64(4))] == [4, 4]
    assert model.decode(codes, styles)[0].dtype == model.decode_one(0, codes, styles[0]).dtype == torch.float32
    with pytest.raises(ValueError, match=r"codes of shape \(3, 1\): give \[items, 2\]"):
        model.generate(codes[:, :1])


def test_a_model_in_double_precision_takes_batches_in_single_precision():
    model, batch = tiny_model(2).float(), tiny_batch(2)
    single = Batch(tuple(x.float() for x in batch.values), batch.present, batch.labels)
    exact = model.double().infer(single, fusion="product").mean
    single = model.float().infer(single, fusion="product").mean.double()
    torch.testing.assert_close(single, exact, rtol=1e-5, atol=1e-5)


def test_infer_with_missing_modalities_is_item_by_item():
    model, batch = tiny_model(3), tiny_batch(3, items=8, missing=True)
    fused = model.infer(batch, ["A", "B"], "dynamic_prior", prior_weight=0.3)
    for b in range(8):
        alone = model.infer(rows_of(batch, [b]), ["A", "B"], "dynamic_prior", prior_weight=0.3)
        torch.testing.assert_close(fused.mean[b], alone.mean[0])


def test_unknown_names():
    model, batch = tiny_model(2), tiny_batch(2)
    with pytest.raises(ValueError, match="unknown modality 'X': this model has A, B"):
        model.infer(batch, ["A", "X"])
    with pytest.raises(ValueError, match="unknown fusion 'sum'"):
        model.infer(batch, fusion="sum")


# -------------------------------------------------------------------------------------------------------- generation


@pytest.mark.parametrize("style", [0, 2])
def test_generation_decodes_what_it_is_given(style):
    model, batch = tiny_model(3, 2, style), tiny_batch(3)
    codes, styles = torch.rand(7, 2, dtype=torch.float64), torch.rand(3, 7, style, dtype=torch.float64)
    shown, decoded = model.generate(codes, styles), model.decode(codes, styles)
    for m, modality in enumerate(model.modalities):
        torch.testing.assert_close(shown[m], modality.likelihood.mean(decoded[m]))
        assert not shown[m].requires_grad
    q = model.infer(batch, ["A"], "dynamic_prior")
    generator = seeded(5)
    content = q.rsample(generator)
    styles = torch.empty(3, 7, style, dtype=torch.float64).normal_(generator=generator)
    for ours, theirs in zip(model.generate(q, generator=seeded(5)), model.generate(content, styles), strict=True):
        assert torch.equal(ours, theirs)


def test_generation_from_a_mixture_and_at_random():
    model, batch = tiny_model(3, 2, 1), tiny_batch(3)
    mixture = model.infer(batch)
    assert isinstance(mixture, Mixture)
    first, again = (model.generate(mixture, generator=seeded(1)) for _ in range(2))
    other = model.generate(mixture, generator=seeded(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    # random codes and styles are standard normal: the decoder's first image is linear in them
    shown = model.generate(50_000, generator=seeded())
    layer = model.decoders[0].layer
    torch.testing.assert_close(shown[0].flatten(1).mean(0), layer.bias.detach(), atol=0.03, rtol=0.0)
    covariance = layer.weight @ layer.weight.T
    torch.testing.assert_close(torch.cov(shown[0].flatten(1).T), covariance.detach(), atol=0.05, rtol=0.05)


def test_half_precision_features_become_full_precision_posteriors():
    model, batch = digit_model(16, 4), digit_batch()
    with torch.autocast("cpu", torch.bfloat16):
        q = model.encode(batch)
        outputs = model.decode(q.content.mean[0], q.style.mean)
    exact = model.encode(batch)
    assert q.content.logvar.dtype == torch.float32 and all(x.dtype == torch.float32 for x in outputs)
    torch.testing.assert_close(q.content.mean, exact.content.mean, atol=0.02, rtol=0.05)
    assert isinstance(q.style, Gaussian)
