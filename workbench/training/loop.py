"""fit(): the training loop, its history, checkpoints, resume and progress bar. It knows nothing of the model inside.

The loop never waits for the device: losses are collected on it and read once every LOG_EVERY steps, where they are
checked, shown and written to history.csv. Of several processes the main one alone reads and writes the run folder.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from workbench import threads
from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.data.load import load_dataset
from workbench.data.missing import as_configured
from workbench.data.tensors import below
from workbench.device import memory_told, pick_device, torch_threads, usual_torch
from workbench.errors import WorkbenchError
from workbench.files import damage
from workbench.modality import BY_SHAPE, OWN, Modality, modalities_of
from workbench.model import channels_last
from workbench.networks.check import check_alone, check_networks
from workbench.objectives import METHODS, Loss, method
from workbench.runs import modalities as modality_file
from workbench.runs.run import VALIDATION, Run, model_of, run_folder, save_weights, sole_writer, start
from workbench.training import checkpoint
from workbench.training.checkpoint import Checkpoint
from workbench.training.initial import begin_at_means
from workbench.training.processes import SINGLE, Generators, Processes, joined
from workbench.training.step import Speed, Step, speed_for
from workbench.training.validation import EVERY, Validation, split_off

LOG_EVERY = 50  # steps between two rows of history.csv
STARVING = (
    "Other programs keep this training waiting for a core more than half of the time. It goes on, slower, to the same "
    "result: let fewer of them run, or fewer runs at a time."
)


class TrainingDiverged(WorkbenchError):
    """A loss became NaN or infinite; the message names the step, the term and the last good checkpoint."""


@usual_torch()
@memory_told()
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
    check_data(config, data, modalities)
    method(config.objective)
    device = pick_device(config.device)
    chosen = None if modalities is None else modality_file.to_json(data, modalities)
    folder = Path(folder).expanduser() if folder else run_folder(config, modalities=chosen)
    alone, trainer, speed = sole_writer(folder), None, None
    with joined() as processes:
        if data is None and not processes.on_main(lambda: Run(folder).trained):
            data = load_dataset(config.data, "train", root=config.data_root or None, repeats=config.repeats)
        if data is not None:  # what cannot be trained is refused before anything is written
            trainer = Trainer(config, data, device, processes, modalities)
            modalities, speed = trainer.model.modalities, trainer.speed
            chosen = modality_file.to_json(data, modalities)
        with processes.main_only(alone):
            files = None if data is None else data.files
            run, speed, kept = processes.on_main(lambda: begin(config, folder, command, chosen, speed, files))
            if speed:
                trainer.go_on(speed, kept, run).train(progress)
    own = {m.name: (m.make_encoder, m.make_decoder) for m in modalities or () if m.networks == OWN}
    return replace(run, networks=own)


def begin(
    config: Config,
    folder: Path,
    command: str | None,
    modalities: dict[str, Any] | None,
    speed: Speed | None,
    files: dict[str, str] | None,
) -> tuple[Run, Speed | None, Checkpoint | None]:
    """Make or open a run folder as `start` does; a training goes on from its checkpoint, in the way that it began.

    Returns the run, how its steps are taken, None where none is left, and the checkpoint.
    """
    if trained := Run(folder).trained:
        checkpoint.remove(folder)  # a kill may have come between the weights and their end
    kept = None if trained else checkpoint.read(folder)
    how, done = speed._asdict() if speed else None, kept.state["step"] if kept else 0
    run = start(config, folder, command, modalities, how, done, files)
    with damage(folder / "config.json"):
        return run, None if run.trained else Speed(**run.read("config.json")["speed"]), kept


def check_data(config: Config, data: MultimodalDataset | None, modalities: Sequence[Modality] | None) -> None:
    """ValueError on data or modalities that do not belong to a configuration, or to each other."""
    if data is None and modalities is not None:
        raise ValueError(
            "modalities are those of a data set: give it, too, as in fit(config, data=train, modalities=...)"
        )
    if data is None:
        return
    if data.split != "train":
        raise ValueError(
            f"the {data.split} part of {data.name} is given to train on: give the part for training, as `train` of "
            "`train, test = MultimodalDataset.from_arrays(...)`"
        )
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
        data: MultimodalDataset,
        device: torch.device,
        processes: Processes = SINGLE,
        modalities: Sequence[Modality] | None = None,
    ) -> None:
        """Make a training that has not begun; ValueError on what cannot be trained."""
        self.config, self.processes, self.done = config, processes, 0
        self.data = data = as_configured(data, config)
        method(config.objective, len(data.storages))
        modalities = modalities or modalities_of(data, config.width, config.text_weight)
        for modality, storage in zip(modalities, data.storages, strict=True):
            if modality.networks != BY_SHAPE:
                networks = modality.make_encoder, modality.make_decoder
                check_networks(modality.item, *networks, config.latent_dim, storage.gaps)
        model = model_of(config, modalities)
        begin_at_means(model, data, config.seed)
        # convolutions are faster so, as measured on a CPU; nothing else changes
        model = channels_last(model).train()
        if config.batch_size // processes.size == 1:
            check_alone(model)
        self.device = processes.place(device, model, config.batch_size)
        self.model = model.to(self.device)
        self.generators = Generators(config.seed, self.device, processes)
        self.generator = self.generators.noise
        self.take(*split_off(data, config))
        self.speed = speed_for(config, self.device, self.total, processes)._replace(threads=torch.get_num_threads())

    def take(self, train: MultimodalDataset, held: MultimodalDataset | None) -> None:
        """Train on some items, and look at others where there are some."""
        config, share = self.config, (self.processes.rank, self.processes.size)
        self.batches = train.batches(config.batch_size, self.device, self.generator, self.generators.order, share)
        self.total = config.total_steps(self.batches.steps_per_epoch)
        self.validation = Validation(config, self.model.modalities, train, held, self.device) if held else None

    def go_on(self, speed: Speed, kept: Checkpoint | None = None, run: Run | None = None) -> "Trainer":
        """Get ready to take steps in this way, from a checkpoint where there is one; a run says where to write."""
        self.run, self.speed = run, speed
        how: dict[str, Any] = {"lr": self.config.learning_rate, "fused": self.device.type in ("cpu", "cuda")}
        if decay := self.config.weight_decay:
            self.optimizer = torch.optim.AdamW(self.model.parameters(), weight_decay=decay, **how)
        else:
            self.optimizer = torch.optim.Adam(self.model.parameters(), **how)
        if kept and self.validation and "validation" not in kept.state:  # of a version that held nothing back
            self.take(self.data, None)
        if kept:
            with kept.going_on(self.total) as self.done:
                self.generators.restore(kept.restore(self.model, self.optimizer))
                self.batches.restore(kept.state["batches"])
                if self.validation:
                    self.validation.restore(kept.state["validation"], below(kept.tensors, "best."))
        self.evaluate = Step(self.model, self.config.objective, speed, self.processes)
        return self

    def train(self, progress: bool = True) -> None:
        """Take the steps that are left, then write the weights and drop the checkpoint."""
        label, checkpoints = METHODS[self.config.objective].label, self.config.checkpoint_every
        snapshots = self.config.snapshot_every or self.total + 1
        pending: list[Loss] = []
        hidden, told = not (progress and self.processes.is_main), False
        every, over = EVERY if self.validation else LOG_EVERY, False
        bar = tqdm(total=self.total, initial=self.done, desc=label, unit="step", disable=hidden)
        with bar, torch_threads(self.speed.threads or torch.get_num_threads()):
            while self.done < self.total and not over:
                pending.append(self.step())
                kept, last = self.done % checkpoints == 0, self.done == self.total
                if kept or last or self.done % every == 0:
                    loss, looked = self.log(pending, last or self.done % every == 0)
                    bar.set_postfix_str(f"loss {loss:.4g}{looked}", refresh=False)  # alone: terms would crowd it out
                    bar.update(len(pending))
                    pending = []
                    if threads.starving() and not (told or hidden):
                        bar.write(STARVING, file=sys.stderr)
                        told = True
                if kept or last:
                    self.check_weights()
                if self.done % snapshots == 0 and self.processes.is_main:  # before the checkpoint that goes on after it
                    save_weights(self.model, self.run.folder / "snapshots" / f"{self.done:07d}.safetensors")
                over = bool(self.validation) and self.validation.over(self.done)
                if kept and not over:
                    self.save_checkpoint()
            if self.validation:
                self.keep_best(bar)
        self.processes.on_main(lambda: save_weights(self.model, self.run.folder / "model.safetensors"))
        self.processes.on_main(lambda: checkpoint.remove(self.run.folder))

    def step(self) -> Loss:
        """One optimiser step on the next batch; its loss stays on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.evaluate(next(self.batches), self.config.at_step(self.done, self.total), self.generator)
        self.optimizer.step()
        self.done += 1
        return loss

    def keep_best(self, bar: tqdm) -> None:
        """Put in place the weights with which held-back items were predicted best, and say what that means."""
        self.model.load_state_dict(self.validation.weights)
        self.processes.on_main(lambda: self.run.write(VALIDATION, self.validation.told(self.done)))
        if (verdict := self.validation.verdict(self.total)) and not bar.disable:
            bar.write(verdict, file=sys.stderr)

    def log(self, losses: list[Loss], look: bool = False) -> tuple[float, str]:
        """Check and record the losses of the last steps, and how items that were held back do, if it is time to look.

        Returns the mean of the totals, and what is to be said of these items.
        """
        names = list(losses[0].terms)
        values = torch.stack([torch.stack([loss.terms[name] for name in names]) for loss in losses]).double().cpu()
        values = self.processes.mean(values) if self.processes.size > 1 else values
        self.check(names, values)
        means, looked = dict(zip(names, values.mean(0).tolist(), strict=True)), ""
        if self.validation:
            found = self.validation.look(self.model, self.done) if look else self.validation.nothing
            means |= found
            looked = f", held back {found['validation']:.4g}" if look else ""
        if self.processes.is_main:
            self.run.add_to_history(self.done, means)
        return means["total"], looked

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
            if self.validation:
                state |= {"validation": self.validation.state()}
                generators |= {f"best.{name}": tensor for name, tensor in self.validation.weights.items()}
            checkpoint.save(self.run.folder, self.done, self.model, self.optimizer, generators, state)
