"""Whether a modality's networks fit its shape and its likelihood: found out with one item, before training starts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy

from workbench.modality import Modality

# What layers take, by their class, in the words of an error message.
TAKES: list[tuple[type | tuple[type, ...], Callable[[Any], str]]] = [
    (nn.Linear, lambda layer: f"{layer.in_features} features"),
    ((nn.Conv1d, nn.ConvTranspose1d), lambda layer: f"[batch, {layer.in_channels}, length]"),
    ((nn.Conv2d, nn.ConvTranspose2d), lambda layer: f"[batch, {layer.in_channels}, height, width]"),
    ((nn.Conv3d, nn.ConvTranspose3d), lambda layer: f"[batch, {layer.in_channels}, depth, height, width]"),
    (_NormBase, lambda layer: f"{layer.num_features} channels"),
    (nn.GroupNorm, lambda layer: f"{layer.num_channels} channels"),
    (nn.LayerNorm, lambda layer: f"{list(layer.normalized_shape)} as last dimensions"),
    (nn.Embedding, lambda layer: f"integers from 0 to {layer.num_embeddings - 1}"),
    (nn.Unflatten, lambda layer: f"what unfolds to {list(layer.unflattened_size)}"),
]


def check_networks(modality: Modality, code_dim: int) -> None:
    """Send one item of zeros through a modality's encoder, and a code of `code_dim` zeros through its decoder.

    Raises ValueError, one sentence that names the modality, the layer, what it was given and what it takes, when either
    cannot be made, fails, or returns what the model cannot use. Networks are read in evaluation mode and on the device
    they were made on, without gradient; modes and the state of torch's random numbers on the CPU stay as they are.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        x = zeros_of(modality)
        encoder = Watched.make(f"encoder of {modality.name!r}", modality.make_encoder)
        _check_features(encoder, encoder(x))
        decoder = Watched.make(f"decoder of {modality.name!r}", modality.make_decoder, code_dim)
        _check_parameters(decoder, decoder(torch.zeros(1, code_dim)), modality, x)


def zeros_of(modality: Modality) -> Tensor:
    """One item of zeros: int64 tokens where the modality's encoding or its likelihood says so, else float32."""
    encoding = getattr(modality, "encoding", None)
    tokens = encoding.alphabet > 0 if encoding else getattr(modality.likelihood, "numbers", 1) is None
    return torch.zeros(1, *modality.shape, dtype=torch.int64 if tokens else torch.float32)


class Visit(NamedTuple):
    """A layer that was entered, its dotted name, and what it was given."""

    name: str
    layer: nn.Module
    given: str


