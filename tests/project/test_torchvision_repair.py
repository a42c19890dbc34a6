"""Each case runs in a fresh interpreter: whether torchvision imports is decided once per process."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import workbench

ROOT = Path(workbench.__file__).parent.parent
REPAIR = f"""
import runpy, sys, torch
repair = runpy.run_path({str(ROOT / "workbench" / "_torchvision.py")!r})["repair"]
"""
# What torchvision does when it is imported, in short: load the extension if possible, then describe an operator of it.
STAND_IN = """
import importlib.machinery, torch
extension = importlib.machinery.PathFinder.find_spec("_C", list(__path__))
try:
    torch.ops.load_library(extension.origin)
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
except (AttributeError, OSError):
    pass
torch.library.register_fake("torchvision::nms")(lambda dets, scores, iou_threshold: dets)
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the repair leaves Windows alone")


def python(code: str, path: Path | None = None) -> subprocess.CompletedProcess:
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)


def stand_in(folder: Path, extension: bytes | str | None) -> Path:
    """A package named torchvision whose extension is missing (None), damaged (bytes) or a copy of a real library."""
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(STAND_IN)
    if isinstance(extension, bytes):
        (package / "_C.so").write_bytes(extension)
    elif extension:
        shutil.copy(importlib.util.find_spec(extension).origin, package / "_C.so")
    return folder


@pytest.mark.parametrize("extension", [None, b"no library"], ids=["missing", "unloadable"])
def test_a_torchvision_whose_extension_does_not_load_becomes_importable(tmp_path, extension):
    check = """
try:
    import torchvision
except RuntimeError as error:
    assert "operator torchvision::nms does not exist" in str(error)
else:
    raise AssertionError("the stand-in is not broken")
assert repair() and "torchvision" not in sys.modules
assert not repair()
import torchvision
"""
    repaired = python(REPAIR + check, stand_in(tmp_path, extension))
    assert repaired.returncode == 0, repaired.stderr


def test_a_matched_pair_stays_untouched(tmp_path):
    path = stand_in(tmp_path, "safetensors._safetensors_rust")
    # The stand-in declares nms itself, as a loaded extension does: that fails if the repair was there before.
    check = "assert not repair(); assert 'torchvision' not in sys.modules; import torchvision; assert not repair()"
    matched = python(REPAIR + check, path)
    assert matched.returncode == 0, matched.stderr


def test_without_torchvision_nothing_happens():
    check = """
import importlib.util
importlib.util.find_spec = lambda name: None
assert not repair() and not hasattr(torch.ops.torchvision, "nms")
"""
    result = python(REPAIR + check)
    assert result.returncode == 0, result.stderr


def test_the_installed_torchvision_works_after_import_of_the_package():
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    broken = "torchvision::nms does not exist" in python("import torchvision").stderr
    result = python(f"""
import workbench, sys, torch
assert "torchvision" not in sys.modules
import torchvision
from torchvision import datasets, transforms, utils
assert torchvision.extension._has_ops() != {broken}
assert utils.make_grid(torch.zeros(4, 3, 8, 8), nrow=2, padding=0).shape == (3, 16, 16)
assert transforms.Resize(4)(torch.ones(3, 8, 8)).equal(torch.ones(3, 4, 4))
assert len(datasets.MNIST.resources) == 4
if not {broken}:
    boxes = torch.tensor([[0., 0., 2., 2.], [0., 0., 2., 2.], [5., 5., 6., 6.]])
    assert torchvision.ops.nms(boxes, torch.tensor([1., 2., 3.]), 0.5).tolist() == [2, 1]
""")
    assert result.returncode == 0, result.stderr


def test_without_need_of_torch_the_package_does_not_import_it():
    """Neither the package nor its command line until it does something: importing torch takes seconds."""
    result = python("""
import sys, workbench
from workbench import cli
sys.argv = ["workbench", "--help"]
try:
    cli.main()
except SystemExit as end:
    assert not end.code
print("torch" in sys.modules)
""")
    assert result.returncode == 0, result.stderr
    assert "evaluate" in result.stdout and result.stdout.splitlines()[-1] == "False"


def test_torchvision_is_repaired_even_where_torch_was_imported_first():
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    result = python("import torch, workbench, torchvision; print(torchvision.__version__)")
    assert result.returncode == 0, result.stderr
