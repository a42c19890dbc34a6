"""General networks by kind of data: any size, nothing but the item itself, every likelihood and objective."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import seeded
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from workbench.config import AUXILIARY, Config
from workbench.data.dataset import Batch
from workbench.likelihoods import Bernoulli, Categorical, Laplace, NegativeBinomial, Normal
from workbench.modality import Modality
from workbench.model import MultimodalVAE
from workbench.networks.general import (
    Beside,
    ImageDecoder,
    ImageEncoder,
    SequenceDecoder,
    SequenceEncoder,
    VectorDecoder,
    VectorEncoder,
    mlp,
)
from workbench.objectives import METHODS

CODE, ITEMS = 5, 3
SHAPES = [(1, 1, 1), (4, 7, 7), (1, 8, 7), (3, 5, 40), (1, 9, 13), (2, 33, 64), (1, 28, 28), (3, 71, 15), (1, 1, 300)]
LENGTHS = [*range(1, 14), 31, 32, 33, 34, 35, 36, 37, 256]


def seen(network: nn.Module, shape: tuple[int, ...]) -> torch.Tensor:
    """Which entries of an input of one item the features depend on."""
    x = torch.rand(1, *shape, generator=seeded(1)).requires_grad_()
    (network(x) * torch.randn(1, network.features, generator=seeded(2))).sum().backward()
    return x.grad[0] != 0


def networks_of(kind: str) -> tuple[nn.Module, nn.Module, torch.Tensor]:
    """Encoder and decoder of one kind, and items."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        numbers, images = torch.randn(ITEMS, 6), torch.rand(ITEMS, 2, 11, 18)
        tokens = torch.randint(7, (ITEMS, 21))
        return {
            "image": lambda: (ImageEncoder((2, 11, 18)), ImageDecoder(CODE, (2, 11, 18)), images),
            "small": lambda: (ImageEncoder((2, 3, 4)), ImageDecoder(CODE, (2, 3, 4)), images[:, :, :3, :4]),
            "vector": lambda: (VectorEncoder(6), VectorDecoder(CODE, 6, 2), numbers.masked_fill(numbers > 1, math.nan)),
            "counts": lambda: (VectorEncoder(6, counts=True), VectorDecoder(CODE, 6, 2), numbers.exp().round()),
            "sequence": lambda: (SequenceEncoder(21, 7), SequenceDecoder(CODE, 21, 7), tokens),
            "category": lambda: (SequenceEncoder(1, 7), SequenceDecoder(CODE, 1, 7), tokens[:, :1]),
        }[kind]()