class Watched:
    """A network whose errors say which layer they come from; `told` is what messages call it."""

    def __init__(self, told: str, network: nn.Module) -> None:
        self.told, self.network = told, network
        self.entered: list[Visit] = []  # layers that have been entered and not been left, the innermost last

    @classmethod
    def make(cls, told: str, factory: Callable[..., nn.Module], *sizes: int) -> "Watched":
        """What a factory makes of these sizes; ValueError when that is no network."""
        if isinstance(factory, nn.Module) or not callable(factory):
            raise ValueError(
                f"{told} is an object of class {type(factory).__name__}: give the class of your network, or a function "
                "that makes one, because every run makes its own"
            )
        if not _can_be_called(factory, *sizes):
            wanted = "with the size of the code alone" if sizes else "without arguments"
            raise ValueError(f"{told} is made {wanted}, which {_name(factory)}({_arguments(factory)}) does not allow")
        try:
            network = factory(*sizes)
        except Exception as error:
            raise ValueError(f"{told} cannot be made: {_first_line(error)}") from error
        if not isinstance(network, nn.Module):
            raise ValueError(f"{told} must be a torch.nn.Module: {_name(factory)} made {_shown(network)}")
        for name, parameter in network.named_parameters():
            if is_lazy(parameter):
                raise ValueError(f"{told}: {name} has no shape yet: give its layer all of its sizes")
        return cls(told, network)

    def __call__(self, x: Tensor) -> Tensor:
        """The network's output; ValueError that names the layer when it fails, or returns no tensor."""
        at = next(self.network.parameters(), x).device
        with _evaluating(self.network), self._watching():
            try:
                output = self.network(x.to(at))
            except Exception as error:
                raise ValueError(f"{self.told}: {self._fault()}: {_first_line(error)}") from error
        if not (isinstance(output, Tensor) and output.is_floating_point()):
            raise ValueError(f"{self.told} returns {_shown(output)}, not a tensor of real numbers")
        return output.cpu()

    @contextmanager
    def _watching(self) -> Iterator[None]:
        hooks = []
        for name, layer in self.network.named_modules():
            hooks.append(layer.register_forward_pre_hook(self._entering(name)))
            hooks.append(layer.register_forward_hook(self._left))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _entering(self, name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def enter(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            self.entered.append(Visit(name, layer, ", ".join(map(_shown, inputs))))

        return enter

    def _left(self, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        # what was entered after it has failed without harm, or it would have been left before
        while self.entered.pop().layer is not layer:
            pass

    def _fault(self) -> str:
        name, layer, given = self.entered[-1]
        layer_name = f"layer {name} ({type(layer).__name__})" if name else type(layer).__name__
        takes = next((tell(layer) for kinds, tell in TAKES if isinstance(layer, kinds)), None)
        return f"{layer_name} was given {given} and takes {takes}" if takes else f"{layer_name} was given {given}"


def _check_features(encoder: Watched, output: Tensor) -> None:
    """ValueError unless an encoder's output of one item is [1, features]."""
    features = getattr(encoder.network, "features", None)
    told = f"{encoder.told} returns {_shown(output)}"
    if output.dim() != 2 or len(output) != 1:
        wanted = f"[1, {features}]" if isinstance(features, int) else "[1, features]"
        raise ValueError(f"{told} for one item, but must return {wanted}: end it with torch.nn.Flatten(), for example")
    if features is None:
        raise ValueError(f"{told} and does not say so: give its class the line `features = {output.shape[1]}`")
    if features != output.shape[1]:
        raise ValueError(f"{told}, but its `features` says {_shown(features)}: make it {output.shape[1]}")


def _check_parameters(decoder: Watched, output: Tensor, modality: Modality, x: Tensor) -> None:
    """ValueError unless the likelihood can say how probable an item is from a decoder's output."""
    likelihood = modality.likelihood
    told = f"{decoder.told} returns {_shown(output)}"
    takes = f"the likelihood {type(likelihood).__name__}"
    wanted = parameters_of(modality)
    if wanted and not _same(output.shape, wanted):
        shape = ", ".join("alphabet" if size is None else str(size) for size in wanted)
        raise ValueError(f"{told} for one code, but {takes} takes [{shape}]")
    try:
        log_p = likelihood.log_prob(output, x)
    except Exception as error:
        raise ValueError(f"{told}, which {takes} cannot compare with {_shown(x)}: {_first_line(error)}") from error
    if not (isinstance(log_p, Tensor) and log_p.shape == (1,)):
        raise ValueError(f"{told}, of which {takes} makes {_shown(log_p)} for one item: its log_prob must give [1]")
    if not log_p.isfinite():
        raise ValueError(f"{told}, by which {takes} gives an item of zeros the log-probability {log_p.item()}")


def parameters_of(modality: Modality) -> tuple[int | None, ...] | None:
    """The shape of a decoder's output of one item; None for an unknown size, or for a likelihood that tells nothing."""
    shape, numbers = modality.shape, getattr(modality.likelihood, "numbers", 0)
    encoding = getattr(modality, "encoding", None)
    shapes: dict[int | None, tuple[int | None, ...]] = {
        None: (1, *shape, encoding.alphabet if encoding else None),
        1: (1, *shape),
        2: (1, 2, *shape),
    }
    return shapes.get(numbers)


def _same(found: torch.Size, wanted: tuple[int | None, ...]) -> bool:
    return len(found) == len(wanted) and all(w in (f, None) for f, w in zip(found, wanted, strict=True))


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Inside, the network is in evaluation mode, in which a batch of one item has no statistics to be taken of."""
    modes = [(layer, layer.training) for layer in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode


def _can_be_called(factory: Callable[..., Any], *sizes: int) -> bool:
    try:
        signature(factory).bind(*sizes)
    except TypeError:
        return False
    except ValueError:  # a signature that Python cannot see
        return True
    return True


def _arguments(factory: Callable[..., Any]) -> str:
    return ", ".join(signature(factory).parameters)


def _name(factory: Callable[..., Any]) -> str:
    return getattr(factory, "__name__", type(factory).__name__)


def _shown(what: Any) -> str:
    """A tensor's shape, and its type where that is not float32; the value or class of anything else."""
    if isinstance(what, Tensor):
        kind = "" if what.dtype == torch.float32 else f" of {what.dtype}".replace("torch.", "")
        return f"{list(what.shape)}{kind}"
    return repr(what) if isinstance(what, int | str | None) else f"a {type(what).__name__}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
