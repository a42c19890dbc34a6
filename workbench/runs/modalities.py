"""modalities.json of a run folder: what its model's modalities are, so that the model is made again without data.

    {"data": "hospital-3fa9c1d2", "own": true, "labelled": true, "classes": ["benign", "malignant"],
     "modalities": [{"name": "labs", "letter": "L", "shape": [30], "encoding": {"kind": "vector", ...},
                     "likelihood": {"name": "normal"}, "weight": 1.0, "style_weight": 1.0, "networks": "by kind"}]}

`networks` of one's own are their import paths, ["package.module:Encoder", "package.module:Decoder"], or null where they
cannot be imported again: then whoever loads the run must give them. A folder may be somebody else's, and importing runs
code: what is no network of this package is imported at the user's word alone, and must be a class of networks, or a
function.
"""

import functools
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pkgutil import resolve_name
from typing import Any

from torch import nn

from workbench import likelihoods
from workbench.data.dataset import MultimodalDataset
from workbench.data.own import encodings, from_json
from workbench.modality import BY_KIND, BY_SHAPE, OWN, Modality, Pair, by_shape
from workbench.networks.by_kind import networks_by_kind

NAME = "modalities.json"
OURS = "workbench.networks."  # where networks are imported from without being asked
MOVED = {"workbench.networks.portraits": "workbench.networks.faces"}  # modules by the names that older runs have


def to_json(dataset: MultimodalDataset, modalities: Sequence[Modality]) -> dict[str, Any]:
    """What modalities.json holds of a data set and the modalities of a model; ValueError on what it cannot hold."""
    about = {"data": dataset.name, "own": dataset.own, "labelled": dataset.labelled, "classes": dataset.classes}
    return about | {"modalities": [_modality_to_json(modality) for modality in modalities]}


def identity(content: dict[str, Any]) -> dict[str, Any]:
    """What modalities.json holds without what was only seen in training, which older versions did not keep."""
    about = [kept | {"encoding": encodings.identity(kept["encoding"])} for kept in content["modalities"]]
    return json.loads(json.dumps(content | {"modalities": about}))


def check(content: dict[str, Any]) -> None:
    """Raise what is wrong with the content of a file: the types of all that is read of it."""
    types: dict[str, Any] = {"name": str, "letter": str, "shape": list, "encoding": dict, "likelihood": dict}
    types |= {"weight": int | float, "style_weight": int | float, "networks": str | list | None}
    for kept in content["modalities"]:
        for name, kind in types.items():
            if not isinstance(kept[name], kind):
                raise ValueError(f"{name} of a modality is {kept[name]!r}")
        if not all(type(size) is int and size > 0 for size in kept["shape"]):
            raise ValueError(f"the shape of {kept['name']} is {kept['shape']}")
    if not (isinstance(content["own"], bool) and content["modalities"]):
        raise ValueError("it does not say whose the data are, or names no modality")


def _modality_to_json(modality: Modality) -> dict[str, Any]:
    if modality.encoding is None:
        raise ValueError(f"modality {modality.name!r} has no encoding: make it by workbench.modality.modalities_of")
    networks = modality.networks
    if networks == OWN:
        paths = [import_path(make) for make in (modality.make_encoder, modality.make_decoder)]
        networks = None if None in paths else paths
    return {
        "name": modality.name,
        "letter": modality.letter,
        "shape": list(modality.shape),
        "encoding": modality.encoding.to_json(),
        "likelihood": likelihoods.to_json(modality.likelihood),
        "weight": modality.weight,
        "style_weight": modality.style_weight,
        "networks": networks,
    }


def import_path(make: Callable) -> str | None:
    """Module and name of a class or function, None where importing that gives something else, or may elsewhere."""
    module, name = getattr(make, "__module__", None), getattr(make, "__qualname__", None)
    if module == "__main__" or module not in sys.modules:
        return None
    try:
        return f"{module}:{name}" if resolve_name(f"{module}:{name}") is make else None
    except (AttributeError, ValueError):  # of something local, or nameless
        return None


def read(
    content: dict[str, Any], width: float = 1.0, networks: Mapping[str, Pair] | None = None, trust: bool = False
) -> tuple[Modality, ...]:
    """The modalities that `to_json` kept; `networks` by name take the place of what was kept.

    `width` is that of the configuration; `trust` is the word to import networks from outside the package. Raises
    ValueError on networks that must be given and are not, or cannot or must not be imported.
    """
    networks = networks or {}
    names = [kept["name"] for kept in content["modalities"]]
    if unknown := [name for name in networks if name not in names]:
        raise ValueError(
            f"networks names {unknown[0]!r}, which is no modality of this run: they are {', '.join(names)}"
        )
    return tuple(_modality_from_json(kept, width, networks.get(kept["name"]), trust) for kept in content["modalities"])


def _modality_from_json(kept: dict[str, Any], width: float, given: Pair | None, trust: bool) -> Modality:
    encoding, likelihood = from_json(kept["encoding"]), likelihoods.from_json(kept["likelihood"])
    name, shape, source = kept["name"], tuple(kept["shape"]), kept["networks"]
    if given is not None:
        source, (encoder, decoder) = OWN, given
    elif source == BY_KIND:
        found = networks_by_kind(name, encoding, likelihood)
        encoder, decoder = found.encoder, found.decoder
    elif source == BY_SHAPE:
        encoder, decoder = by_shape(name, shape).sized(width)
    else:
        (encoder, decoder), source = _imported(name, source, trust), OWN
    weights = kept["weight"], kept["style_weight"]
    return Modality(name, kept["letter"], shape, encoder, decoder, likelihood, *weights, encoding, source)


def _imported(name: str, paths: list[str] | None, trust: bool) -> Pair:
    cure = f"give them: Run.load(folder, networks={{{name!r}: (Encoder, Decoder)}})"
    if paths is None:
        raise ValueError(f"the networks of {name!r} were defined where they cannot be imported from: {cure}")
    return tuple(_network(name, str(path), trust, cure) for path in paths)


def _network(name: str, path: str, trust: bool, cure: str) -> Callable[..., nn.Module]:
    """What a path names: with trust a class of networks or a function, without it a class of the package's own."""
    module, _, qualified = path.partition(":")
    module = MOVED.get(module, module)
    ours = module.startswith(OURS)
    if not (ours or trust):
        raise ValueError(
            f"{path}, a network of {name!r}, is not of this package, and importing it runs its code: if you trust it, "
            f"say so by Run.load(folder, trust=True), or --trust in a shell, or {cure}"
        )
    try:
        found = resolve_name(f"{module}:{qualified}")
    except (ImportError, AttributeError, ValueError):
        raise ValueError(f"{path}, a network of {name!r}, cannot be imported here: {cure}") from None
    own = getattr(found, "__module__", "").startswith(OURS)
    if inspect.isclass(found) and issubclass(found, nn.Module) and (own or trust):
        return found
    if not (inspect.isfunction(found) and trust):
        raise ValueError(f"{path}, a network of {name!r}, is no class of torch.nn.Module: {cure}")
    return _making_networks(found, path)


def _making_networks(make: Callable[..., Any], path: str) -> Callable[..., nn.Module]:
    """The function, with ValueError where it makes anything but a network."""

    @functools.wraps(make)
    def checked(*sizes: int) -> nn.Module:
        network = make(*sizes)
        if not isinstance(network, nn.Module):
            raise ValueError(f"{path} made a {type(network).__name__}, which is no torch.nn.Module")
        return network

    return checked
