"""Transfers from a real server on this computer, with the tables of torchvision replaced by small ones."""

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType

import numpy as np
import pytest
from source_files import photo, write_celeba, write_mnist, write_svhn

from workbench.data import DataError, fetch
from workbench.data.celeba.load import load_celeba
from workbench.data.mnist import load_mnist
from workbench.data.svhn import load_svhn

N = 20


class Server(ThreadingHTTPServer):
    """Gives `files`; `breaks[path]` bytes of the first answer for that path, and parts of files when `ranges`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.breaks, self.ranges, self.asked = {}, {}, True, []
        self.pauses = {}  # after so many bytes of a path, until the event is set
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        part = self.headers["Range"]
        self.server.asked.append((self.path, part))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(part.removeprefix("bytes=").removesuffix("-")) if part and self.server.ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.path in self.server.pauses:
            after, begun, goes_on = self.server.pauses[self.path]
            self.wfile.write(content[start:after])
            self.wfile.flush()
            start = max(start, after)
            begun.set()
            goes_on.wait(60)
        self.wfile.write(content[start : self.server.breaks.pop(self.path, None)])

    def log_message(self, *_):
        """Stay quiet."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def mnist(server, monkeypatch, tmp_path_factory):
    """The four files of a small MNIST on the server: names on disk -> unpacked contents."""
    datasets, origin = pytest.importorskip("torchvision.datasets"), tmp_path_factory.mktemp("origin")
    contents, resources = {}, []
    for split in ("train", "test"):
        write_mnist(origin, split, N, packed=True)
    for prefix in ("train", "t10k"):  # in torchvision's order
        for what in ("images-idx3", "labels-idx1"):
            file = origin / "MNIST" / "raw" / f"{prefix}-{what}-ubyte.gz"
            server.files[f"/mnist/{file.name}"] = packed = file.read_bytes()
            resources.append((file.name, hashlib.md5(packed).hexdigest()))
            contents[file.stem] = gzip.decompress(packed)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"{server.url}/nothing/", f"{server.url}/mnist/"])
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    return contents


@pytest.fixture
def svhn(server, monkeypatch, tmp_path_factory):
    """A small SVHN on the server: names -> contents."""
    datasets, origin = pytest.importorskip("torchvision.datasets"), tmp_path_factory.mktemp("origin")
    contents, table = {}, {}
    for split in ("train", "test", "extra"):
        file, *_ = write_svhn(origin, split, N, compress=False)
        server.files[f"/svhn/{file.name}"] = contents[file.name] = file.read_bytes()
        md5 = hashlib.md5(contents[file.name]).hexdigest()
        table[split] = [f"{server.url}/svhn/{file.name}", file.name, md5]
    monkeypatch.setattr(datasets.SVHN, "split_list", table)
    return {name: content for name, content in contents.items() if "extra" not in name}


@pytest.fixture
def drive(server, monkeypatch, tmp_path):
    """A small CelebA on the server by its names there, and a gdown that asks the server for files."""
    datasets, folder = pytest.importorskip("torchvision.datasets"), write_celeba(tmp_path / "origin", N, [0, 2] * 10)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for n in range(1, N + 1):
            packed.write(photo(folder, n), f"img_align_celeba/{n:06d}.jpg")
    lists = ("list_attr_celeba.txt", "list_eval_partition.txt")
    contents = {"img_align_celeba.zip": archive.getvalue(), **{name: (folder / name).read_bytes() for name in lists}}
    server.files |= {f"/drive/{name}": content for name, content in contents.items()}
    table = [(name, hashlib.md5(content).hexdigest(), name) for name, content in contents.items()]
    # torchvision's table has annotations that the project does without
    monkeypatch.setattr(datasets.CelebA, "file_list", [*table, ("bbox", "0" * 32, "list_bbox_celeba.txt")])

    def download(id, output, **_):
        try:
            with urllib.request.urlopen(f"{server.url}/drive/{id}") as response, open(output, "wb") as stream:
                stream.write(response.read())
        except urllib.error.HTTPError as error:
            error.close()
            raise

    gdown = ModuleType("gdown")
    gdown.download = download
    monkeypatch.setitem(sys.modules, "gdown", gdown)
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    return contents


@pytest.fixture
def inception(server, monkeypatch):
    """Other, shorter weights on the server, named as pytorch-fid names its own."""
    weights = pytest.importorskip("pytorch_fid.inception")
    content = np.random.default_rng(2).bytes(1000)
    digest = hashlib.sha256(content).hexdigest()
    name = f"pt_inception-2015-12-05-{digest[:8]}.pth"
    server.files[f"/weights/{name}"] = content
    monkeypatch.setattr(fetch, "INCEPTION", name)
    monkeypatch.setattr(fetch, "INCEPTION_SHA256", digest)
    monkeypatch.setattr(weights, "FID_WEIGHTS_URL", f"{server.url}/weights/{name}")
    return content


