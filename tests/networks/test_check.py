"""Networks that do not fit their modality are refused before training, by the name of the layer."""

import re
from functools import partial

import pytest
import torch
from torch import nn

from workbench.likelihoods import Categorical, Laplace, NegativeBinomial, Normal
from workbench.modality import Modality, make_modalities
from workbench.networks import general
from workbench.networks.check import check_networks

SHAPE, CODE = (1, 28, 28), 20
ENCODER = partial(general.ImageEncoder, SHAPE)


def decoder(code_dim: int) -> nn.Module:
    """A decoder that fits."""
    return general.ImageDecoder(code_dim, SHAPE)


class Encoder(nn.Module):
    """Flat images through some layers."""

    features = 128

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), *layers)

    def forward(self, x):
        return self.layers(x)


class Pairs(nn.Linear):
    """Returns a mean and a variance."""

    features = 4

    def forward(self, x):
        return super().forward(x.flatten(1)), x


class Broken(nn.Module):
    """Fails between its layers, after the first of them."""

    features = 8

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Flatten()

    def forward(self, x):
        return self.first(x) @ torch.zeros(3, 8)


class Forgiving(Encoder):
    """Goes another way where a layer fails; what fails afterwards is to blame."""

    def forward(self, x):
        try:
            return self.layers[1](x)
        except RuntimeError:
            return self.layers[2](x)


class Backbone(nn.Module):
    """Its `features` are layers, as those of torchvision's VGG are."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Flatten()

    def forward(self, x):
        return self.features(x)


class Impossible(nn.Module):
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("weights.pt is not here\nTraceback of something")


def modality(encoder=ENCODER, decoder=decoder, likelihood=None, shape=SHAPE) -> Modality:
    """Computed tomography."""
    return Modality("ct", "C", shape, encoder, decoder, likelihood or Laplace())


def check(of: Modality, gaps: bool = False) -> None:
    """Check a modality's networks."""
    check_networks(of.item, of.make_encoder, of.make_decoder, CODE, gaps)


def flat_decoder(code_dim: int) -> nn.Module:
    return nn.Linear(code_dim, 784)


def fixed_decoder() -> nn.Module:
    return nn.Linear(8, 784)


