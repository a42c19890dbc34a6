"""A modality: its name and shape, the networks that read and write it, its likelihood and its weights.

A data set is a tuple of modalities plus a table of pairs. Data that comes with the package has the paper's networks, by
the shape of its items (`NETWORKS`); a user's own arrays have general ones by kind (`workbench.networks.by_kind`),
or the user's.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from typing import Any

import torch
from torch import nn

from workbench.data.dataset import Batch, MultimodalDataset, Storage
from workbench.data.letters import Names, letters_of
from workbench.data.own.encodings import Encoding
from workbench.data.own.raw import about, items_in, plain_arrays, some, warn
from workbench.likelihoods import Categorical, Laplace, Likelihood, likelihood_of
from workbench.networks import digits, faces, polydigits
from workbench.networks.by_kind import networks_by_kind
from workbench.networks.check import Item

Pair = tuple[Callable[[], nn.Module], Callable[[int], nn.Module]]  # encoder and decoder
BY_SHAPE, BY_KIND, OWN = "by shape", "by kind", "own"  # where a modality's networks come from


@dataclass(frozen=True)
class Modality:
    """One data type of a multimodal model.

    `weight` scales its log-likelihood so that small data types count as much as large ones; `style_weight` is the
    beta_m of its style divergence (Appendix C.2.2: 1 for images, 5 for text).
    """

    name: str
    letter: str  # as in the paper's tables: M, S, T
    shape: tuple[int, ...]
    make_encoder: Callable[[], nn.Module]
    make_decoder: Callable[[int], nn.Module]
    likelihood: Likelihood
    weight: float = 1.0
    style_weight: float = 1.0
    encoding: Encoding | None = None  # how raw arrays become values
    networks: str = BY_SHAPE  # BY_SHAPE | BY_KIND | OWN

    @property
    def item(self) -> Item:
        """What its networks read and write."""
        return Item(self.name, self.shape, self.likelihood, self.encoding.alphabet if self.encoding else None)


@dataclass(frozen=True)
class Networks:
    """Encoder, decoder, likelihood and style weight that go with one shape of data.

    With `scalable`, encoder and decoder take a `width`, which multiplies their channels. `counted` are the dimensions
    that the likelihood weight is made of, where not all are.
    """

    encoder: Callable[[], nn.Module]
    decoder: Callable[[int], nn.Module]
    likelihood: Likelihood
    style_weight: float = 1.0
    scalable: bool = False
    counted: int | None = None
    source: str = BY_SHAPE

    def sized(self, width: float) -> Pair:
        """Encoder and decoder, of a width where they have one to choose."""
        sized = {"width": width} if self.scalable else {}
        return partial(self.encoder, **sized), partial(self.decoder, **sized)


NETWORKS: dict[tuple[int, ...], Networks] = {
    (1, 28, 28): Networks(digits.MnistEncoder, digits.MnistDecoder, Laplace(0.75)),
    (3, 32, 32): Networks(digits.SvhnEncoder, digits.SvhnDecoder, Laplace(0.75)),
    (3, 28, 28): Networks(polydigits.PolydigitsEncoder, polydigits.PolydigitsDecoder, Laplace(0.75)),
    (8,): Networks(digits.TextEncoder, digits.TextDecoder, Categorical(), style_weight=5.0),
    # the authors' scripts weigh text by 64 * 64 / 256: unlike SVHN's, the channels of faces are not counted
    (3, 64, 64): Networks(faces.ImageEncoder, faces.ImageDecoder, Laplace(0.75), scalable=True, counted=64 * 64),
    (256,): Networks(faces.TextEncoder, faces.TextDecoder, Categorical(), style_weight=5.0, scalable=True),
}


def make_modalities(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], width: float = 1.0, text_weight: float | None = None
) -> tuple[Modality, ...]:
    """Modalities of the given names and shapes; the largest gets likelihood weight 1, the others size ratios.

    For MNIST-SVHN-Text: 3072/784, 1 and 3072/8; for faces and descriptions 1 and 4096/256. `width` multiplies the
    channels of networks of faces, `text_weight` takes the place of text's size ratio. Raises ValueError when no
    networks are known for a shape, or none of them has a width to choose.
    """
    found = [by_shape(name, shape) for name, shape in zip(names, shapes, strict=True)]
    return _assembled(names, shapes, found, width, text_weight)


def by_shape(name: str, shape: tuple[int, ...]) -> Networks:
    """The networks of a shape of items; ValueError where there are none."""
    if shape not in NETWORKS:
        raise ValueError(f"no networks for {name!r} of shape {shape}: add a line to workbench.modality.NETWORKS")
    return NETWORKS[shape]


def modalities_of(
    dataset: MultimodalDataset,
    width: float = 1.0,
    text_weight: float | None = None,
    networks: Mapping[str, Any] | None = None,
    likelihoods: Mapping[str, str | Likelihood] | None = None,
    weights: Mapping[str, float | int] | None = None,
    style_weights: Mapping[str, float | int] | None = None,
) -> tuple[Modality, ...]:
    """The modalities of a data set, with the defaults of `make_modalities` but for what is given by name.

    `networks` holds pairs (encoder, decoder): `encoder()` makes a module that maps values to `[batch, features]` and
    says how many in its attribute `features`, `decoder(code_dim)` one that maps codes to the likelihood's parameters.
    Raises ValueError on an unknown name, or a likelihood that does not go with a kind of data.
    """
    networks, likelihoods, weights, style_weights = (x or {} for x in (networks, likelihoods, weights, style_weights))
    given = {"networks": networks, "likelihoods": likelihoods, "weights": weights, "style_weights": style_weights}
    _check_given(dataset.modalities, given)
    found = [_networks_of(x, dataset.own, x.name in networks, likelihoods.get(x.name)) for x in dataset.storages]
    made = []
    assembled = _assembled(dataset.modalities, dataset.shapes, found, width, text_weight)
    for modality, storage in zip(assembled, dataset.storages, strict=True):
        name = modality.name
        if name in networks:
            encoder, decoder = networks[name]
            modality = replace(modality, make_encoder=encoder, make_decoder=decoder, networks=OWN)
        weight, style = weights.get(name, modality.weight), style_weights.get(name, modality.style_weight)
        made.append(replace(modality, weight=float(weight), style_weight=float(style), encoding=storage.encoding))
    return tuple(made)


def _networks_of(storage: Storage, by_kind: bool, own: bool, asked: str | Likelihood | None) -> Networks:
    """Networks of the kind or shape of a modality, and its likelihood: the user's, else that which goes with them."""
    if by_kind:
        kind = networks_by_kind(storage.name, storage.encoding, asked, needed=not own)
        return Networks(kind.encoder, kind.decoder, kind.likelihood, kind.style_weight, source=BY_KIND)
    found = by_shape(storage.name, storage.shape)
    return found if asked is None else replace(found, likelihood=likelihood_of(asked))


