"""The random numbers of a training: the order of an epoch and the noise of a step, kept to resume from.

With several processes the order is drawn alike in all, noise in each for itself, from the run's seed and the number of
the process. In one process a single generator draws order and noise in turn. Dropout is noise, too (`step.as_default`).
"""

import numpy as np
import torch
from torch import Tensor

from workbench.training.processes import Processes


class Generators:
    """The generators of one process of a training, on its device."""

    def __init__(self, seed: int, device: torch.device, processes: Processes) -> None:
        self.processes = processes
        self.order = self.noise = torch.Generator(device).manual_seed(seed)
        if processes.size > 1:
            self.noise = torch.Generator(device).manual_seed(own_seed(seed, processes.rank))

    def states(self) -> dict[str, Tensor]:
        """All their states by name, for a checkpoint; with several processes those of all, which must all ask."""
        own = self.noise.get_state()
        if self.processes.size == 1:
            return {"generator": own}
        return {"generator": self.processes.gathered(own), "order": self.order.get_state()}

    def restore(self, states: dict[str, Tensor]) -> None:
        """Go to where a checkpoint's states stand; ValueError when another number of processes wrote it."""
        noise = states["generator"]
        several = noise.dim() == 2
        wrote = len(noise) if several else 1
        if wrote != (now := self.processes.size):
            raise ValueError(
                f"a training cannot go on with another number of processes ({wrote} before, {now} now), "
                "which would draw other noise: resume it with as many, or remove its run folder to start anew"
            )
        if several:
            self.order.set_state(states["order"])
            noise = noise[self.processes.rank].clone()  # a generator misreads a view that begins elsewhere: torch 2.13
        self.noise.set_state(noise)


def own_seed(seed: int, rank: int) -> int:
    """Seed of the noise of one of several processes, unrelated to the others' and to `seed`."""
    return int(np.random.SeedSequence([seed % 2**64, rank]).generate_state(1, np.uint64)[0])
