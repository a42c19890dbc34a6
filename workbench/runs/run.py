"""Run folders: what a training leaves on disk, and how it is found and read back.

    config.json          the configuration, the version of the code and the machine, how steps were taken
    modalities.json      what the modalities are: how raw arrays are read, likelihoods, weights, networks
    history.csv          the loss and its terms over the steps
    model.safetensors    the weights at the end
    checkpoint.json      where to resume: names checkpoint-STEP.safetensors
    snapshots/STEP.safetensors   copies of the weights on the way, when asked for
    metrics.json         written last: a run is complete when it exists
    run.ipynb, execution.json    of a run in a sweep: its executed notebook, and when and where it was executed

Every file is written beside itself and renamed, so a reader never sees half of one; history.csv grows by rows. A writer
holds the folder's lock (`sole_writer`, a hidden file beside the folder), so that no two ever write into one folder.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench import files, paths
from workbench.config import AUXILIARY, Config, digest
from workbench.data import tensors
from workbench.data.dataset import MultimodalDataset
from workbench.data.load import load_dataset
from workbench.data.missing import as_configured
from workbench.data.sources import is_known
from workbench.device import usual_torch
from workbench.distributions import FAMILIES
from workbench.errors import DamagedFile, Refused
from workbench.modality import Modality, Pair, modalities_of
from workbench.model import MultimodalVAE
from workbench.networks.shared import again, once
from workbench.runs import contents, versions
from workbench.runs import modalities as modality_file
from workbench.runs.identity import check_files, files_now, other_files

VALIDATION = "validation.json"


@dataclass(frozen=True)
class Run:
    """One run folder.

    `networks` holds pairs (encoder, decoder) by the name of a modality, where its own cannot be imported again; `trust`
    is the word to import, and so to run, those that are not of this package.
    """

    folder: Path
    networks: Mapping[str, Pair] | None = field(default=None, compare=False, repr=False, kw_only=True)
    trust: bool = field(default=False, compare=False, repr=False, kw_only=True)

    @classmethod
    def load(
        cls, folder: str | Path, networks: Mapping[str, modality_file.Pair] | None = None, trust: bool = False
    ) -> "Run":
        """The run in a folder whose training has reached its end: `Run.load(folder).model` needs no data.

        A user's own networks are imported from where they were with `trust`, which runs the code that the folder names;
        else `networks` gives them as pairs (encoder, decoder) by the name of a modality. Raises FileNotFoundError where
        there is no trained run, ValueError on networks that are missing.
        """
        run = cls(Path(folder).expanduser(), networks=networks, trust=trust)
        if not run.has("config.json"):
            raise FileNotFoundError(f"{run.folder} is no run folder: it holds no config.json")
        run.check_trained(run.folder / "model.safetensors")
        if run.has(modality_file.NAME):
            _ = run.modalities  # whatever is missing is said here, and not where the model is asked for
        return run

    @property
    def config(self) -> Config:
        """The configuration it was started with; FileNotFoundError where there is none."""
        return Config.from_json(self.read("config.json")["config"])

    @property
    def precision(self) -> str:
        """The precision of its training steps: the configuration's, or what was chosen where that says auto."""
        return self.read("config.json").get("speed", {}).get("precision", self.config.precision)

    @property
    def complete(self) -> bool:
        """Whether it was trained and evaluated."""
        return self.has("metrics.json")

    @property
    def trained(self) -> bool:
        """Whether its training reached the end."""
        return self.has("model.safetensors")

    @property
    def metrics(self) -> dict[str, Any]:
        """Its evaluation."""
        return self.read("metrics.json")

    def history(self) -> dict[str, list[float]]:
        """Columns of history.csv: step, total and the terms, of rows that are sound; none where it was not kept."""
        if not self.has("history.csv"):
            return {}
        end = self.ended.get("steps", self.config.steps) if self.trained else None
        return contents.read_history(self.folder / "history.csv", end)

    @property
    def ended(self) -> dict[str, Any]:
        """How a training that held items back ended: after how many `steps`, and of which one the weights are `kept`.

        `unpredicted` is, by modality, the share of these items' variance that its column means leave and the other
        modalities do not predict. Empty where nothing was held back.
        """
        return self.read(VALIDATION) if self.has(VALIDATION) else {}

    def add_to_history(self, step: int, means: Mapping[str, float]) -> None:
        """Add a row to history.csv, the mean loss and terms of a stretch of steps, and the header before the first."""
        contents.add_row(self.folder / "history.csv", step, means)

    def cut_history(self, step: int) -> None:
        """Drop the rows of history.csv after a step: what a resumed training will write again."""
        if self.has("history.csv"):
            contents.cut_history(self.folder / "history.csv", step)

    def snapshots(self) -> dict[int, Path]:
        """Weights kept on the way, by step, in order."""
        found = sorted((self.folder / "snapshots").glob("*.safetensors"))
        return {int(path.stem): path for path in found if path.stem.isdecimal()}

    @property
    def own_data(self) -> bool:
        """Whether it was trained on a user's arrays, which no name finds again."""
        return self.has(modality_file.NAME) and self.read(modality_file.NAME)["own"] and not is_known(self.config.data)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Those of its model, as they were kept, or made from its data by a version that kept none.

        Refused where networks of a user's must be given, or trusted, and are not.
        """
        config = self.config
        if not self.has(modality_file.NAME):
            return modalities_of(self.dataset(), config.width, config.text_weight)
        content, path = self.read(modality_file.NAME), self.folder / modality_file.NAME
        try:
            return modality_file.read(content, config.width, self.networks, self.trust)
        except (LookupError, TypeError, AttributeError) as error:
            raise DamagedFile(path, files.reason_of(error), files.CURE) from error
        except ValueError as error:
            raise Refused(f"{path}: {error}") from error

    def dataset(self, split: str = "test", whole: bool = False) -> MultimodalDataset:
        """A split of its data: of the training split what it was trained on, or all, also what it was to go without.

        Refused where it was trained on a user's arrays, or on other files than there are now.
        """
        config = self.config
        if self.own_data:
            raise Refused(
                f"the run in {self.folder} was trained on arrays ({config.data}), which it does not keep: give them, "
                "as in evaluate(run, data=MultimodalDataset.from_arrays(...))"
            )
        check_files(self.folder, self.read("config.json"), config)
        data = load_dataset(config.data, split, root=config.data_root or None, repeats=config.repeats)
        return as_configured(data, config) if split == "train" and not whole else data

    @property
    def model(self) -> MultimodalVAE:
        """The trained model in evaluation mode, read anew at every access; no data is needed."""
        model = self.model_at(self.folder / "model.safetensors")
        model.unpredicted = self.ended.get("unpredicted", {})
        return model

    def model_at(self, weights: Path) -> MultimodalVAE:
        """The model in evaluation mode with these weights, such as one of `snapshots`.

        Raises FileNotFoundError where there are none, ValueError on weights of other networks.
        """
        self.check_trained(weights)
        model, kept = model_of(self.config, self.modalities), tensors.read_tensors(weights).tensors
        try:
            model.load_state_dict(again(kept, model.state_dict()))
        except RuntimeError as error:
            message = files.reason_of(RuntimeError(str(error).strip().splitlines()[-1]))
            raise ValueError(f"{weights} holds the weights of other networks than these: {message}") from None
        return model.eval()

    def check_trained(self, weights: Path) -> None:
        """FileNotFoundError where weights have not been written yet."""
        if not weights.is_file():
            raise FileNotFoundError(f"{weights} is missing: the run in {self.folder} has not finished its training")

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.folder / name).is_file()

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder; DamagedFile where it does not hold what was written, or what is needed of it."""
        path = self.folder / name
        checks = {"config.json": partial(contents.check_config, path), modality_file.NAME: modality_file.check}
        return files.read_json(path, check=checks.get(name, bool))

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file of the folder, whole or not at all. Numbers that are not finite become null."""
        finite = json.loads(json.dumps(content), parse_constant=lambda name: None)
        files.write_json(self.folder / name, finite, checked=True)


def build_model(config: Config, dataset: MultimodalDataset) -> MultimodalVAE:
    """The untrained model of a configuration and a data set's own modalities, initialised from its seed."""
    return model_of(config, modalities_of(dataset, config.width, config.text_weight))