def celeba(root):
    return [row for row in fetch.check(root) if row.source == "celeba"]


def leftovers(root):
    return sorted(path.name for path in root.rglob("*") if path.name.startswith(".") or path.suffix in (".part", ".gz"))


def states(root, source="mnist"):
    return [row.state for row in fetch.check(root) if row.source == source]


def test_mnist_arrives_unpacked_from_the_mirror_that_has_it_and_only_what_is_missing_or_damaged_again(
    tmp_path, mnist, server
):
    files = fetch.fetch("mnist", tmp_path)
    assert {file.name: file.read_bytes() for file in files} == mnist and leftovers(tmp_path) == []
    assert load_mnist("test", tmp_path).labels.tolist() == [n % 10 for n in range(N)]
    assert [path for path, _ in server.asked[:2]] == [f"/{m}/train-images-idx3-ubyte.gz" for m in ("nothing", "mnist")]
    server.asked.clear()
    assert len(fetch.fetch("mnist", tmp_path)) == 4 and server.asked == [], "what is there is not fetched again"
    missing, damaged, *sound = files
    missing.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-3])
    assert [state.split(",")[0] for state in states(tmp_path)] == ["missing", "damaged", "ok", "ok"]
    server.asked.clear()
    fetch.fetch("mnist", tmp_path)
    assert {path.split("/")[-1] for path, _ in server.asked} == {f"{missing.name}.gz", f"{damaged.name}.gz"}
    assert {file.name: file.read_bytes() for file in (missing, damaged, *sound)} == mnist


def test_a_wrong_checksum_leaves_nothing(tmp_path, svhn, server):
    server.files["/svhn/test_32x32.mat"] = svhn["test_32x32.mat"][:-1] + b"?"
    with pytest.raises(DataError, match=r"test_32x32.mat could not be downloaded .*wrong checksum") as error:
        fetch.fetch("svhn", tmp_path)
    assert "\n" not in str(error.value) and "workbench data fetch svhn" in str(error.value)
    assert [path.name for path in (tmp_path / "svhn").iterdir()] == ["train_32x32.mat"]


@pytest.mark.parametrize("ranges", [True, False], ids=["server continues", "server starts anew"])
def test_a_broken_transfer_is_continued(tmp_path, svhn, server, monkeypatch, ranges):
    monkeypatch.setattr(fetch, "_CHUNK", 5_000)
    content, path = svhn["train_32x32.mat"], "/svhn/train_32x32.mat"
    server.ranges, server.breaks[path] = ranges, 10_000
    with pytest.raises(DataError, match=rf"the connection broke after 10000 of {len(content)} bytes"):
        fetch.fetch("svhn", tmp_path)
    partial = tmp_path / "svhn" / "train_32x32.mat.part"
    assert partial.read_bytes() == content[:10_000] and [*partial.parent.iterdir()] == [partial]
    assert states(tmp_path, "svhn") == ["partly downloaded", "missing"]
    fetch.fetch("svhn", tmp_path)
    assert server.asked[:2] == [(path, None), (path, "bytes=10000-")]
    assert (tmp_path / "svhn" / "train_32x32.mat").read_bytes() == content and leftovers(tmp_path) == []


def test_interrupted_by_the_user(tmp_path, svhn, server, monkeypatch):
    class Interrupt(fetch.tqdm):
        def update(self, n=1):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fetch, "tqdm", Interrupt)
        patch.setattr(fetch, "_CHUNK", 5_000)
        with pytest.raises(KeyboardInterrupt):
            fetch.fetch("svhn", tmp_path)
    assert states(tmp_path, "svhn")[0] == "partly downloaded"
    files = fetch.fetch("svhn", tmp_path)
    assert {file.name: file.read_bytes() for file in files} == svhn
    assert server.asked[1] == ("/svhn/train_32x32.mat", "bytes=5000-")


@pytest.mark.parametrize("length", [14, 10**6], ids=["shorter", "longer"])
def test_a_foreign_partial_file_is_given_up(tmp_path, svhn, length):
    partial = tmp_path / "svhn" / "train_32x32.mat.part"
    partial.parent.mkdir()
    partial.write_bytes(b"something else"[:length].ljust(length, b"."))
    with pytest.raises(DataError, match="wrong checksum" if length == 14 else "416"):
        fetch.fetch("svhn", tmp_path)
    assert not partial.exists() or not partial.stat().st_size
    partial.write_bytes(svhn["train_32x32.mat"])  # a whole one only waits for its checksum
    assert {file.name: file.read_bytes() for file in fetch.fetch("svhn", tmp_path)} == svhn


