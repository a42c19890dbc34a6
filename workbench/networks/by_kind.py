"""What goes with each kind of a user's data where nothing else is said: networks, likelihoods, style weight."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import nn

from workbench.data.own.encodings import Encoding
from workbench.likelihoods import Likelihood, likelihood_of, name_of
from workbench.networks import general

Factories = tuple[Callable[[], nn.Module], Callable[[int], nn.Module]]  # an encoder's, and a decoder's for codes


class Kind(NamedTuple):
    """One kind of data: the networks of an encoding, and the likelihoods that go with them.

    `networks(encoding, numbers)` gives the likelihood so many numbers an entry, None where it has a number for each
    token. The first likelihood is the default.
    """

    networks: Callable[[Encoding, int | None], Factories]
    likelihoods: tuple[str, ...]
    style_weight: float = 1.0


def _image(encoding: Encoding, numbers: int) -> Factories:
    shape = encoding.shape
    return partial(general.ImageEncoder, shape), partial(general.ImageDecoder, shape=shape, numbers=numbers)


def _vector(encoding: Encoding, numbers: int) -> Factories:
    (size,), counts = encoding.shape, encoding.kind == "counts"
    return partial(general.VectorEncoder, size, counts), partial(general.VectorDecoder, size=size, numbers=numbers)


def _sequence(encoding: Encoding, numbers: None) -> Factories:
    sizes = {"length": encoding.shape[0], "alphabet": encoding.alphabet}
    return partial(general.SequenceEncoder, **sizes), partial(general.SequenceDecoder, **sizes)


KINDS: dict[str, Kind] = {
    "image": Kind(_image, ("laplace", "bernoulli", "normal")),
    "vector": Kind(_vector, ("normal", "laplace")),
    "binary": Kind(_vector, ("bernoulli",)),
    "counts": Kind(_vector, ("negative-binomial",)),
    "categories": Kind(_sequence, ("categorical",)),
    "text": Kind(_sequence, ("categorical",), style_weight=5.0),
}


class Defaults(NamedTuple):
    """Encoder, decoder, likelihood and style weight of one modality."""

    encoder: Callable[[], nn.Module]
    decoder: Callable[[int], nn.Module]
    likelihood: Likelihood
    style_weight: float


def networks_by_kind(name: str, encoding: Encoding, asked: str | Likelihood | None, needed: bool = True) -> Defaults:
    """Return what goes with a modality's kind, with the likelihood that is asked for.

    `needed` False: the user's own networks take the place of these, so that any likelihood will do. ValueError on a
    likelihood that does not go with the kind, or a kind that has no networks.
    """
    kind = KINDS.get(encoding.kind)
    if kind is None and (needed or asked is None):
        raise ValueError(
            f"{name!r} is of kind {encoding.kind!r}, which has no networks and likelihood of its own: give "
            f"networks={{{name!r}: (Encoder, Decoder)}} and likelihoods={{{name!r}: ...}}"
        )
    likelihood = likelihood_of(kind.likelihoods[0] if asked is None else asked)
    if kind is None:
        return Defaults(nn.Identity, nn.Identity, likelihood, 1.0)
    if needed and name_of(likelihood) not in kind.likelihoods:
        raise ValueError(
            f"the likelihood of {name!r}, of kind {encoding.kind!r}, cannot be {name_of(likelihood)!r}: choose "
            f"{' or '.join(map(repr, kind.likelihoods))}, or give networks of your own"
        )
    encoder, decoder = kind.networks(encoding, getattr(likelihood, "numbers", 1))
    return Defaults(encoder, decoder, likelihood, kind.style_weight)
