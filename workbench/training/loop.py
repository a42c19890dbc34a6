"""fit(): the training loop, its history, checkpoints, resume and progress bar. It knows nothing of the model inside.

The loop never waits for the device: losses are collected on it and read once every LOG_EVERY steps, where they are
checked, shown and written to history.csv. Of several processes the main one alone reads and writes the run folder.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from workbench import paths
from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.data.missing import as_configured
from workbench.data.sources import load_dataset
from workbench.device import pick_device
from workbench.errors import WorkbenchError
from workbench.modality import BY_SHAPE, OWN, Modality, modalities_of
from workbench.model import MultimodalVAE, channels_last
from workbench.networks.check import check_networks
from workbench.objectives import METHODS, Loss, method
from workbench.runs import modalities as modality_file
from workbench.runs.run import Run, build_model, model_of, run_folder, save_weights, sole_writer, start
from workbench.training import checkpoint
from workbench.training.checkpoint import Checkpoint
from workbench.training.generators import Generators
from workbench.training.processes import SINGLE, Processes, joined
from workbench.training.step import Speed, Step, speed_for

LOG_EVERY = 50  # steps between two rows of history.csv


class TrainingDiverged(WorkbenchError):
    """A loss became NaN or infinite; the message names the step, the term and the last good checkpoint."""


def fit(
    config: Config,
    folder: str | Path | None = None,
    data: MultimodalDataset | None = None,
    progress: bool = True,
    command: str | None = None,
    modalities: Sequence[Modality] | None = None,
) -> Run:
    """Train a configuration in its run folder, from its last checkpoint when there is one, and return the run.

    A training that already reached its end is returned as it is; one that another process is at is waited for. `data`
    None loads the configuration's training split; either way `train_size`, `missing_rate` and `missing_policy` say
    what of it is used. `modalities` None are those of the data, with the defaults of `modalities_of`; `command` is kept
    as what was typed. Processes that torchrun started train together. Raises ValueError on an unknown objective or
    device, on data that is not the configuration's and on networks whose shapes do not fit, TrainingDiverged on a loss
    that is not finite.
    """
    method(config.objective)
    device = pick_device(config.device)
    if data is not None or modalities is not None:
        check_data(config, data, modalities)
    chosen = None if modalities is None else modality_file.to_json(data, modalities)
    folder = Path(folder).expanduser() if folder else run_folder(config, modalities=chosen)
    with joined() as processes:
        model, steps = None, 0
        if data is None and not processes.on_main(lambda: Run(folder).trained):
            data = load_dataset(config.data, "train", root=config.data_root or None, repeats=config.repeats)
        if data is not None:  # what cannot be trained is refused before anything is written
            data, steps, model = prepared(config, data, modalities)
            device = processes.place(device, model, config.batch_size)
            chosen, modalities = modality_file.to_json(data, model.modalities), model.modalities
        with processes.main_only(sole_writer(folder)):
            begun = processes.on_main(lambda: begin(config, folder, command, chosen, steps, device, processes))
            if begun.speed:
                Trainer(config, begun.run, data, device, processes, model, begun.speed, begun.kept).train(progress)
    own = {m.name: (m.make_encoder, m.make_decoder) for m in modalities or () if m.networks == OWN}
    return replace(begun.run, networks=own)


def prepared(
    config: Config, data: MultimodalDataset, modalities: Sequence[Modality] | None = None
) -> tuple[MultimodalDataset, int, MultimodalVAE]:
    """Return what a configuration trains on, its steps, and its untrained model; ValueError where they do not fit."""
    data = as_configured(data, config)
    method(config.objective, len(data.storages))
    steps = config.total_steps(data.steps_per_epoch(config.batch_size))
    modalities = modalities or modalities_of(data, config.width, config.text_weight)
    for modality, storage in zip(modalities, data.storages, strict=True):
        if modality.networks != BY_SHAPE:
            networks = modality.make_encoder, modality.make_decoder
            check_networks(modality.item, *networks, config.latent_dim, storage.gaps)
    return data, steps, model_of(config, modalities)


class Begun(NamedTuple):
    """What the main process finds in a run folder, or puts there, for all processes to begin with."""

    run: Run
    speed: Speed | None = None  # how steps are taken; None: none is left
    kept: Checkpoint | None = None


def begin(
    config: Config,
    folder: Path,
    command: str | None,
    modalities: dict[str, Any] | None,
    steps: int,
    device: torch.device,
    processes: Processes,
) -> Begun:
    """Make or open a run folder as `start` does; a training goes on from its checkpoint, in the way that it began."""
    run = start(config, folder, command, modalities)
    if run.trained:
        return Begun(run)
    kept, origin = checkpoint.read(folder), run.read("config.json")
    done = kept.state["step"] if kept else 0
    if (folder / "history.csv").is_file():
        cut_history(folder, done)
    if "speed" not in origin:
        origin["speed"] = speed_for(config, device, steps - done, processes)._asdict()
        run.write("config.json", origin)
    return Begun(run, Speed(**origin["speed"]), kept)


def check_data(config: Config, data: MultimodalDataset | None, modalities: Sequence[Modality] | None) -> None:
    """ValueError on data or modalities that do not belong to a configuration, or to each other."""
    if data is None and modalities is not None:
        raise ValueError(
            "modalities are those of a data set: give it, too, as in fit(config, data=train, modalities=...)"
        )
    if data is None:
        return
    if config.data != data.name:
        raise ValueError(
            f"the configuration is for the data {config.data!r}, but {data.name!r} is given: make it by "
            f"Config.make(data={data.name!r}), or data=train.name"
        )
    names = data.modalities if modalities is None else tuple(modality.name for modality in modalities)
    if names != data.modalities:
        raise ValueError(
            f"the modalities are {', '.join(names)}, those of the data {', '.join(data.modalities)}: make them by "
            "modalities_of(data)"
        )
    if modalities is not None and any(m.encoding != e for m, e in zip(modalities, data.encodings, strict=True)):
        raise ValueError("the modalities were made of other data: make them by modalities_of(data)")


class Trainer:
    """The state of one training: model, optimiser, batches, generators and how many steps are done.

    With several processes each has its own, of which model, optimiser and steps are alike; the main one writes.
    """

    def __init__(
        self,
        config: Config,
        run: Run,
        data: MultimodalDataset,
        device: torch.device,
        processes: Processes = SINGLE,
        model: MultimodalVAE | None = None,
        speed: Speed | None = None,
        kept: Checkpoint | None = None,
    ) -> None:
        self.config, self.run, self.device, self.processes = config, run, device, processes
        # convolutions are faster so, as measured on a CPU; nothing else changes
        self.model = channels_last((model or build_model(config, data)).to(device)).train()
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=config.learning_rate, fused=device.type in ("cpu", "cuda")
        )
        self.generators = Generators(config.seed, device, processes)
        self.generator, share = self.generators.noise, (processes.rank, processes.size)
        self.batches = data.batches(config.batch_size, device, self.generator, self.generators.order, share)
        self.total = config.total_steps(self.batches.steps_per_epoch)
        self.done = kept.state["step"] if kept else 0
        if kept:
            self.generators.restore(kept.restore(self.model, self.optimizer))
            self.batches.restore(kept.state["batches"])
        speed = speed or speed_for(config, device, self.total, processes)
        self.evaluate = Step(self.model, config.objective, speed, processes)

    def train(self, progress: bool = True) -> None:
        """Take the steps that are left, then write the weights and drop the checkpoint."""
        label, checkpoints = METHODS[self.config.objective].label, self.config.checkpoint_every
        snapshots = self.config.snapshot_every or self.total + 1
        pending: list[Loss] = []
        hidden = not (progress and self.processes.is_main)
        with tqdm(total=self.total, initial=self.done, desc=label, unit="step", disable=hidden) as bar:
            while self.done < self.total:
                pending.append(self.step())
                kept, last = self.done % checkpoints == 0, self.done == self.total
                if kept or last or self.done % LOG_EVERY == 0:
                    bar.set_postfix(self.log(pending), refresh=False)
                    bar.update(len(pending))
                    pending = []
                if kept or last:
                    self.check_weights()
                if kept:
                    self.save_checkpoint()
                if self.done % snapshots == 0 and self.processes.is_main:
                    save_weights(self.model, self.run.folder / "snapshots" / f"{self.done:07d}.safetensors")
        self.processes.on_main(lambda: save_weights(self.model, self.run.folder / "model.safetensors"))
        self.processes.on_main(lambda: checkpoint.remove(self.run.folder))

    def step(self) -> Loss:
        """One optimiser step on the next batch; its loss stays on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.evaluate(next(self.batches), self.config.at_step(self.done, self.total), self.generator)
        self.optimizer.step()
        self.done += 1
        return loss

    def log(self, losses: list[Loss]) -> dict[str, str]:
        """Check and record the losses of the last steps; returns their means for the progress bar."""
        names = list(losses[0].terms)
        values = torch.stack([torch.stack([loss.terms[name] for name in names]) for loss in losses]).double().cpu()
        values = self.processes.mean(values) if self.processes.size > 1 else values
        self.check(names, values)
        means = dict(zip(names, values.mean(0).tolist(), strict=True))
        if self.processes.is_main:
            add_to_history(self.run.folder, self.done, means)
        return {name: f"{mean:.4g}" for name, mean in means.items()}

    def check(self, names: list[str], values: Tensor) -> None:
        """Raise TrainingDiverged, naming step and term, when one of the values is not finite."""
        bad = (~torch.isfinite(values)).nonzero()
        if len(bad) == 0:
            return
        row = bad[0, 0]
        terms = [names[i] for i in bad[bad[:, 0] == row, 1].tolist()]
        # the total is only the messenger when one of its terms is to blame
        culprit = next((name for name in terms if name != "total"), terms[0])
        value = values[row, names.index(culprit)].item()
        raise self.diverged(f"{culprit} is {value}", self.done - len(values) + int(row) + 1)

    def check_weights(self) -> None:
        """Raise TrainingDiverged when the last step made a weight that is not finite, before it is kept."""
        for name, weight in self.model.named_parameters():
            if not torch.isfinite(weight).all():
                raise self.diverged(f"weight {name} is not finite", self.done)

    def diverged(self, what: str, step: int) -> TrainingDiverged:
        """The error that says what went wrong when, and what is left."""
        kept = self.run.folder / "checkpoint.json"
        cure = f"the last good checkpoint is kept in {kept}" if kept.is_file() else "no checkpoint had been written yet"
        return TrainingDiverged(f"{what} at step {step} of {self.total}; {cure}; try a smaller learning_rate")

    def save_checkpoint(self) -> None:
        """Keep everything the next step depends on."""
        generators = self.generators.states()  # of all processes
        if self.processes.is_main:
            state = {"batches": self.batches.state()}
            checkpoint.save(self.run.folder, self.done, self.model, self.optimizer, generators, state)


def add_to_history(folder: Path, step: int, means: dict[str, float]) -> None:
    """Add a row to history.csv, the mean loss and terms of a stretch of steps, and the header before the first."""
    path = folder / "history.csv"
    new = not path.is_file() or path.stat().st_size == 0
    with open(path, "a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", *means])
        writer.writerow([step, *(f"{value:.6g}" if math.isfinite(value) else "nan" for value in means.values())])


def cut_history(folder: Path, step: int) -> None:
    """Drop the rows of history.csv after a step: what a resumed training will write again."""
    path = folder / "history.csv"
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    kept = [row for n, row in enumerate(rows) if n == 0 or int(row[0]) <= step]
    with paths.replacing(path) as temporary, open(temporary, "w", newline="") as file:
        csv.writer(file).writerows(kept)