@usual_torch()
def model_of(config: Config, modalities: Sequence[Modality]) -> MultimodalVAE:
    """The untrained model of a configuration and modalities, initialised from its seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        family, auxiliary = FAMILIES[config.posterior], config.objective in AUXILIARY
        return MultimodalVAE(modalities, config.content_dim, config.style_dim, family, auxiliary)


def run_folder(config: Config, parent: Path | None = None, modalities: dict[str, Any] | None = None) -> Path:
    """The folder of a configuration: outputs/PRESET/runs/OBJECTIVE-DATA-KEY, or below another parent.

    `modalities`, as modalities.json holds them, are a part of the name where they were chosen by hand, and digests of
    the data's files where the folder without them holds a run on other files: another data root, or more photographs.
    """
    style = "-ms" if config.style_dim else ""
    name = f"{config.objective}{style}-{config.data}-{config.key()}"
    name += f"-{digest(modality_file.identity(modalities))}" if modalities else ""
    folder = (parent or paths.outputs_dir() / config.preset / "runs") / name
    taken = Run(folder).has("config.json") and other_files(Run(folder).read("config.json"), config)
    return folder.with_name(f"{name}-{digest(files_now(config))}") if taken else folder


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Be the only process that writes into a run folder; waits for another one to end, with a line on stderr.

    Temporary files that are there when nobody else writes were left by killed processes: they go.
    """
    with paths.locked(folder, f"waiting: another process is at work in {folder}") as alone:
        for place in (folder, folder / "snapshots"):  # below them others may be at work
            files.remove_left(place, alone)
        yield


