"""Damaged files of a run folder and of caches: what was there is read as it was, or one sentence names the file.

`python tests/faults/test_damage.py [SEED]` prints the table of what became of all mutations.
"""

import hashlib
import json
import random
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path += [str(Path(__file__).resolve().parents[1] / "support")]

from helpers import interrupted

from workbench import files
from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.data.images import Images, cached
from workbench.data.tensors import write_tensors
from workbench.evaluation import evaluate, evaluate_into
from workbench.metrics.features import kept_reference
from workbench.metrics.judges import Classifier, note_of, read_judge
from workbench.reports import results, tables
from workbench.runs.collected import gather
from workbench.runs.run import Run
from workbench.training.loop import fit

SAME, SENTENCE, EDITED = "same result", "one sentence", "read as edited"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
COPIES = 8  # mutations of each kind that draws lots, of each file


def flipped(content: bytes, draw: random.Random) -> bytes:
    """With one bit the other way round."""
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


FIXED = {
    "empty": b"", "pointer": POINTER, "null": b"null", "list": b"[]", "deep": b"[" * 200_000, "object": b"{}",
    "huge header": (10**12).to_bytes(8, "little") + b"{}", "no text": b"\xff\xfe\x00", "blank": b" \n",
}  # fmt: skip
DRAWN = {"flip": flipped, "cut": cut}
VALUES = (None, [], {}, -1, 1e400, "x", True, [[]], 10**30, "../../x")


def edited(content: bytes, draw: random.Random, checked: bool) -> bytes:
    """A JSON object with one entry dropped, or of another type, at any depth; without its checksum, or with."""
    found = json.loads(content)
    if not checked:
        found.pop("checksum", None)
    place = found
    while True:
        key = draw.choice([*place] if isinstance(place, dict) else range(len(place)))
        if isinstance(place[key], dict | list) and place[key] and draw.random() < 0.7:
            place = place[key]
            continue
        if draw.random() < 0.4:
            del place[key]
        else:
            place[key] = draw.choice(VALUES)
        return json.dumps(found).encode()


class World:
    """A finished run with a good neighbour, one that was stopped, files of a cache, and what comes of all undamaged."""

    def __init__(self, folder: Path) -> None:
        values = np.random.default_rng(0).normal(size=(40, 3))
        raw = {"x": values, "y": values[:, :2] > 0}
        self.data = MultimodalDataset.from_arrays(raw, np.arange(40) % 3, name="hospital")
        config = dict(data=self.data.train.name, steps=6, latent_dim=2, batch_size=8, compiled="off", device="cpu")
        self.config = Config.make("quick", **config, snapshot_every=3, checkpoint_every=2)
        self.folder = folder
        for seed, name in enumerate(("run", "neighbour")):
            run = fit(self.config.replace(seed=seed), folder / "runs" / name, self.data.train, progress=False)
            evaluate_into(run, progress=False, data=self.data, parts=["latent", "probe"])
        interrupted(4, self.config, folder / "stopped", self.data.train)
        self.images = Images(torch.arange(48, dtype=torch.uint8).view(3, 1, 4, 4), torch.arange(3))
        self.network = torch.nn.Linear(4, 3)
        cached("images", lambda: self.images)
        (self.cache,) = folder.rglob("images.safetensors")
        self.judge = self.cache.with_name("judge.safetensors")
        write_tensors(self.judge, self.network.state_dict(), note_of(Classifier(self.network, "x", 0.75)))
        kept_reference(Pixels(), self.batches)
        (self.features,) = folder.rglob("features-*.safetensors")
        self.expected = {name: getattr(self, name)() for name in OPERATIONS}

    def batches(self) -> list[torch.Tensor]:
        return [self.images.values.float() / 255]

    # Operations, each of which gives something that can be compared

    def load(self) -> Any:
        return digest(Run.load(self.folder / "runs" / "run").model.state_dict())

    def history(self) -> Any:
        return Run(self.folder / "runs" / "run").history()

    def report(self) -> Any:
        runs = gather([self.folder / "runs"])
        assert "neighbour" in [run.folder.name for run in runs], "one bad folder never ends a report over many"
        shown = results.frame([run for run in runs if run.folder.name == "run"] or runs).drop(columns="run")
        tables.markdown(runs)
        if "run" not in [run.folder.name for run in runs]:
            raise PassedOver
        return shown.to_csv()

    def judged(self) -> Any:
        run = Run(self.folder / "runs" / "run")
        found = evaluate(run, data=self.data, parts=["latent"], progress=False)
        snapshots = [
            evaluate(run, x, data=self.data, parts=["latent"], progress=False) for x in run.snapshots().values()
        ]
        return [m["rate"] for m in (found, *snapshots)]

    def resume(self) -> Any:
        with replaced(self.folder / "stopped"):
            run = fit(self.config, self.folder / "stopped", self.data.train, progress=False)
            return digest(run.model.state_dict()), run.history()

    def read_cache(self) -> Any:
        again = kept_reference(Pixels(), self.batches).features
        return digest(cached("images", lambda: self.images)._asdict() | {"features": again})

    def read_judge(self) -> Any:
        judge = read_judge(self.judge, torch.nn.Linear(4, 3), "x")
        return digest(judge.network.state_dict()), judge.accuracy


