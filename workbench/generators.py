"""The random numbers of a training: the order of an epoch, the noise of a step, and dropout, each kept to resume from.

With several processes the order is drawn alike in all, noise and dropout in each for itself, from the run's seed and
the number of the process. In one process a single generator draws order and noise in turn, and dropout stays with
torch's own, whose state is kept, too.
"""

import numpy as np
import torch
from torch import Tensor

from workbench.distributed import World


class Generators:
    """The generators of one process of a training, on its device."""

    def __init__(self, seed: int, device: torch.device, world: World) -> None:
        self.device, self.world = device, world
        self.order = self.noise = torch.Generator(device).manual_seed(seed)
        if world.size > 1:
            noise, dropout = own_seeds(seed, world.rank)
            self.noise = torch.Generator(device).manual_seed(noise)
            torch.manual_seed(dropout)

    def states(self) -> dict[str, Tensor]:
        """All their states by name, for a checkpoint; with several processes those of all, which must all ask."""
        own = {"generator": self.noise.get_state(), "dropout": _torch_state(self.device)}
        if self.world.size == 1:
            return own
        return {name: self.world.gathered(state) for name, state in own.items()} | {"order": self.order.get_state()}

    def restore(self, states: dict[str, Tensor]) -> None:
        """Go to where a checkpoint's states stand; ValueError when another number of processes wrote it."""
        several = states["generator"].dim() == 2
        wrote = len(states["generator"]) if several else 1
        if wrote != self.world.size:
            raise ValueError(
                f"a training cannot go on with another number of processes ({wrote} before, {self.world.size} now), "
                "which would draw other noise: resume it with as many, or remove its run folder to start anew"
            )
        if several:
            self.order.set_state(states["order"])
            # a generator misreads a view that does not begin where its storage does: torch 2.13
            states = {name: states[name][self.world.rank].clone() for name in ("generator", "dropout")}
        self.noise.set_state(states["generator"])
        if "dropout" in states:  # checkpoints were once written without it
            _set_torch_state(self.device, states["dropout"])


def own_seeds(seed: int, rank: int) -> tuple[int, int]:
    """Seeds of the noise and of the dropout of one of several processes, unrelated to each other and to `seed`."""
    noise, dropout = np.random.SeedSequence([seed % 2**64, rank]).generate_state(2, np.uint64)
    return int(noise), int(dropout)


def _torch_state(device: torch.device) -> Tensor:
    """State of torch's own generator of a device."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else torch.get_rng_state()


def _set_torch_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        (torch.mps if device.type == "mps" else torch).set_rng_state(state)