def test_no_server(tmp_path, svhn, server, monkeypatch):
    from torchvision import datasets

    nowhere = ["http://127.0.0.1:1/train_32x32.mat", "train_32x32.mat", ""]
    monkeypatch.setitem(datasets.SVHN.split_list, "train", nowhere)
    with pytest.raises(DataError, match=r"could not be downloaded \(http://127.0.0.1:1/.*refused") as error:
        fetch.fetch("svhn", tmp_path)
    assert "\n" not in str(error.value) and str(tmp_path / "svhn" / "train_32x32.mat") in str(error.value)


def test_unknown_name_and_check_of_an_empty_root(tmp_path):
    with pytest.raises(ValueError, match="unknown data set 'uci': choose one of mnist, svhn, celeba, inception"):
        fetch.fetch("uci", tmp_path)
    rows = fetch.check(tmp_path)
    assert [row.source for row in rows] == ["mnist"] * 4 + ["svhn"] * 2 + ["celeba"] * 3 + ["inception"]
    assert {row.state for row in rows} == {"missing"} and not any(row.sound for row in rows)
    assert {row.cure for row in rows} == {f"workbench data fetch {name}" for name in fetch.NAMES}


def test_svhn_and_that_it_is_not_the_whole_set(tmp_path, svhn, server):
    files = fetch.fetch("svhn", tmp_path)
    assert {file.name: file.read_bytes() for file in files} == svhn and leftovers(tmp_path) == []
    assert load_svhn("train", tmp_path).labels.tolist() == [(n % 10 + 1) % 10 for n in range(N)]
    assert [path for path, _ in server.asked] == ["/svhn/train_32x32.mat", "/svhn/test_32x32.mat"]
    train, test = [row for row in fetch.check(tmp_path) if row.source == "svhn"]
    assert train.sound and train.state == f"ok, but {N} items instead of 73,257"
    assert test.state == f"ok, but {N} items instead of 26,032"
    assert train.cure == "move it away, then workbench data fetch svhn"


def test_check_of_real_files(real_data):
    rows = [row for row in fetch.check(real_data) if row.source == "mnist"]
    if any(row.state == "missing" for row in rows):
        pytest.skip("no MNIST under WORKBENCH_DATA")
    assert [row.state for row in rows] == ["ok, 60,000 items"] * 2 + ["ok, 10,000 items"] * 2
    assert {row.cure for row in rows} == {""}


def test_celeba(tmp_path, drive, server):
    files = fetch.fetch("celeba", tmp_path)
    assert [file.name for file in files] == ["img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"]
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        assert (tmp_path / "celeba" / name).read_bytes() == drive[name]
    origin = tmp_path / "origin" / "celeba"
    for n in range(1, N + 1):
        assert photo(tmp_path / "celeba", n).read_bytes() == photo(origin, n).read_bytes()
    assert leftovers(tmp_path) == [] and len(server.asked) == 3
    assert len(load_celeba("test", tmp_path).labels) == N // 2
    fetch.fetch("celeba", tmp_path)
    assert len(server.asked) == 3  # nothing is fetched again


def test_only_what_celeba_lacks_is_fetched_and_a_part_stays_as_it_is(tmp_path, drive, server, capsys):
    folder = write_celeba(tmp_path, 5, [0] * 5)
    (folder / "list_attr_celeba.txt").write_text("quota exceeded")
    fetch.fetch("celeba", tmp_path)
    assert [path for path, _ in server.asked] == ["/drive/list_attr_celeba.txt"]
    assert (folder / "list_attr_celeba.txt").read_bytes() == drive["list_attr_celeba.txt"]
    assert len(list((folder / "img_align_celeba").iterdir())) == 5
    said = capsys.readouterr().err
    assert "img_align_celeba stays as it is (ok, 5 of 20 images" in said and "for all 202,599 move it away" in said


def celeba_refusal(root) -> str:
    with pytest.raises(DataError) as error:
        fetch.fetch("celeba", root)
    message = str(error.value)
    assert "\n" not in message and message.startswith("CelebA could not be downloaded (")
    assert all(word in message for word in ("img_align_celeba.zip", "mmlab.ie.cuhk.edu.hk", str(root / "celeba")))
    return message