# What is said of an encoder, after its name, and the encoder; then decoders, and others of both.
ENCODERS = {
    # a layer that does not follow, channels of another image, another size
    ": layer layers.3 (Linear) was given [1, 512] and takes 256 features: mat1 and mat2": lambda: Encoder(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(256, 128)
    ),
    ": layer layers.0 (Conv2d) was given [1, 1, 28, 28] and takes [batch, 3, height, width]: Given": partial(
        general.ImageEncoder, (3, 28, 28)
    ),
    ": layer layers.9 (Linear) was given [1, 128] and takes 2048 features": partial(general.ImageEncoder, (1, 64, 64)),
    ": layer layers.1 (Embedding) was given [1, 784] and takes integers from 0 to 8": lambda: Encoder(
        nn.Embedding(9, 4)
    ),
    ": Broken was given [1, 1, 28, 28]: mat1 and mat2": Broken,
    # a fault after another that did no harm
    ": layer layers.2 (Linear) was given [1, 1, 28, 28] and takes 5 features": lambda: Forgiving(
        nn.Linear(3, 3), nn.Linear(5, 5)
    ),
    " returns [1, 784] and does not say so: give its class the line `features = 784`": lambda: nn.Sequential(
        nn.Flatten()
    ),
    " returns [1, 64], but its `features` says 128: make it 64": lambda: Encoder(nn.Linear(784, 64)),
    " returns [1, 784], but its `features` says a Flatten: make it 784": Backbone,
    " returns [1, 1, 28, 28] for one item, but must return [1, features]": nn.Identity,
    " returns a tuple, not a tensor of real numbers": partial(Pairs, 784, 4),
    " is made without arguments, which ImageEncoder(shape) does not allow": general.ImageEncoder,
    " is an object of class Encoder: give the class": Encoder(),
    " cannot be made: weights.pt is not here": Impossible,
    ": layers.1.weight has no shape yet: give its layer all of its sizes": lambda: Encoder(nn.LazyLinear(128)),
}
TAKES = "for one code, but the likelihood"
DECODERS = {
    " is made with the size of the code alone, which fixed_decoder()": fixed_decoder,
    " must be a torch.nn.Module: <lambda> made 'none'": lambda code_dim: "none",
    ": Linear was given [1, 20] and takes 8 features": lambda code_dim: nn.Linear(8, 784),
    f" returns [1, 784] {TAKES} Laplace takes [1, 1, 28, 28]": flat_decoder,
    # what would broadcast, and what is infinite
    f" returns [1, 1, 1, 1] {TAKES} Laplace takes [1, 1, 28, 28]": lambda c: general.ImageDecoder(c, (1, 1, 1)),
    " returns [1, 1, 28, 28], by which the likelihood Laplace gives an item of zeros the log-probability -inf": (
        lambda code_dim: nn.Sequential(decoder(code_dim), nn.Threshold(1e9, float("inf")))
    ),
}
TOKENS = {"shape": (4,), "likelihood": Categorical()}
SEQUENCES = partial(general.SequenceEncoder, 4, 7), lambda code_dim: general.SequenceDecoder(code_dim, 5, 7)
REFUSED = {
    **{f"encoder of 'ct'{message}": {"encoder": encoder} for message, encoder in ENCODERS.items()},
    **{f"decoder of 'ct'{message}": {"decoder": decoder} for message, decoder in DECODERS.items()},
    "encoder of 'ct': Linear was given [1, 4] of int64 and takes 4 features": (
        TOKENS | {"encoder": partial(nn.Linear, 4, 4)}
    ),
    f"decoder of 'ct' returns [1, 1, 28, 28] {TAKES} Normal takes [1, 2, 1, 28, 28]": {"likelihood": Normal()},
    f"decoder of 'ct' returns [1, 5, 7] {TAKES} Categorical takes [1, 4, alphabet]": (
        TOKENS | dict(zip(("encoder", "decoder"), SEQUENCES, strict=True))
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        check(modality(**REFUSED[message]))
    assert "\n" not in str(caught.value)


class Strict:
    """A likelihood of a user's, which says nothing of the outputs it takes."""

    def log_prob(self, output, x):
        return -(output.view(len(x), 1, 28, 28) - x).square().mean((1, 2))

    def mean(self, output):
        return output

    def sample(self, output, generator=None):
        return output


def test_an_own_likelihood_is_tried():
    with pytest.raises(ValueError, match=r"makes \[1, 28\] for one item: its log_prob must give \[1\]"):
        check(modality(decoder=flat_decoder, likelihood=Strict()))
    with pytest.raises(ValueError, match=r"returns \[1, 5\], which the likelihood Strict cannot compare with \[1, 1,"):
        check(modality(decoder=lambda code_dim: nn.Linear(code_dim, 5), likelihood=Strict()))


def test_networks_of_the_package_fit():
    digits = make_modalities(("handwriting", "street", "text"), ((1, 28, 28), (3, 32, 32), (8,)))
    faces = make_modalities(("image", "text"), ((3, 64, 64), (256,)), width=0.125)
    for found in (*digits, *faces, *make_modalities(("a",), ((3, 28, 28),))):
        check(found)


@pytest.mark.parametrize("likelihood", [Normal(), NegativeBinomial()])
def test_general_networks_fit(likelihood):
    check(modality(likelihood=likelihood, decoder=lambda c: general.ImageDecoder(c, SHAPE, numbers=2)))
    vectors = partial(general.VectorEncoder, 4), lambda code_dim: general.VectorDecoder(code_dim, 4, numbers=2)
    check(modality(*vectors, likelihood, shape=(4,)))
    columns = partial(general.SequenceEncoder, 3, 5), lambda code_dim: general.SequenceDecoder(code_dim, 3, 5)
    check(modality(*columns, Categorical(), shape=(3,)), gaps=True)


def test_an_encoder_must_read_items_that_lack_an_entry_where_there_are_some():
    def given(encoder):
        return modality(encoder, lambda code_dim: general.VectorDecoder(code_dim, 4, numbers=2), Normal(), shape=(4,))

    deaf = given(lambda: Encoder(nn.Linear(4, 128)))
    check(deaf)
    with pytest.raises(ValueError, match=r"encoder of 'ct' gives features that are not finite .*nan_to_num"):
        check(deaf, gaps=True)
    check(given(partial(general.VectorEncoder, 4)), gaps=True)


def test_the_check_leaves_no_trace():
    """One item through batch normalisation, whose statistics stay; so do modes, hooks, gradients and random numbers."""
    kept = Encoder(nn.Linear(784, 128), nn.BatchNorm1d(128), nn.Dropout(0.5))
    kept.layers[3].eval()
    before, state = torch.get_rng_state(), {name: x.clone() for name, x in kept.state_dict().items()}
    check(modality(encoder=lambda: kept))
    assert torch.equal(torch.get_rng_state(), before)
    assert [layer.training for layer in kept.layers] == [True, True, True, False] and kept.training
    for name, x in kept.state_dict().items():
        assert torch.equal(x, state[name])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in kept.modules())
    assert all(p.grad is None and p.requires_grad for p in kept.parameters())
    assert torch.is_grad_enabled()
