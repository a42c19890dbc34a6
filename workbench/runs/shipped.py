"""Small trained models that come with the project, so that sliders move without a training first.

`workbench ship RUN ...` writes them to `data/models/METHOD`, those of faces to `data/models/faces/METHOD`: config.json
of the run, weights and, beside the methods, judges. Matrices and kernels are kept in 8 bits with one scale for each
row, a quarter of their size; the coherences in metrics.json are those of the weights as they are kept.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor, int8, nn

from workbench.data.dataset import MultimodalDataset
from workbench.data.load import load_dataset
from workbench.data.sources import FACE_SETS
from workbench.data.tensors import read_tensors, write_tensors
from workbench.errors import Refused
from workbench.files import CURE, damage
from workbench.modality import BY_SHAPE
from workbench.model import MultimodalVAE
from workbench.paths import project_root
from workbench.runs import modalities
from workbench.runs.run import Run, build_model

TEST_ITEMS = 2000  # behind the coherences that are kept with a model
SCALE = ".scale"  # what is added to a tensor's name for the scales of its rows
WEIGHTS = "weights.safetensors"
EMBEDDED = {"mnist": "uci", "svhn": "plain"}  # sources that have to be downloaded, and what the project has instead
DIGITS, FACES = "", "faces"  # kinds of models, by the folder that holds them


def models_dir(kind: str = DIGITS) -> Path:
    """Folder of the models of a kind that come with the project."""
    return project_root() / "data" / "models" / kind


def kind_of(name: str) -> str:
    """Where models of a data set are kept: those of digits in the folder itself, of faces in one within it."""
    return FACES if name in FACE_SETS else DIGITS


def pack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with every matrix or kernel as int8 and, under its name and `.scale`, the scales of its rows.

    Vectors and counters stay as they are. An entry is off by at most half a scale, 1 / 254 of its row's largest.
    """
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.dim() < 2:
            packed[name] = tensor.contiguous()
            continue
        scale = tensor.flatten(1).abs().amax(1).clamp(min=1e-12) / 127
        packed[name] = (tensor / _as_rows(scale, tensor)).round().to(int8)
        packed[name + SCALE] = scale
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict that `pack` was given, but for the rounding."""
    return {
        name: tensor * _as_rows(packed[name + SCALE], tensor) if name + SCALE in packed else tensor
        for name, tensor in packed.items()
        if not name.endswith(SCALE)
    }


def _as_rows(scale: Tensor, tensor: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (tensor.dim() - 1))


def ship(
    run: Run, judges: Mapping[str, tuple[nn.Module, dict[str, str]]], evaluate: Callable[..., dict[str, Any]]
) -> Path:
    """Write a trained run's model and the judges of its data below `data/models`; returns the model's folder.

    `judges` are networks by source, each with the note that stands in its file; `evaluate` is that of
    `workbench.evaluation`. metrics.json holds the coherences of the packed weights on TEST_ITEMS test items. Refused
    where networks are not those that data of the package have: nothing here says what others are.
    """
    kept = run.read(modalities.NAME)["modalities"] if run.has(modalities.NAME) else ()
    if other := [modality["name"] for modality in kept if modality["networks"] != BY_SHAPE]:
        raise Refused(
            f"{run.folder} has networks of {other[0]!r} that are not those of the package: it cannot be among "
            "the models that come with the project"
        )
    shipped = Run(models_dir(kind_of(run.config.data)) / run.config.objective)
    write_tensors(shipped.folder / WEIGHTS, pack(run.model.state_dict()))
    for source, (network, note) in judges.items():
        write_tensors(_judge_file(shipped.folder.parent, source), pack(network.state_dict()), note)
    shipped.write("config.json", run.read("config.json"))
    with TemporaryDirectory() as scratch:
        unpacked = Path(scratch) / WEIGHTS
        write_tensors(unpacked, unpack(read_tensors(shipped.folder / WEIGHTS).tensors))
        shipped.write("metrics.json", evaluate(shipped, unpacked, TEST_ITEMS, parts=["coherence"]))
    return shipped.folder


def shipped_runs(kind: str = DIGITS) -> list[Run]:
    """Folders of the models that come with the project: config.json, metrics.json and packed weights, no history."""
    return [Run(path.parent) for path in sorted(models_dir(kind).glob(f"*/{WEIGHTS}"))]


def shipped_model(run: Run, data: MultimodalDataset) -> MultimodalVAE:
    """The model of such a folder, in evaluation mode; `data` says its modalities: what `embedded` gives."""
    return _unpacked(build_model(run.config, data), run.folder / WEIGHTS)[0]


def shipped_judge(name: str, source: str, network: nn.Module) -> tuple[nn.Module, dict[str, str]]:
    """Return the judge of a source in a data set's name, in an untrained network of its kind, and its file's note.

    FileNotFoundError when it does not come with the project.
    """
    path = _judge_file(models_dir(kind_of(name)), source)
    return _unpacked(network, path)


def embedded(name: str, split: str = "test") -> MultimodalDataset:
    """The data set of that name, with sources that need no download in place of those that do."""
    return load_dataset("-".join(EMBEDDED.get(source, source) for source in name.split("-")), split)


def _judge_file(parent: Path, source: str) -> Path:
    return parent / "judges" / f"{source}.safetensors"


def _unpacked(network: nn.Module, path: Path) -> tuple[Any, dict[str, str]]:
    """An untrained network with the weights of a packed file, in evaluation mode, and the file's note."""
    tensors, note = read_tensors(path)
    with damage(path, CURE, RuntimeError):
        network.load_state_dict(unpack(tensors))
    return network.eval(), note
