"""What an explorer shows: a trained model with its judges and the test items to choose from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.explorers.subjects import Digits, Faces, subject_of
from workbench.metrics.judges import Classifier, classifiers_of
from workbench.model import MultimodalVAE
from workbench.runs.naming import label_of
from workbench.runs.run import Run, find_runs
from workbench.runs.shipped import DIGITS, embedded, shipped_judges, shipped_model, shipped_runs

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

    @property
    def letters(self) -> tuple[str, ...]:
        """The modalities' letters, in order."""
        return self.model.letters

    def index(self, letter: str) -> int:
        """The place of a modality; ValueError for one that the model does not have."""
        if letter not in self.letters:
            raise ValueError(f"unknown modality {letter!r}: {self.name} has {', '.join(self.letters)}")
        return self.letters.index(letter)

    @property
    def subject(self) -> Digits | Faces:
        """What its test items are."""
        return subject_of(self.data)

    @property
    def note(self) -> str:
        """One sentence: which model, trained on what, and where the test items come from."""
        fusion = f"{self.name}, {self.config.data}, {self.config.steps:,} steps of {self.config.batch_size}"
        items = "" if self.data.name == self.config.data else f"; test items are {self.data.name}"
        return fusion + (", comes with the project in 8 bits" if self.shipped else "") + items


def exhibit(run: Run) -> ExploredModel:
    """A trained run as an exhibit, its judges read from the cache or trained first.

    FileNotFoundError when its training has not finished, DataError when its data are not there.
    """
    test = run.dataset("test")
    judges = classifiers_of(run.dataset("train"), test, width=run.config.judge_width)
    return ExploredModel(label_of(run.config), run.config, run.model, tuple(judges), test)


def shipped_exhibits(kind: str = DIGITS) -> list[ExploredModel]:
    """The models of a kind that come with the project, mmJSD first; test items are drawn from what is embedded."""
    runs = sorted(shipped_runs(kind), key=lambda run: (run.config.objective != "mmjsd", run.config.objective))
    widths = {run.config.data: run.config.judge_width for run in runs}
    items = {name: embedded(name) for name in widths}  # models that were trained on the same data share them
    judges = {name: tuple(shipped_judges(name, items[name], width)) for name, width in widths.items()}
    found = []
    for run in runs:
        name, data = label_of(run.config), run.config.data
        found.append(
            ExploredModel(name, run.config, shipped_model(run, items[data]), judges[data], items[data], shipped=True)
        )
    return found


def exhibits(folder: str | Path | None = None) -> list[ExploredModel]:
    """Exhibits of all trained runs below a folder, or (None) of the models that come with the project.

    ValueError, with the cure, when there is no trained run below the folder.
    """
    if folder is None:
        return shipped_exhibits()
    runs = list(find_runs(Path(folder), evaluated=False))
    if not runs:
        raise ValueError(
            f"no trained run below {folder}: train one with `workbench train`, or leave the folder out for the models "
            "that come with the project"
        )
    return [exhibit(run) for run in runs]


def comparable(exhibits: Sequence[ExploredModel]) -> list[ExploredModel]:
    """Exhibits that can be shown side by side, each by a name of its own: those that share one are numbered.

    ValueError, with the cure, when there is none, or when their modalities or test items differ.
    """
    if not exhibits:
        raise ValueError(NO_MODEL)
    first = exhibits[0]
    for other in exhibits[1:]:
        if (other.letters, other.data.name) != (first.letters, first.data.name):
            raise ValueError(
                f"models that are compared need the same modalities and test items: {first.name} has "
                f"{', '.join(first.letters)} of {first.data.name}, {other.name} has {', '.join(other.letters)} of "
                f"{other.data.name}; show them one by one"
            )
    names = [exhibit.name for exhibit in exhibits]
    numbers = [names[: place + 1].count(name) for place, name in enumerate(names)]
    return [
        replace(exhibit, name=f"{exhibit.name} no. {number}") if names.count(exhibit.name) > 1 else exhibit
        for exhibit, number in zip(exhibits, numbers, strict=True)
    ]
