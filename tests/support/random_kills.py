"""Work that is killed at random moments: each piece is done in a process of its own, forked from one that is ready.

Pieces take the project's root and the folder that they write to, and do the same whenever they are called again.
"""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from workbench.config import Config
from workbench.data.celeba.load import load_celeba
from workbench.data.images import Images, cached
from workbench.evaluation import evaluate_into
from workbench.interop.export import export
from workbench.runs.run import Run, sole_writer
from workbench.training.loop import fit

Work = Callable[[Path, Path], None]
FIELDS = dict(data="uci-text", repeats=2, batch_size=8, latent_dim=6, style_dim=2, device="cpu", compiled="off")
CONFIG = Config(steps=150, checkpoint_every=1, snapshot_every=7, **FIELDS)
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def train(root: Path, out: Path) -> None:
    fit(CONFIG, out / "run", progress=False)


def judge(root: Path, out: Path) -> None:
    """Evaluate the run in the root that is already trained; the first time its folder is copied."""
    run = Run(out / "run")
    with sole_writer(run.folder):
        if not run.trained:
            fit(CONFIG.replace(steps=5), run.folder, progress=False)
        evaluate_into(run, progress=False, parts=["latent", "probe"], limit=60)


def draw(root: Path, out: Path) -> None:
    """Make a cache of images, and read it."""
    images = cached(f"{out.name}-train-seed0-1", noise)
    np.savez(out / "read.npz", values=images.values.numpy())


def noise() -> Images:
    """Images that take a moment to write: 12 MB."""
    values = torch.randint(256, (4000, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    return Images(values, torch.arange(4000) % 10)


def photographs(root: Path, out: Path) -> None:
    """Make the cache of CelebA's photographs in the folder, which is also the root: elsewhere they would share one."""
    os.environ["WORKBENCH_ROOT"] = str(out)
    load_celeba("train", out)


def take_away(root: Path, out: Path) -> None:
    export(Run.load(root / "trained"), out / "model")


def begun(work: Work, root: Path, out: Path) -> multiprocessing.Process:
    """A process that has begun with it."""
    out.mkdir(exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_work, args=(work, root, out), daemon=True)
    process.start()
    return process


def _work(work: Work, root: Path, out: Path) -> None:
    os.environ["WORKBENCH_ROOT"] = str(root)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    work(root, out)


def killed_at_random(
    work: Work, root: Path, folder: Path, kills: int, seed: int, whole: Callable[[Path], object], fresh: Callable
) -> list[object]:
    """Do it undisturbed, then kill it so many times at random moments and begin again at once, until it has ended.

    What is left of a kill stays for the next; when it has ended before its kill it begins in another folder, which
    `fresh` makes ready. Returns what `whole` makes of the undisturbed folder, and of every other that was brought to
    its end.
    """
    chance, outs = random.Random(seed), [folder / "undisturbed"]
    fresh(outs[0])
    began = time.monotonic()
    process = begun(work, root, outs[0])
    process.join()
    assert process.exitcode == 0
    took, found, hits = time.monotonic() - began, [whole(outs[0])], 0
    out = folder / "killed-0"
    fresh(out)
    while hits < kills:
        process = begun(work, root, out)
        process.join(chance.uniform(0, took))
        if process.is_alive():
            os.kill(process.pid, chance.choice(SIGNALS))
            process.join()
            hits += 1
        if process.exitcode == 0:
            found.append(whole(out))
            out = folder / f"killed-{len(found)}"
            fresh(out)
    process = begun(work, root, out)
    process.join()
    assert process.exitcode == 0
    return [*found, whole(out)]