class Pixels:
    """An extractor whose features are the pixels."""

    name, dimensions, weights = "pixels", 16, {}

    def __call__(self, images):
        return images.flatten(1)


class PassedOver(Exception):
    """The run is not among those of a report."""


class replaced:
    """Put a folder back as it was when the block ends."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.copy = folder, folder.with_name(f"{folder.name}-copy")

    def __enter__(self) -> None:
        shutil.copytree(self.folder, self.copy)

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.folder)
        self.copy.rename(self.folder)


def digest(tensors: dict[str, torch.Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    return found.hexdigest()


OPERATIONS = ("load", "history", "report", "judged", "resume", "read_cache", "read_judge")
RUN = ("load", "report", "judged")
FILES = {
    "runs/run/config.json": RUN, "runs/run/metrics.json": ("report",), "runs/run/history.csv": ("history", "report"),
    "runs/run/modalities.json": ("load", "judged"), "runs/run/model.safetensors": ("load", "judged"),
    "runs/run/snapshots/0000003.safetensors": ("judged",), "stopped/config.json": ("resume",),
    "stopped/modalities.json": ("resume",), "stopped/history.csv": ("resume",), "stopped/checkpoint.json": ("resume",),
    "stopped/checkpoint-0000004.safetensors": ("resume",), "cache": ("read_cache",), "features": ("read_cache",),
    "judge": ("read_judge",),
}  # fmt: skip


def outcome(world: World, path: Path, operation: str, capsys: Any) -> str:
    """What an operation comes to with a damaged file."""
    files._said.clear()
    capsys.readouterr()
    try:
        found = getattr(world, operation)()
    except PassedOver:
        said = capsys.readouterr().err
        return SENTENCE if said.startswith("passed over: ") and str(path) in said else f"says {said!r}"
    except (ValueError, OSError) as error:
        named = str(path if path.parent.name != "stopped" else path.parent) in str(error)
        return SENTENCE if named and "\n" not in str(error) else f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if found == world.expected[operation]:
        return SAME
    return SENTENCE if f"{path} is not as it was written" in capsys.readouterr().err else "another result"


def mutations(path: Path, draw: random.Random, copies: int) -> list[tuple[str, bytes]]:
    content = path.read_bytes()
    made = [*FIXED.items()]
    made += [(name, change(content, draw)) for name, change in DRAWN.items() for _ in range(copies)]
    if path.suffix == ".json":
        made += [
            (f"edit{' of an older file' * old}", edited(content, draw, not old))
            for old in (0, 1)
            for _ in range(copies)
        ]
    return made


def tried(folder: Path, seed: int, copies: int, capsys: Any, files: tuple[str, ...] = (*FILES,)) -> Counter:
    """(file, mutation, outcome) of all mutations of some files, counted."""
    draw, world, found = random.Random(seed), World(folder), Counter()
    for name in files:
        path = getattr(world, name) if hasattr(world, name) else folder / name
        kept = path.read_bytes()
        for kind, content in mutations(path, draw, copies):
            for operation in FILES[name]:
                path.write_bytes(content)
                what = outcome(world, path, operation, capsys)
                if what == "another result" and kind == "edit of an older file":
                    what = EDITED  # without its checksum it is whoever edited it that answers for it
                found[name, kind, what if content != kept else SAME] += 1
            path.write_bytes(kept)
    return found


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    return tmp_path


def unexpected(found: Counter) -> str:
    return "\n".join(f"{key}" for key in found if key[2] not in (SAME, SENTENCE, EDITED))


@pytest.mark.parametrize("name", [*FILES])
def test_a_damaged_file_is_read_as_it_was_or_named_in_a_sentence(name, root, capsys):
    found = tried(root, 0, 1, capsys, (name,))
    assert not unexpected(found), unexpected(found)


@pytest.mark.slow
def test_many_damages_of_every_file(root, capsys):
    found = tried(root, 1, COPIES, capsys)
    assert sum(found.values()) > 150 and not unexpected(found), unexpected(found)
    assert {what for *_, what in found} == {SAME, SENTENCE, EDITED}


def table(found: Counter) -> str:
    """What became of the mutations of each file, as Markdown."""
    heads = (SAME, SENTENCE, EDITED, "else")
    rows = {}
    for (name, _, what), count in found.items():
        place = re.sub(r"runs/run/|stopped/", "", name)
        rows.setdefault(place, Counter())[what if what in heads else "else"] += count
    lines = [f"| {name} | {' | '.join(str(row[head]) for head in heads)} |" for name, row in rows.items()]
    return "\n".join([f"| file | {' | '.join(heads)} |", "| --- |" + " ---: |" * len(heads), *lines])


if __name__ == "__main__":
    import os
    from tempfile import TemporaryDirectory

    class Captured:
        """What pytest's capsys is."""

        def readouterr(self) -> Any:
            import io
            from types import SimpleNamespace

            said = sys.stderr.getvalue() if isinstance(sys.stderr, io.StringIO) else ""
            sys.stderr = io.StringIO()
            return SimpleNamespace(err=said)

    shown = sys.stderr
    with TemporaryDirectory() as scratch:
        os.environ["WORKBENCH_ROOT"] = scratch
        whole = tried(Path(scratch), int(sys.argv[1]) if sys.argv[1:] else 1, COPIES, Captured())
    sys.stderr = shown
    print(table(whole), unexpected(whole), sep="\n\n")
