"""Whether networks fit the shape and the likelihood of their data: found out with one item, before training starts."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy

from workbench.likelihoods import Likelihood
from workbench.networks.shared import again, once

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


class Item(NamedTuple):
    """What networks read and write: one item of a modality, by its name, its shape and its likelihood.

    `alphabet` counts the tokens that there are, 0 where values are numbers; None: the likelihood says which of both.
    """

    name: str
    shape: tuple[int, ...]
    likelihood: Likelihood
    alphabet: int | None = None

    @property
    def zeros(self) -> Tensor:
        """One item of zeros: int64 tokens or float32."""
        numbers = getattr(self.likelihood, "numbers", 1)
        tokens = numbers is None if self.alphabet is None else self.alphabet > 0
        return torch.zeros(1, *self.shape, dtype=torch.int64 if tokens else torch.float32)

    @property
    def decoded(self) -> tuple[int | None, ...] | None:
        """Shape of a decoder's output of one item; None for an unknown size, or a likelihood that tells nothing."""
        shapes = {None: (1, *self.shape, self.alphabet), 1: (1, *self.shape), 2: (1, 2, *self.shape)}
        return shapes.get(getattr(self.likelihood, "numbers", 0))


def check_networks(
    item: Item,
    make_encoder: Callable[[], nn.Module],
    make_decoder: Callable[[int], nn.Module],
    code_dim: int,
    gaps: bool = False,
) -> None:
    """Send one item of zeros through an encoder, and a code of `code_dim` zeros through a decoder.

    With `gaps`, where some items lack some of their entries, an item that lacks one goes through the encoder, too.

    Raises ValueError, one sentence that names the modality, the layer, what it was given and what it takes, when either
    cannot be made, fails, or returns what the model cannot use. Networks are read in evaluation mode and on the device
    they were made on, without gradient; modes and the state of torch's random numbers on the CPU stay as they are.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        x = item.zeros
        name = f"encoder of {item.name!r}"
        encoder = _made(name, make_encoder)
        _check_features(name, encoder, _output(name, encoder, x))
        if gaps:
            x.view(-1)[0] = torch.nan if x.is_floating_point() else -1
            if not _output(name, encoder, x).isfinite().all():
                raise ValueError(
                    f"{name} gives features that are not finite for an item that lacks an entry (NaN), as some do "
                    "here: let it read such entries as a number, by torch.nan_to_num(x)"
                )
        _check_kept(name, encoder)
        name = f"decoder of {item.name!r}"
        decoder = _made(name, make_decoder, code_dim)
        output = _output(name, decoder, torch.zeros(1, code_dim))
        _check_kept(name, decoder)
        _check_parameters(f"{name} returns {_shown(output)}", output, item)


def check_alone(model: nn.Module) -> None:
    """ValueError where a batch of one item leaves batch normalisation a single number of a channel to train on.

    `model` is a MultimodalVAE, which stays as it is.
    """
    if not any(isinstance(layer, _NormBase) for layer in model.modules()):
        return
    trial = copy.deepcopy(model).train()
    code = torch.zeros(1, model.style_dim + model.content_dim)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for modality, encoder, decoder in zip(model.modalities, trial.encoders, trial.decoders, strict=True):
            for kind, network, x in (("encoder", encoder, modality.item.zeros), ("decoder", decoder, code)):
                try:
                    network(x)
                except ValueError as error:
                    raise ValueError(
                        f"one item at a time leaves the batch normalisation in the {kind} of {modality.name!r} nothing "
                        f"to take statistics of ({_first_line(error)}): choose a batch_size of 2 or more a process"
                    ) from error


def _made(name: str, factory: Callable[..., nn.Module], *sizes: int) -> nn.Module:
    """What a factory makes of these sizes; ValueError when that is no network."""
    if isinstance(factory, nn.Module) or not callable(factory):
        raise ValueError(
            f"{name} is an object of class {type(factory).__name__}: give the class of your network, or a function "
            "that makes one, because every run makes its own"
        )
    maker = getattr(factory, "__name__", type(factory).__name__)
    try:
        signature(factory).bind(*sizes)
    except TypeError:
        wanted = "with the size of the code alone" if sizes else "without arguments"
        given = ", ".join(signature(factory).parameters)
        raise ValueError(f"{name} is made {wanted}, which {maker}({given}) does not allow") from None
    except ValueError:  # a signature that Python cannot see
        pass
    try:
        network = factory(*sizes)
    except Exception as error:
        raise ValueError(f"{name} cannot be made: {_first_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"{name} must be a torch.nn.Module: {maker} made {_shown(network)}")
    for parameter_name, parameter in network.named_parameters():
        if is_lazy(parameter):
            raise ValueError(f"{name}: {parameter_name} has no shape yet: give its layer all of its sizes")
    return network


def _output(name: str, network: nn.Module, x: Tensor) -> Tensor:
    """A network's output; ValueError that names the layer when it fails, or returns no tensor."""
    at = next(network.parameters(), x).device
    with _watching(network) as entered:
        try:
            output = network(x.to(at))
        except Exception as error:
            raise ValueError(f"{name}: {_fault(*entered[-1])}: {_first_line(error)}") from error
    if not (isinstance(output, Tensor) and output.is_floating_point()):
        raise ValueError(f"{name} returns {_shown(output)}, not a tensor of real numbers")
    return output.cpu()


