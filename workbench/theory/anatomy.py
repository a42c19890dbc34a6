"""One training step taken apart: passes through the networks, gradients at each encoder, cost as modalities are added.

Everything here looks at an objective from outside, through hooks and `torch.autograd.grad`: it works for any function
of the signature of `workbench.objectives.Objective`, and leaves no gradient and no hook in the model.
"""

import copy
import dataclasses
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.distributions import Gaussian, kl
from workbench.fusion import product_of_experts
from workbench.losses import Loss, make_loss, reconstruction
from workbench.modality import Modality
from workbench.model import MultimodalVAE

Objective = Callable[..., Loss]  # called like `workbench.objectives.Objective`


class Passes(NamedTuple):
    """How often each modality's networks read a whole batch, in the order of the modalities."""

    encoders: tuple[float, ...]
    decoders: tuple[float, ...]


def passes(model: MultimodalVAE, objective: Objective, batch: Batch, config: Config) -> Passes:
    """Passes through every encoder and decoder in one evaluation of an objective.

    Counted in batches: the items that went through a network, over the items of the batch. An objective that decodes
    K draws as one tall tensor is charged K passes, not one.
    """
    items: Counter[nn.Module] = Counter()

    def count(network: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        items[network] += inputs[0].shape[0]

    with torch.no_grad(), hooked([*model.encoders, *model.decoders], count):
        objective(model, batch, config, torch.Generator(batch.labels.device).manual_seed(config.seed))
    per_batch = [[items[network] / batch.size for network in part] for part in (model.encoders, model.decoders)]
    return Passes(*map(tuple, per_batch))


@contextmanager
def hooked(modules: Iterable[nn.Module], hook: Callable[..., None]) -> Iterator[None]:
    """Call `hook(module, inputs, output)` after every forward pass of the modules; the hooks go, whatever happens."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def mean_gradients(
    model: MultimodalVAE, objective: Objective, batch: Batch, config: Config, generator: torch.Generator | None = None
) -> Float[Tensor, "M batch content"]:
    """Gradient of an objective's total in the means of the unimodal content posteriors q(c | x_m).

    Here encoders of different size can be compared: all of them answer with a mean of the same dimension. The
    objective must encode once.
    """
    means: list[Tensor] = []
    with hooked(model.heads, lambda heads, inputs, output: means.append(output[0].mean)):
        loss = objective(model, batch, config, generator)
    return torch.stack(torch.autograd.grad(loss.total, means, allow_unused=True, materialize_grads=True))


def teaching(
    model: MultimodalVAE, objective: Objective, batch: Batch, config: Config
) -> Float[Tensor, "targets encoders"]:
    """Who learns from whose reconstruction: norm of the gradient of w_n (-ln p(x_n | z)) in the mean of q(c | x_m).

    Row n is the reconstructed modality, column m the encoder. The divergences are left out.
    """
    rows = []
    for n in range(len(model.modalities)):
        generator = torch.Generator(batch.labels.device).manual_seed(config.seed)
        found = mean_gradients(_hearing_only(model, n), objective, batch, config.replace(beta=0.0), generator)
        rows.append(found.flatten(1).norm(dim=1))
    return torch.stack(rows)


def _hearing_only(model: MultimodalVAE, n: int) -> MultimodalVAE:
    """The same networks with all likelihood weights zero but that of modality n."""
    alone, weighted = copy.copy(model), enumerate(model.modalities)
    alone.modalities = tuple(x if m == n else dataclasses.replace(x, weight=0.0) for m, x in weighted)
    return alone


def joint_elbo(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """MVAE without its unimodal ELBOs: the ELBO of equation 2 with the product of experts, and nothing else.

    Of a batch in which a single modality is present, it is that modality's unimodal ELBO.
    """
    q = model.encode(batch)
    joint = product_of_experts(q.content, q.present)
    nll = reconstruction(model, batch, joint.rsample(generator), q.style.rsample(generator))
    return make_loss(model, config, q, nll, kl(joint, Gaussian.standard_like(joint)))


def sharpened(model: MultimodalVAE, m: int, nats: float) -> MultimodalVAE:
    """A copy in which expert m is surer of its content than it was: its log-variances are lower by `nats`."""
    sharp = copy.deepcopy(model)
    with torch.no_grad():
        sharp.heads[m].layers[1].bias -= nats
    return sharp


def replicated(modality: Modality, count: int) -> tuple[Modality, ...]:
    """`count` modalities of one kind, numbered from 1; a model of them has networks of its own for each."""
    names = [{"name": f"{modality.name} {i}", "letter": f"{modality.letter}{i}"} for i in range(1, count + 1)]
    return tuple(dataclasses.replace(modality, **own) for own in names)


def replicated_batch(batch: Batch, m: int, count: int) -> Batch:
    """The items of modality m, shown `count` times side by side."""
    return Batch((batch.values[m],) * count, batch.present[m].expand(count, -1), batch.labels)


def step_time(model: MultimodalVAE, objective: Objective, batch: Batch, config: Config, rounds: int = 5) -> float:
    """Seconds for the loss of a batch and its gradient in all weights: the best of some rounds after a first one."""
    generator, seconds = torch.Generator(batch.labels.device).manual_seed(config.seed), []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        _step(model, objective, batch, config, generator)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def step_memory(model: MultimodalVAE, objective: Objective, batch: Batch, config: Config) -> int:
    """The most bytes that tensors made in such a step take at one time: activations and gradients, not the weights."""
    generator = torch.Generator(batch.labels.device).manual_seed(config.seed)
    return peak_memory(lambda: _step(model, objective, batch, config, generator))


def peak_memory(action: Callable[[], object]) -> int:
    """The most bytes that tensors made while something runs take at one time; what was there before is not counted."""
    with _Storages() as made:
        action()
    return made.peak


def _step(model: MultimodalVAE, objective: Objective, batch: Batch, config: Config, generator: torch.Generator) -> None:
    loss = objective(model, batch, config, generator).total
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    gradients[0].sum().item()  # waits for the device


class _Storages(TorchDispatchMode):
    """Adds up the storages that operations make while it is active, and takes off those that are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        for storage in _storages_of((args, kwargs)):
            self._meet(storage, 0)  # somebody else's: it was there before
        found = func(*args, **(kwargs or {}))
        for storage in _storages_of(found):
            self._meet(storage, storage.nbytes())
        return found

    def _meet(self, storage: torch.UntypedStorage, size: int) -> None:
        if storage._cdata not in self._sizes:
            self._sizes[storage._cdata] = size
            weakref.finalize(storage, self._free, storage._cdata)
            self.live += size
            self.peak = max(self.peak, self.live)

    def _free(self, address: int) -> None:
        self.live -= self._sizes.pop(address)


def _storages_of(values: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
