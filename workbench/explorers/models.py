"""What an explorer shows: a trained model with its judges and the test items to choose from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.data.sources import parse_name
from workbench.explorers.subjects import Digits, Faces
from workbench.metrics.judges import Classifier, classifiers_of, with_note
from workbench.model import MultimodalVAE
from workbench.networks.classifiers import make_classifier
from workbench.runs.naming import label_of
from workbench.runs.run import Run, find_runs
from workbench.runs.shipped import DIGITS, embedded, shipped_judge, shipped_model, shipped_runs

NO_MODEL = "no model to explore: train one with `workbench train`"


@dataclass(frozen=True, eq=False)
class ExploredModel:
    """A model to be explored; `judges` and `data` are in the order of its modalities."""

    name: str  # mmJSD (MS)
    config: Config
    model: MultimodalVAE
    judges: tuple[Classifier, ...]
    data: MultimodalDataset  # test items
    shipped: bool = False
    run: Run | None = None  # where it was trained, if its folder is there

    @property
    def letters(self) -> tuple[str, ...]:
        """The modalities' letters, in order."""
        return self.model.letters

    def index(self, letter: str) -> int:
        """Return the place of a modality; ValueError for one that the model does not have."""
        if letter not in self.letters:
            raise ValueError(f"unknown modality {letter!r}: {self.name} has {', '.join(self.letters)}")
        return self.letters.index(letter)

    @property
    def subject(self) -> Digits | Faces:
        """What its test items are."""
        return Faces() if self.data.labels.dim() == 2 else Digits()

    @property
    def note(self) -> str:
        """One sentence: which model, trained on what, and where the test items come from."""
        fusion = f"{self.name}, {self.config.data}, {self.config.steps:,} steps of {self.config.batch_size}"
        items = "" if self.data.name == self.config.data else f"; test items are {self.data.name}"
        return fusion + (", comes with the project in 8 bits" if self.shipped else "") + items


def _explored(run: Run) -> ExploredModel:
    """A trained run to be explored; its judges are read from the cache or trained first."""
    test = run.dataset("test")
    judges = classifiers_of(run.dataset("train"), test, width=run.config.judge_width)
    return ExploredModel(label_of(run.config), run.config, run.model, tuple(judges), test, run=run)


def shipped_models(kind: str = DIGITS) -> list[ExploredModel]:
    """Read the models of a kind that come with the project, mmJSD first; test items are drawn from what is embedded."""
    runs = sorted(shipped_runs(kind), key=lambda run: (run.config.objective != "mmjsd", run.config.objective))
    widths = {run.config.data: run.config.judge_width for run in runs}
    items = {name: embedded(name) for name in widths}  # models that were trained on the same data share them
    judges = {name: tuple(shipped_judges(name, items[name], width)) for name, width in widths.items()}
    models = []
    for run in runs:
        config, data = run.config, items[run.config.data]
        own = label_of(config), config, shipped_model(run, data), judges[config.data], data
        models.append(ExploredModel(*own, shipped=True))
    return models


def shipped_judges(name: str, data: MultimodalDataset, width: float = 1.0) -> list[Classifier]:
    """The judges of the sources in a data set's name; FileNotFoundError when one does not come with the project."""
    networks = [make_classifier(shape, width) for shape in data.shapes]
    pairs = zip(parse_name(name), networks, strict=True)
    return [with_note(*shipped_judge(name, source, network), source) for source, network in pairs]


def explored_models(folder: str | Path | None = None, trust: bool = False) -> list[ExploredModel]:
    """Read the models of all trained runs below a folder, or (None) those that come with the project.

    `trust` is the word to import networks that runs name and this package has not. Raises, with the cure, ValueError
    when there is no trained run below the folder, and DataError when the data of one are not there.
    """
    if folder is None:
        return shipped_models()
    runs = list(find_runs(Path(folder), evaluated=False, trust=trust))
    if not runs:
        cure = "train one with `workbench train`, or leave the folder out for the models that come with the project"
        raise ValueError(f"no trained run below {folder}: {cure}")
    return [_explored(run) for run in runs]


def comparable(models: Sequence[ExploredModel]) -> list[ExploredModel]:
    """Give models that are shown side by side names of their own: those that share one are numbered.

    Raises ValueError, with the cure, when there is none, or when their modalities or test items differ.
    """
    if not models:
        raise ValueError(NO_MODEL)
    first = models[0]
    for other in models[1:]:
        if (other.letters, other.data.name) != (first.letters, first.data.name):
            have = (f"{one.name} has {', '.join(one.letters)} of {one.data.name}" for one in (first, other))
            need = "models that are compared need the same modalities and test items"
            raise ValueError(f"{need}: {', '.join(have)}; show them one by one")
    names = [explored.name for explored in models]
    numbers = [names[: place + 1].count(name) for place, name in enumerate(names)]
    shown = [f"{name} no. {n}" if names.count(name) > 1 else name for name, n in zip(names, numbers, strict=True)]
    return [replace(explored, name=name) for explored, name in zip(models, shown, strict=True)]
