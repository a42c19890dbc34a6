"""What goes with each kind of a user's data where nothing else is said: networks, likelihoods, style weight."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from torch import nn

from workbench.data.own.encodings import Encoding
from workbench.likelihoods import Likelihood, likelihood_of, name_of
from workbench.networks import general


class Kind(NamedTuple):
    """One kind of data: the encoder and decoder of an encoding, and the likelihoods that go with them.

    `decoder(code_dim, encoding, numbers)` gives the likelihood so many numbers an entry, None where it has a number for
    each token. The first likelihood is the default.
    """

    encoder: Callable[[Encoding], nn.Module]
    decoder: Callable[[int, Encoding, int | None], nn.Module]
    likelihoods: tuple[str, ...]
    style_weight: float = 1.0


IMAGE = (
    lambda encoding: general.ImageEncoder(encoding.shape),
    lambda code_dim, encoding, numbers: general.ImageDecoder(code_dim, encoding.shape, numbers),
)
VECTOR = (
    lambda encoding: general.VectorEncoder(encoding.shape[0], counts=encoding.kind == "counts"),
    lambda code_dim, encoding, numbers: general.VectorDecoder(code_dim, encoding.shape[0], numbers),
)
SEQUENCE = (
    lambda encoding: general.SequenceEncoder(encoding.shape[0], encoding.alphabet),
    lambda code_dim, encoding, numbers: general.SequenceDecoder(code_dim, encoding.shape[0], encoding.alphabet),
)
KINDS: dict[str, Kind] = {
    "image": Kind(*IMAGE, ("laplace", "bernoulli", "normal")),
    "vector": Kind(*VECTOR, ("normal", "laplace")),
    "binary": Kind(*VECTOR, ("bernoulli",)),
    "counts": Kind(*VECTOR, ("negative-binomial",)),
    "categories": Kind(*SEQUENCE, ("categorical",)),
    "text": Kind(*SEQUENCE, ("categorical",), style_weight=5.0),
}


@dataclass(frozen=True)
class Defaults:
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
    decoder = partial(kind.decoder, encoding=encoding, numbers=getattr(likelihood, "numbers", 1))
    return Defaults(partial(kind.encoder, encoding), decoder, likelihood, kind.style_weight)