KINDS = ["image", "small", "vector", "counts", "sequence", "category"]
LIKELIHOODS = Laplace(), Bernoulli(), Normal(), NegativeBinomial(), Categorical(), Categorical()
LIKELIHOOD = dict(zip(KINDS, LIKELIHOODS, strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_any_size(shape):
    torch.manual_seed(0)
    encoder, decoder = ImageEncoder(shape), ImageDecoder(CODE, shape)
    assert encoder(torch.rand(ITEMS, *shape)).shape == (ITEMS, encoder.features)
    assert decoder(torch.randn(ITEMS, CODE)).shape == (ITEMS, *shape)
    assert ImageDecoder(CODE, shape, numbers=2)(torch.randn(ITEMS, CODE)).shape == (ITEMS, 2, *shape)
    assert seen(encoder, shape).all()
    # every pixel is made of the code, the first channels' edges too
    assert (decoder(torch.randn(2, CODE)).diff(dim=0) != 0).all()


@pytest.mark.parametrize("length", LENGTHS)
def test_sequences_of_any_length(length):
    torch.manual_seed(0)
    encoder, decoder = SequenceEncoder(length, 7), SequenceDecoder(CODE, length, 7)
    tokens = torch.randint(7, (ITEMS, length))
    assert encoder(tokens).shape == (ITEMS, encoder.features)
    output = decoder(torch.randn(ITEMS, CODE))
    assert output.shape == (ITEMS, length, 7)
    assert (output.diff(dim=0).abs().sum(2) > 0).all()
    assert seen(encoder, (length, 7)).all()


def test_convolutions_from_eight_by_eight_pixels_or_nine_characters():
    def kinds(network):
        return [type(layer).__name__ for layer in network.layers if not isinstance(layer, nn.ReLU)]

    assert kinds(ImageEncoder((1, 7, 7))) == ["Flatten", "Linear", "Linear"]
    assert kinds(ImageEncoder((1, 8, 7))) == ["Conv2d", "Flatten", "Linear"]
    assert kinds(ImageEncoder((1, 64, 64))) == ["Conv2d"] * 4 + ["Flatten", "Linear"]
    assert kinds(SequenceEncoder(8, 5)) == ["Levels", "Flatten", "Linear", "Linear"]
    assert kinds(SequenceEncoder(9, 5)) == ["Levels", "Conv1d", "Flatten", "Linear"]
    channels = [layer.out_channels for layer in ImageEncoder((1, 300, 300)).layers if isinstance(layer, nn.Conv2d)]
    assert channels == [32, 64, 128, 128, 128, 128]
    *_, last, _, _, flat, _ = ImageEncoder((1, 5, 40)).layers  # a thin one is halved along its long side
    assert last.stride == (1, 2) and flat.in_features == 128 * 5 * 5


def test_texts_of_256_characters_take_a_few_megaflops():
    encoder, decoder = SequenceEncoder(256, 71), SequenceDecoder(20, 256, 71)
    for network, x in ((encoder, torch.zeros(1, 256, dtype=torch.long)), (decoder, torch.zeros(1, 20))):
        with FlopCounterMode(display=False) as counter:
            network(x)
        assert counter.get_total_flops() < 5e6


def test_vectors_are_read_beside_which_entries_are_there():
    torch.manual_seed(0)
    encoder, x = VectorEncoder(4), torch.tensor([[0.3, math.nan, -1.0, math.nan], [0.3, 0.0, -1.0, 0.0]])
    read = torch.tensor([[0.3, 0, -1, 0, 1, 0, 1, 0], [0.3, 0, -1, 0, 1, 1, 1, 1]])
    torch.testing.assert_close(encoder(x), encoder.layers(read) + encoder.line(read))
    assert not torch.equal(*encoder(x))
    counts, logs = VectorEncoder(4, counts=True), torch.tensor([[math.log(4), 0, 0, math.log(6), 1, 0, 1, 1]])
    read = counts(torch.tensor([[3, math.nan, 0, 5]]))
    torch.testing.assert_close(read, counts.layers(logs) + counts.line(logs))


def test_weights_from_before_the_linear_map_compute_what_they_did():
    torch.manual_seed(0)
    layers, number = mlp(CODE, 256, 256, 4), torch.arange(4.0)
    older = {f"layers.{name}": tensor for name, tensor in layers.state_dict().items()} | {"layers.5.number": number}
    decoder, code = VectorDecoder(CODE, 4, numbers=2), torch.randn(ITEMS, CODE)
    decoder.load_state_dict(older)
    assert torch.equal(decoder(code), torch.stack([layers(code), number.expand(ITEMS, 4)], 1))
    encoder, other, x = VectorEncoder(4), VectorEncoder(4), torch.randn(ITEMS, 4)
    other.load_state_dict({name: x for name, x in encoder.state_dict().items() if name != "line.weight"})
    assert torch.equal(other(x), encoder.layers(torch.cat([x, torch.ones(ITEMS, 4)], 1)))


def test_tokens_are_one_hot_vectors_and_missing_ones_zeros():
    torch.manual_seed(0)
    encoder, tokens = SequenceEncoder(12, 5), torch.randint(5, (ITEMS, 12))
    one_hot = nn.functional.one_hot(tokens, 5).float()
    torch.testing.assert_close(encoder(tokens), encoder(one_hot))
    tokens[0, 3:], one_hot[0, 3:] = -1, 0
    torch.testing.assert_close(encoder(tokens), encoder(one_hot))
    encoder(tokens).sum().backward()
    assert encoder.layers[0].weight.grad.isfinite().all()


def test_the_second_number_is_learnt_and_not_of_the_code():
    decoder = VectorDecoder(CODE, 4, numbers=2)
    (beside,) = (layer for layer in decoder.beside if isinstance(layer, Beside))
    with torch.no_grad():
        beside.number.copy_(torch.arange(4.0))
    output = decoder(torch.randn(ITEMS, CODE))
    assert torch.equal(output[:, 1], torch.arange(4.0).expand(ITEMS, 4))
    assert VectorDecoder(CODE, 4)(torch.randn(ITEMS, CODE)).shape == (ITEMS, 4)
    with pytest.raises(ValueError, match="1 or 2 numbers an entry, not 3"):
        VectorDecoder(CODE, 4, numbers=3)


def test_the_spread_of_data_is_learnt():
    """Of the mean, which it knows, and the standard deviation of each column of a standardised table."""
    decoder, x = VectorDecoder(1, 3, numbers=2), torch.randn(400, 3, generator=seeded()) * torch.tensor([0.1, 1, 3])
    (beside,) = decoder.beside
    optimizer = torch.optim.Adam([beside.number], lr=0.05)
    for _ in range(200):
        loss = -Normal().log_prob(torch.stack([torch.zeros(400, 3), beside.number.expand(400, 3)], 1), x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(beside.number.detach().exp(), x.pow(2).mean(0).sqrt(), rtol=0.02, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_items_do_not_meet_and_nothing_is_drawn(kind):
    encoder, decoder, x = networks_of(kind)
    code, before = torch.randn(ITEMS, CODE, generator=seeded()), torch.get_rng_state()
    torch.testing.assert_close(torch.cat([encoder(x[n : n + 1]) for n in range(ITEMS)]), encoder(x))
    torch.testing.assert_close(torch.cat([decoder(code[n : n + 1]) for n in range(ITEMS)]), decoder(code))
    assert torch.equal(torch.get_rng_state(), before)
    assert not [*encoder.buffers(), *decoder.buffers()]


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_and_channels_last_change_rounding_alone(kind):
    encoder, decoder, x = networks_of(kind)
    code = torch.randn(ITEMS, CODE, generator=seeded())
    features, output = encoder(x), decoder(code)
    for network in (encoder, decoder):
        network.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(encoder(x).float(), features, atol=0.03, rtol=0.03)
        torch.testing.assert_close(decoder(code).float(), output, atol=0.03, rtol=0.03)


COMPILED = """
import sys
import torch
from test_general import CODE, ITEMS, LIKELIHOOD, networks_of

for kind in sys.argv[1:]:
    encoder, decoder, x = networks_of(kind)
    code, likelihood = torch.randn(ITEMS, CODE), LIKELIHOOD[kind]

    def step(x, code):
        return encoder(x), likelihood.log_prob(decoder(code), x)

    compiled = torch.compile(step, backend="eager", dynamic=False, fullgraph=True)
    for found, expected in zip(compiled(x, code), step(x, code)):
        torch.testing.assert_close(found, expected)
    print(kind)
"""


@pytest.mark.parametrize("kinds", [["vector"], pytest.param(KINDS, marks=pytest.mark.slow)], ids=len)
def test_networks_and_likelihoods_are_one_graph_of_static_shapes(kinds):
    """In a process of its own: the type checks of the tests cannot be compiled."""
    command, env = [sys.executable, "-c", COMPILED, *kinds], os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=Path(__file__).parent, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == kinds


def all_kinds(auxiliary: bool = False) -> tuple[MultimodalVAE, Batch]:
    """A model of a modality of each kind, and items that lack modalities, entries of vectors and tokens."""
    modalities, values = [], []
    for kind, letter in zip(KINDS, "ISVNTC", strict=True):
        encoder, decoder, x = networks_of(kind)
        make = {"make_encoder": lambda e=encoder: e, "make_decoder": lambda code_dim, d=decoder: d}
        modalities.append(Modality(kind, letter, tuple(x.shape[1:]), likelihood=LIKELIHOOD[kind], **make))
        values.append(x)
    values[4][1, 5:], values[3][0, 2] = -1, math.nan
    present = torch.ones(len(KINDS), ITEMS, dtype=torch.bool)
    present[[0, 4, 5, 2], [0, 0, 1, 2]] = False
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MultimodalVAE(modalities, CODE - 2, 2, auxiliary=auxiliary)
    return model, Batch(tuple(values), present, torch.zeros(ITEMS, dtype=torch.long))


@pytest.mark.parametrize("objective", METHODS)
def test_every_objective_takes_every_kind_with_entries_missing(objective):
    """The loss is finite, and its gradient, which reaches every weight."""
    model, batch = all_kinds(objective in AUXILIARY)
    loss = METHODS[objective].objective(model, batch, Config(objective=objective, importance_samples=2), seeded())
    loss.total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


def test_a_missing_entry_is_not_a_zero():
    """What a vector's encoder is told of an entry changes the posterior; what is absent altogether changes nothing."""
    model, batch = all_kinds()
    batch = batch._replace(present=torch.ones_like(batch.present))
    filled = tuple(torch.where(x.isnan(), 0, x) if x.is_floating_point() else x for x in batch.values)
    means = [model.encode(batch._replace(values=values)).content.mean for values in (batch.values, filled)]
    changed = (means[0] != means[1]).any(2)
    expected = torch.stack([x.flatten(1).isnan().any(1) for x in batch.values])
    assert torch.equal(changed, expected) and expected.any()
