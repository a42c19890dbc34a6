"""Tables of the same items that come with the project: what was really measured, as arrays and as data sets.

`data/tables/NAME.npz` holds them as their source has them; `workbench.data.tables_made` wrote it.
"""

from dataclasses import replace
from typing import NamedTuple, SupportsIndex
from zipfile import BadZipFile

import numpy as np

from workbench.data.dataset import MultimodalDataset
from workbench.data.images import SPLITS, DataError, check_split
from workbench.data.own.arrays import from_arrays
from workbench.data.sources import TABLE_SETS
from workbench.errors import did_you_mean
from workbench.files import CURE, damage
from workbench.paths import project_root

TEST = {"mfeat": 0.3, "miniacc": 0.25}  # shares of the items, of every class alike
READS = {"rna", "mirna"}  # amounts over six powers of ten: modelled as log2(1 + x)
KINDS = {"mutations": "binary"}  # tables of numbers are vectors but for these


class Tables(NamedTuple):
    """What was measured of n items: by modality an array `[n, columns]`, all NaN for an item that it lacks.

    `outcome` is what became of the items, by name, such as days and died, where that is known; else empty.
    """

    arrays: dict[str, np.ndarray]
    columns: dict[str, list[str]]
    labels: np.ndarray  # a class of each item
    items: list[str]  # what they are called
    outcome: dict[str, np.ndarray]

    @property
    def kinds(self) -> dict[str, str]:
        """The kinds of the modalities, as `from_arrays` takes them."""
        return {name: KINDS.get(name, "vector") for name in self.arrays}


def read_tables(name: str) -> Tables:
    """Read the tables of a name in `TABLE_SETS`; amounts of molecules are given as log2(1 + x).

    ValueError on another name, DataError where the file is missing.
    """
    if name not in TABLE_SETS:
        raise ValueError(f"unknown tables {name!r}{did_you_mean(name, TABLE_SETS)}")
    path = project_root() / "data" / "tables" / f"{name}.npz"
    if not path.is_file():
        raise DataError(f"{path} is missing: it comes with the project, get it again from there")
    with damage(path, CURE, BadZipFile), np.load(path, allow_pickle=False) as kept:
        found = {key: kept[key] for key in kept.files}
    arrays = {m: found[m].astype(np.float32) for m in TABLE_SETS[name].modalities}
    arrays |= {m: np.log2(1 + arrays[m]) for m in READS & arrays.keys()}
    columns = {m: found[f"{m}.columns"].tolist() for m in arrays}
    outcome = {key.removeprefix("outcome."): x for key, x in found.items() if key.startswith("outcome.")}
    return Tables(arrays, columns, found["labels"], found["items"].tolist(), outcome)


def load_tables(name: str, split: str, seed: SupportsIndex = 0) -> MultimodalDataset:
    """Make a part of the data set of these tables, as `from_arrays` does; the seed draws the items for testing."""
    check_split(split)
    found = read_tables(name)
    parts = from_arrays(found.arrays, found.labels, split=TEST[name], seed=seed, kinds=found.kinds)
    part = parts[SPLITS.index(split)]
    storages = tuple(replace(storage, source=f"{name} {storage.name}") for storage in part.storages)
    return replace(part, name=name, storages=storages)
