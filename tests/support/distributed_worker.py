"""What each of two processes does that tests/training/test_processes.py starts.

As `torchrun distributed_worker.py PART FOLDER`, or without torchrun, which forks two processes that share one start of
Python. Each leaves what it saw in FOLDER/RANK.json.
"""

import json
import math
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import install_import_hook
from torch import nn

if __name__ == "__main__":
    install_import_hook("workbench", "beartype.beartype")

from helpers import Dropping, interrupted  # after the hook

from workbench import cli
from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.data.load import load_dataset
from workbench.losses import Loss
from workbench.modality import NETWORKS
from workbench.objectives import METHODS
from workbench.training import loop
from workbench.training.processes import Processes, joined

MAIN = Config(
    data="uci-text", repeats=1, batch_size=16, steps=22, style_dim=2, checkpoint_every=10, device="cpu", compiled="off"
)
BRIEF = MAIN.replace(steps=3, importance_samples=2)
KILLED = dict(data="uci-text", repeats=1, batch_size=8, steps=12, style_dim=2, checkpoint_every=5, device="cpu")
DIES_BEFORE = 7  # the step at which process 1 is killed
DIVERGES_AT = 3  # the step at which process 1 alone meets NaN


def blind(model, batch, config, generator=None) -> Loss:
    """An objective that leaves the weights of the second decoder without a gradient."""
    q = model.encode(batch)
    output = model.decode_one(0, q.content[0].rsample(generator), q.style[0].rsample(generator))
    total = (output - batch.values[0]).pow(2).sum() / batch.size
    return Loss(total, {"total": total.detach()})


BLIND = replace(METHODS["mmvae"], objective=blind)


class Normalised(nn.Sequential):
    """An encoder of handwriting with batch normalisation, as the networks of faces have it."""

    features = 8

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(784, 8), nn.BatchNorm1d(8))


def said(action) -> str:
    """The message with which something is refused."""
    try:
        action()
    except (ValueError, RuntimeError, SystemExit) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def arguments(**settings: object) -> list[str]:
    """Options of `workbench train` for these settings."""
    return [part for name, value in settings.items() for part in ("-p", f"{name}={value}")]


def at_step(step: int, action) -> None:
    """Have something done before the training's next steps of that number."""
    take = loop.Trainer.step

    def step_or_more(self) -> Loss:
        if self.done == step:
            action()
        return take(self)

    loop.Trainer.step = step_or_more


def taught(folder: Path, processes: Processes) -> dict:
    """Train in many ways; returns what this process saw."""
    saw, data = {"rows": []}, load_dataset(MAIN.data, "train", repeats=MAIN.repeats)
    gather, take = MultimodalDataset.batch, loop.Trainer.step
    MultimodalDataset.batch = lambda self, rows, g: saw["rows"].append(rows.tolist()) or gather(self, rows, g)
    loop.fit(MAIN, folder / "main", data, progress=False)
    MultimodalDataset.batch = gather
    METHODS["blind"] = BLIND
    for objective in METHODS:
        loop.fit(BRIEF.replace(objective=objective), folder / objective, data, progress=False)
    loop.LOG_EVERY, log_every = 50, loop.LOG_EVERY
    loop.fit(Config.make("quick", **KILLED), folder / "undisturbed", data, progress=False)
    loop.LOG_EVERY = log_every

    NETWORKS[1, 28, 28] = replace(handwriting := NETWORKS[1, 28, 28], encoder=Dropping)
    dropping = MAIN.replace(steps=10, checkpoint_every=4)
    loop.fit(dropping, folder / "dropping", data, progress=False)
    interrupted(7, dropping, folder / "stopped", data)
    torch.manual_seed(0)  # what was drawn since then must not matter
    loop.fit(dropping, folder / "stopped", data, progress=False)

    # a run that is there is given back, and what cannot be done is refused, in both processes
    loop.Trainer.step = None
    NETWORKS[1, 28, 28] = replace(handwriting, encoder=Normalised)
    saw["normalised"] = said(lambda: loop.fit(MAIN, folder / "normalised", data, progress=False))
    NETWORKS[1, 28, 28] = handwriting
    saw["again"] = loop.fit(MAIN, folder / "main", progress=False).trained
    saw["other"] = said(lambda: loop.fit(MAIN.replace(beta=2.0), folder / "main", data, progress=False))
    saw["odd"] = said(lambda: loop.fit(MAIN.replace(batch_size=15), folder / "odd", data, progress=False))
    saw["alone"] = said(lambda: loop.fit(MAIN, folder / "alone", data, progress=False))
    saw["mps"] = said(lambda: processes.place(torch.device("mps"), nn.Identity(), 16))
    loop.Trainer.step = take
    return saw


def diverge(rank: int) -> None:
    """Let mmJSD's divergence be NaN in process 1 from a certain step on."""
    whole, calls = METHODS["mmjsd"], []

    def objective(*rest) -> Loss:
        loss, _ = whole.objective(*rest), calls.append(0)
        if rank == 0 or len(calls) < DIVERGES_AT:
            return loss
        return Loss(loss.total * math.nan, loss.terms | {"divergence": torch.tensor(math.nan)})

    METHODS["mmjsd"] = replace(whole, objective=objective)


def train(folder: Path) -> None:
    """What a user types."""
    sys.argv = ["workbench", "train", *arguments(**KILLED), "--out", str(folder)]
    cli.main()


def main(part: str, folder: Path) -> None:
    """Go through one part; each ends as a user's training does."""
    rank = int(os.environ["RANK"])
    if part == "killed":
        if rank == 1:
            at_step(DIES_BEFORE, lambda: os.kill(os.getpid(), signal.SIGKILL))
        train(folder / "killed")
    log_every, loop.LOG_EVERY = loop.LOG_EVERY, 1
    with joined() as processes:
        (folder / f"{rank}.json").write_text(json.dumps(taught(folder, processes)))
        loop.LOG_EVERY = log_every
        diverge(rank)
        train(folder / "diverging")


def forked(part: str, folder: Path) -> int:
    """Go through one part in two processes, each with the variables that torchrun sets; the higher exit status."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    children = []
    for rank in ("0", "1"):
        os.environ |= {"RANK": rank, "LOCAL_RANK": rank}
        children.append(os.fork())
        if not children[-1]:
            return main(part, folder)
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


if __name__ == "__main__":
    start = main if "RANK" in os.environ else forked
    sys.exit(start(sys.argv[1], Path(sys.argv[2])))
