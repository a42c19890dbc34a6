"""A modality: its name and shape, the networks that read and write it, its likelihood and its weights.

A data set is a tuple of modalities plus a table of pairs. To add a modality, add its storage to `workbench.data` and
one line to `NETWORKS`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import nn

from workbench.data.dataset import MultimodalDataset
from workbench.data.letters import letters_of
from workbench.likelihoods import Categorical, Laplace, Likelihood
from workbench.networks import digits, polydigits, portraits


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


NETWORKS: dict[tuple[int, ...], Networks] = {
    (1, 28, 28): Networks(digits.MnistEncoder, digits.MnistDecoder, Laplace(0.75)),
    (3, 32, 32): Networks(digits.SvhnEncoder, digits.SvhnDecoder, Laplace(0.75)),
    (3, 28, 28): Networks(polydigits.PolydigitsEncoder, polydigits.PolydigitsDecoder, Laplace(0.75)),
    (8,): Networks(digits.TextEncoder, digits.TextDecoder, Categorical(), style_weight=5.0),
    # the authors' scripts weigh text by 64 * 64 / 256: unlike SVHN's, the channels of faces are not counted
    (3, 64, 64): Networks(
        portraits.ImageEncoder, portraits.ImageDecoder, Laplace(0.75), scalable=True, counted=64 * 64
    ),
    (256,): Networks(portraits.TextEncoder, portraits.TextDecoder, Categorical(), style_weight=5.0, scalable=True),
}


def make_modalities(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], width: float = 1.0, text_weight: float | None = None
) -> tuple[Modality, ...]:
    """Modalities of the given names and shapes; the largest gets likelihood weight 1, the others size ratios.

    For MNIST-SVHN-Text: 3072/784, 1 and 3072/8; for faces and descriptions 1 and 4096/256. `width` multiplies the
    channels of networks of faces, `text_weight` takes the place of text's size ratio. Raises ValueError when no
    networks are known for a shape, or none of them has a width to choose.
    """
    for name, shape in zip(names, shapes, strict=True):
        if shape not in NETWORKS:
            raise ValueError(f"no networks for {name!r} of shape {shape}: add a line to workbench.modality.NETWORKS")
    if width != 1 and not any(NETWORKS[shape].scalable for shape in shapes):
        raise ValueError(f"width {width} is a choice of networks of faces: those of {', '.join(names)} have one width")
    largest = max(_counted(shape) for shape in shapes)
    modalities: list[Modality] = []
    for name, letter, shape in zip(names, letters_of(names), shapes, strict=True):
        found = NETWORKS[shape]
        sized = {"width": width} if found.scalable else {}
        by_size = largest / _counted(shape)
        modalities.append(
            Modality(
                name=name,
                letter=letter,
                shape=shape,
                make_encoder=partial(found.encoder, **sized),
                make_decoder=partial(found.decoder, **sized),
                likelihood=found.likelihood,
                weight=text_weight if name == "text" and text_weight is not None else by_size,
                style_weight=found.style_weight,
            )
        )
    return tuple(modalities)


def _counted(shape: tuple[int, ...]) -> int:
    return NETWORKS[shape].counted or math.prod(shape)


def modalities_of(
    dataset: MultimodalDataset, width: float = 1.0, text_weight: float | None = None
) -> tuple[Modality, ...]:
    """The modalities of a data set; see `make_modalities`."""
    return make_modalities(dataset.modalities, [storage.shape for storage in dataset.storages], width, text_weight)