def start(
    config: Config,
    folder: Path,
    command: str | None = None,
    modalities: dict[str, Any] | None = None,
    speed: dict[str, Any] | None = None,
    done: int | None = None,
    files: dict[str, str] | None = None,
) -> Run:
    """Make or open the run folder of a configuration; ValueError when it holds another, or other data or modalities.

    `command` is what somebody typed to have it trained, `modalities` what modalities.json is to hold. A training that
    is not over goes on after `done` steps, in the way that it began, or takes its first steps with this `speed`.
    `files` are digests of the data's (None: of those that the configuration means).
    """
    run = Run(folder)
    stored = {"key": config.key(), "command": command, **versions.provenance()}
    if found := files_now(config) if files is None else files:
        stored["files"] = found
    if run.has("config.json"):
        if run.config.key() != config.key():
            raise ValueError(f"{folder} holds a run with another configuration: choose another folder or remove it")
        check_files(folder, run.read("config.json"), config, files)
        kept = run.has(modality_file.NAME) and run.read(modality_file.NAME)
        if kept and modalities and modality_file.identity(kept) != modality_file.identity(modalities):
            raise ValueError(f"{folder} holds a run with other modalities: choose another folder or remove it")
        stored = run.read("config.json")  # a resumed run may move to another device, but stays the code's that began it
    stored["config"] = config.to_json()
    if speed and not run.trained:
        stored.setdefault("speed", speed)
    run.write("config.json", stored)
    if modalities:
        run.write(modality_file.NAME, modalities)
    if done is not None and not run.trained:
        run.cut_history(done)
    return run


def find_runs(parent: Path, evaluated: bool = True, trust: bool = False) -> Iterator[Run]:
    """Complete runs anywhere below a folder, in order of their names; `evaluated` False: all trained ones.

    `trust` is the word to import networks that are not of this package, as in `Run.load`. Those that say
    nothing of what they are, because a file is damaged, are passed over, which is said.
    """
    for path in sorted(parent.rglob("metrics.json" if evaluated else "model.safetensors")):
        hidden = any(part.startswith(".") for part in path.relative_to(parent).parts)
        if (path.parent / "config.json").is_file() and not hidden:
            with files.passed_over():
                _ = Run(path.parent).config
                yield Run(path.parent, trust=trust)


def is_current(run: Run, config: Config, parts: Sequence[str] = (), limit: int | None = 0) -> bool:
    """Whether a run is complete, has this configuration, and was trained and judged by this version of the code.

    `parts` of the evaluation must be among those that were evaluated, on at least `limit` test items (None: on all).
    """
    if not (run.complete and is_trained(run, config)):
        return False
    how = contents.evaluated_with(run.folder / "metrics.json")
    on_enough = how["limit"] is None or (limit is not None and limit <= how["limit"])
    return on_enough and set(parts) <= {*how["parts"]} and how["judges"] == versions.judges_version()


def is_trained(run: Run, config: Config) -> bool:
    """Whether a run's training reached the end with this configuration and this version of the code."""
    if not run.trained:
        return False
    stored = files.if_sound(lambda: run.read("config.json"), run.folder / "config.json") or {}
    current = stored.get("key") == config.key() and stored.get("code") == versions.code_version()
    return current and not other_files(stored, config)


def archive_stale(run: Run, config: Config) -> None:
    """Set aside what another version of the code trained or began with this configuration, if there is any.

    Its folder is renamed, hidden beside its place, where `find_runs` passes over it; an older copy of the same
    configuration and code makes room.
    """
    stored = run.read("config.json") if run.has("config.json") else {}
    if stored.get("key") == config.key() and stored.get("code") != versions.code_version():
        kept = run.folder.with_name(f".{run.folder.name}-{stored.get('code')}")
        shutil.rmtree(kept, ignore_errors=True)
        run.folder.rename(kept)


@contextmanager
def unless_current(
    run: Run, config: Config, parts: Sequence[str], limit: int
) -> Iterator[tuple[Sequence[str], int | None] | None]:
    """Hold the folder of a run that is to be made; yields None where it is current, and need not be.

    Else it yields what is to be evaluated: the parts and the limit that are asked for and what these judges evaluated
    before, so that an evaluation only ever gains. What another version of the code made is set aside.
    """
    if is_current(run, config, parts, limit):
        yield None
        return
    with sole_writer(run.folder):
        if is_current(run, config, parts, limit):  # another process made it while this one waited
            yield None
            return
        archive_stale(run, config)
        before = contents.evaluated_with(run.folder / "metrics.json")
        if before["judges"] == versions.judges_version():
            parts, limit = [*parts, *before["parts"]], before["limit"] and max(limit, before["limit"])
        yield parts, limit


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a model's weights as safetensors, whole or not at all."""
    tensors.write_tensors(path, once(model.state_dict()))