def _check_given(names: Sequence[str], given: Mapping[str, Mapping[str, Any]]) -> None:
    for what, by_name in given.items():
        if not isinstance(by_name, Mapping):
            raise ValueError(
                f"{what} are given by the names of modalities, as in {{{names[0]!r}: ...}}, not {by_name!r}"
            )
        if unknown := [name for name in by_name if name not in names]:
            raise ValueError(f"{what} names {unknown[0]!r}, which is no modality here: they are {', '.join(names)}")
        if what == "networks" and (odd := [n for n, pair in by_name.items() if not _is_pair(pair)]):
            raise ValueError(f"networks of {odd[0]!r} must be a pair (Encoder, Decoder) of classes or functions")
        if what.endswith("weights") and (odd := [n for n, x in by_name.items() if not _is_weight(x)]):
            raise ValueError(
                f"{what} of {odd[0]!r} is {by_name[odd[0]]!r}: a weight is not negative, and a finite number"
            )


def _is_weight(x: Any) -> bool:
    return isinstance(x, Real) and not isinstance(x, bool) and 0 <= x < math.inf


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, tuple | list) and len(pair) == 2 and all(callable(make) for make in pair)


def _assembled(
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
    found: Sequence[Networks],
    width: float,
    text_weight: float | None,
) -> tuple[Modality, ...]:
    """Modalities of these networks, weighted by size."""
    if width != 1 and not any(networks.scalable for networks in found):
        raise ValueError(f"width {width} is a choice of networks of faces: those of {', '.join(names)} have one width")
    sizes = [networks.counted or math.prod(shape) for networks, shape in zip(found, shapes, strict=True)]
    pairs = [networks.sized(width) for networks in found]
    modalities: list[Modality] = []
    for name, letter, shape, networks, pair, size in zip(
        names, letters_of(names), shapes, found, pairs, sizes, strict=True
    ):
        weight = text_weight if name == "text" and text_weight is not None else max(sizes) / size
        how = {"weight": weight, "style_weight": networks.style_weight, "networks": networks.source}
        modalities.append(Modality(name, letter, shape, *pair, networks.likelihood, **how))
    return tuple(modalities)


def names_of(modalities: Sequence[Modality]) -> Names:
    """What some modalities are called."""
    letters = tuple(m.letter for m in modalities)
    return Names(tuple(m.name for m in modalities), letters, f"this model has {', '.join(letters)}")


def batch_of(modalities: Sequence[Modality], arrays: Mapping[str, Any]) -> Batch:
    """Raw arrays by the name or letter of their modality as a batch; what is not named, NaN or None is absent.

    Labels are zeros. Raises ValueError, in one sentence, on what cannot be read and on items that have nothing.
    """
    arrays = plain_arrays(arrays)
    count, read, called = items_in(arrays), {}, names_of(modalities)
    for name, raw in arrays.items():
        m = called.place(name)
        if m in read:
            raise ValueError(f"{modalities[m].name!r} is given twice, by name and by letter: leave one out")
        with about(name):
            read[m] = modalities[m].encoding.values(raw)
        warn(name, modalities[m].encoding.remark(read[m][0]))
    for m, modality in enumerate(modalities):
        if m not in read:
            kind = torch.long if modality.encoding.alphabet else torch.float32
            read[m] = torch.zeros(count, *modality.shape, dtype=kind), torch.zeros(count, dtype=torch.bool)
    values, present = zip(*(read[m] for m in range(len(modalities))), strict=True)
    there = torch.stack(present)
    if nothing := (~there.any(0)).nonzero().flatten().tolist():
        raise ValueError(f"items {some(nothing)} have no modality at all: leave them out of all arrays")
    return Batch(values, there, torch.zeros(count, dtype=torch.long))