@contextmanager
def _watching(network: nn.Module) -> Iterator[list[tuple[str, nn.Module, str]]]:
    """Yield the layers that have been entered and not been left, the innermost last: name, layer, what it was given.

    Inside, the network is in evaluation mode, in which a batch of one item has no statistics to be taken of.
    """
    entered: list[tuple[str, nn.Module, str]] = []
    names = {layer: name for name, layer in network.named_modules()}
    modes = {layer: layer.training for layer in names}

    def entering(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        entered.append((names[layer], layer, ", ".join(map(_shown, inputs))))

    def left(layer: nn.Module, *_: Any) -> None:
        # what was entered after it has failed without harm, or it would have been left before
        while entered.pop()[1] is not layer:
            pass

    hooks = [layer.register_forward_pre_hook(entering) for layer in names]
    hooks += [layer.register_forward_hook(left) for layer in names]
    network.eval()
    try:
        yield entered
    finally:
        for hook in hooks:
            hook.remove()
        for layer, mode in modes.items():
            layer.training = mode


def _fault(name: str, layer: nn.Module, given: str) -> str:
    layer_name = f"layer {name} ({type(layer).__name__})" if name else type(layer).__name__
    takes = next((f" and takes {tell(layer)}" for kinds, tell in TAKES if isinstance(layer, kinds)), "")
    return f"{layer_name} was given {given}{takes}"


def _check_features(name: str, encoder: nn.Module, output: Tensor) -> None:
    """ValueError unless an encoder's output of one item is [1, features]."""
    features = getattr(encoder, "features", None)
    returns = f"{name} returns {_shown(output)}"
    if output.dim() != 2 or len(output) != 1:
        wanted = f"[1, {features}]" if isinstance(features, int) else "[1, features]"
        raise ValueError(
            f"{returns} for one item, but must return {wanted}: end it with torch.nn.Flatten(), for example"
        )
    if features is None:
        raise ValueError(f"{returns} and does not say so: give its class the line `features = {output.shape[1]}`")
    if features != output.shape[1]:
        raise ValueError(f"{returns}, but its `features` says {_shown(features)}: make it {output.shape[1]}")


def _check_parameters(returns: str, output: Tensor, item: Item) -> None:
    """ValueError unless the likelihood can say how probable an item is from a decoder's output."""
    takes, wanted, x = f"the likelihood {type(item.likelihood).__name__}", item.decoded, item.zeros
    fits = wanted is None or len(wanted) == output.dim()
    if not (fits and all(size in (given, None) for size, given in zip(wanted or (), output.shape, strict=False))):
        shape = ", ".join("alphabet" if size is None else str(size) for size in wanted)
        raise ValueError(f"{returns} for one code, but {takes} takes [{shape}]")
    try:
        log_p = item.likelihood.log_prob(output, x)
    except Exception as error:
        raise ValueError(f"{returns}, which {takes} cannot compare with {_shown(x)}: {_first_line(error)}") from error
    if not (isinstance(log_p, Tensor) and log_p.shape == (1,)):
        raise ValueError(f"{returns}, of which {takes} makes {_shown(log_p)} for one item: its log_prob must give [1]")
    if not log_p.isfinite():
        raise ValueError(f"{returns}, by which {takes} gives an item of zeros the log-probability {log_p.item()}")


def _check_kept(name: str, network: nn.Module) -> None:
    """ValueError unless a network's state can be written to a file, and be read from it into another one like it."""
    state = network.state_dict()
    if odd := [key for key, value in state.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"{name} keeps {odd[0]!r}, {_shown(state[odd[0]])}, which no file of tensors can hold")
    try:
        kept = safetensors.torch.load(safetensors.torch.save(once(state)))
        network.load_state_dict(again(kept, state))
    except Exception as error:  # whatever safetensors or hooks of somebody's own network may raise
        raise ValueError(f"{name} cannot be kept in a file and read back: {_first_line(error)}") from error


def _shown(what: Any) -> str:
    """A tensor's shape, and its type where that is not float32; the value or class of anything else."""
    if isinstance(what, Tensor):
        kind = "" if what.dtype == torch.float32 else f" of {what.dtype}".replace("torch.", "")
        return f"{list(what.shape)}{kind}"
    return repr(what) if isinstance(what, int | str | None) else f"a {type(what).__name__}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