def test_a_wrong_answer_never_takes_the_place_of_a_list(tmp_path, drive, server):
    server.files["/drive/list_attr_celeba.txt"] = b"<html>Too many users have viewed or downloaded this file</html>"
    assert "corrupted" in celeba_refusal(tmp_path)
    assert not (tmp_path / "celeba" / "list_attr_celeba.txt").exists()
    server.files["/drive/list_attr_celeba.txt"] = drive["list_attr_celeba.txt"]
    fetch.fetch("celeba", tmp_path)
    assert [path for path, _ in server.asked].count("/drive/img_align_celeba.zip") == 1
    assert len(load_celeba("train", tmp_path).labels) == N // 2


def test_interrupted_while_unpacking(tmp_path, drive, server, monkeypatch):
    extract, unpacked = zipfile.ZipFile._extract_member, []

    def interrupted(*arguments):
        unpacked.append(arguments)
        if len(unpacked) == 5:
            raise KeyboardInterrupt
        return extract(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "_extract_member", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch.fetch("celeba", tmp_path)
    assert states(tmp_path, "celeba") == ["partly downloaded", "missing", "missing"]
    assert not (tmp_path / "celeba" / "img_align_celeba").exists()
    fetch.fetch("celeba", tmp_path)
    assert [path for path, _ in server.asked].count("/drive/img_align_celeba.zip") == 1
    assert len(list((tmp_path / "celeba" / "img_align_celeba").iterdir())) == N and leftovers(tmp_path) == []


def test_celeba_without_gdown_or_network(tmp_path, drive, server, monkeypatch):
    server.files.clear()
    assert "404" in celeba_refusal(tmp_path)
    monkeypatch.setitem(sys.modules, "gdown", None)
    assert "pip install gdown" in celeba_refusal(tmp_path)


def test_long_words_of_gdown_become_one_line(tmp_path, drive, monkeypatch):
    def refused(**_):
        raise RuntimeError("Failed to retrieve file url:\n\n\tToo many users\n" + "have viewed it " * 50)

    monkeypatch.setattr(sys.modules["gdown"], "download", refused)
    assert "(Failed to retrieve file url: Too many users have viewed" in celeba_refusal(tmp_path)
    assert re.search(r" \.\.\.\): try `workbench data fetch celeba` again later", celeba_refusal(tmp_path))


def test_check_of_celeba(tmp_path, drive, monkeypatch):
    folder = write_celeba(tmp_path, N, [0] * 10 + [2] * 10)
    photo(folder, 1).write_bytes(b"")
    whole = f"{N} of {N} images: 10 train, 10 test (official split); not cached yet"
    assert states(tmp_path, "celeba") == [f"ok, {whole}", *[f"ok, but {N} items instead of 202,599"] * 2]
    monkeypatch.setattr(fetch, "COUNT", N)
    assert states(tmp_path, "celeba")[1:] == [f"ok, {N} rows"] * 2
    load_celeba("train", tmp_path)
    photos, *_ = celeba(tmp_path)
    assert photos.cure == "" and photos.state == (
        "ok, 20 of 20 images: 9 train, 10 test (official split); skipped 1: 000001.jpg (empty file); cached"
    )
    photo(folder, 2).unlink()
    photos, *_ = celeba(tmp_path)
    assert photos.cure == "a part will do; for all 20 move it away, then workbench data fetch celeba"
    (folder / "list_eval_partition.txt").write_text("000001.jpg 3")
    photos, _, partition = celeba(tmp_path)
    assert photos.state.startswith("ok, 19 images, but not to be used: ") and "line 1, " in photos.state
    assert (partition.state, partition.cure) == ("damaged", "workbench data fetch celeba")


def test_inceptions_weights_and_damaged_ones_again(tmp_path, inception, server):
    assert states(tmp_path, "inception") == ["missing"]
    (file,) = fetch.fetch("inception", tmp_path)
    assert file.read_bytes() == inception and leftovers(tmp_path) == []
    assert file == tmp_path / "inception" / server.asked[0][0].split("/")[-1]
    assert states(tmp_path, "inception") == [f"ok, {len(inception):,} bytes"]
    fetch.fetch("inception", tmp_path)
    assert len(server.asked) == 1
    file.write_bytes(inception[:-1])
    assert states(tmp_path, "inception") == ["damaged"]
    assert fetch.fetch("inception", tmp_path) == [file] and file.read_bytes() == inception


def test_other_weights_are_refused(tmp_path, inception, server):
    server.files[f"/weights/{fetch.INCEPTION}"] = inception[:-1]
    with pytest.raises(DataError, match=r"wrong checksum .* run `workbench data fetch inception` again"):
        fetch.fetch("inception", tmp_path)
    assert leftovers(tmp_path) == [] and states(tmp_path, "inception") == ["missing"]


def test_weights_need_pytorch_fid_to_be_fetched_but_not_to_be_checked(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_fid", None)
    monkeypatch.delitem(sys.modules, "pytorch_fid.inception", raising=False)
    with pytest.raises(DataError, match="pip install pytorch-fid"):
        fetch.fetch("inception", tmp_path)
    assert states(tmp_path, "inception") == ["missing"]


def test_addresses_are_torchvisions_and_pytorch_fids(tmp_path):
    datasets, weights = pytest.importorskip("torchvision.datasets"), pytest.importorskip("pytorch_fid.inception")
    names = [download.goal.name for name in fetch.NAMES for download in fetch.downloads(name, tmp_path)]
    assert names == [row.file.name for row in fetch.check(tmp_path)]
    assert fetch.downloads("svhn", tmp_path)[1].checksum == "md5:" + datasets.SVHN.split_list["test"][2]
    assert fetch.downloads("mnist", tmp_path)[0].urls[0].endswith("/mnist/train-images-idx3-ubyte.gz")
    (download,) = fetch.downloads("inception", tmp_path)
    assert download.urls == (weights.FID_WEIGHTS_URL,) and weights.FID_WEIGHTS_URL.endswith(f"/{fetch.INCEPTION}")
    assert re.fullmatch(r"sha256:6726825d[0-9a-f]{56}", download.checksum)  # whose beginning the file's name ends with


# ---------------------------------------------------------------------------------------- two processes at one file

OTHER = """
import json, sys
from workbench.data import fetch  # before torchvision, which it repairs
from torchvision import datasets
datasets.SVHN.split_list = json.loads(sys.argv[2])
fetch._CHUNK = 1000
print([file.name for file in fetch.fetch("svhn", sys.argv[1])])
"""


@pytest.fixture
def two(tmp_path, svhn, server):
    """Starts processes that fetch SVHN, whose first file the server stops in the middle of, until it is told."""
    from torchvision import datasets

    path, begun, goes_on = "/svhn/train_32x32.mat", threading.Event(), threading.Event()
    server.pauses[path] = 10_000, begun, goes_on
    command = [sys.executable, "-c", OTHER, str(tmp_path), json.dumps(datasets.SVHN.split_list)]
    started = []

    def start(waits: bool) -> subprocess.Popen:
        """Start one, and come back when it has got the half of the file, or waits for another one."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        if waits:
            assert process.stderr.readline().startswith("waiting: another process is downloading ")
        else:
            assert begun.wait(120), process.poll()
        return process

    yield start, goes_on
    goes_on.set()
    for process in started:
        process.kill()
        process.communicate()


def ends_well(process, root, svhn) -> None:
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0 and out.strip() == str([*svhn]), said
    assert {path.name: path.read_bytes() for path in (root / "svhn").glob("*")} == svhn and leftovers(root) == []


@pytest.mark.slow
def test_two_downloads_at_once_are_one(two, tmp_path, svhn, server):
    start, goes_on = two
    first, second = start(waits=False), start(waits=True)
    goes_on.set()
    for process in (first, second):
        ends_well(process, tmp_path, svhn)
    assert server.asked == [("/svhn/train_32x32.mat", None), ("/svhn/test_32x32.mat", None)]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
@pytest.mark.parametrize("wrong", [False, True], ids=["sound", "wrong"])
def test_a_killed_download_blocks_no_other_which_goes_on_and_no_wrong_file_is_left(wrong, two, tmp_path, svhn, server):
    start, goes_on = two
    first, second = start(waits=False), start(waits=True)
    if wrong:
        server.files["/svhn/train_32x32.mat"] = svhn["train_32x32.mat"][:-1] + b"?"
    first.kill()
    first.wait()
    goes_on.set()
    if wrong:
        _, said = second.communicate(timeout=120)
        assert second.returncode == 1 and "wrong checksum" in said and leftovers(tmp_path) == []
        assert not (tmp_path / "svhn" / "train_32x32.mat").exists()
        server.files["/svhn/train_32x32.mat"] = svhn["train_32x32.mat"]
        second = start(waits=False)
    ends_well(second, tmp_path, svhn)
    asked = [part for path, part in server.asked if path == "/svhn/train_32x32.mat"]
    got = int(asked[1].removeprefix("bytes=").removesuffix("-"))
    assert asked[0] is None and 0 < got <= 10_000 and len(asked) == 2 + wrong
