"""How threads wait: what the watcher decides from Linux's times, and that every kind of process has one."""

import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
import servers

from workbench import threads
from workbench.notebooks import execution
from workbench.sweeps.engines import open_engine

SAY = "import workbench.threads; print('threads:', workbench.threads.policy())"
linux = pytest.mark.skipif(not threads.TASKS.is_dir(), reason="only Linux tells how long threads wait")


def test_the_share_waited_is_that_of_the_time_in_which_a_core_is_wanted():
    assert threads.share_waited((7, 0), (300_000_007, 100_000_000)) == 0.25
    assert threads.share_waited((7, 9), (7, 9)) is None, "an idle process knows nothing of the machine"


def test_a_further_team_comes_when_cores_are_wanted_stays_between_and_goes_when_they_are_free(monkeypatch):
    wanted, teams = iter([0.1, 0.3, 0.01, None, *[0.01] * 5, 0.15, 0.9]), []

    def keep(enough: threading.Event, cores: int) -> None:
        teams.append("comes")
        enough.wait()
        teams.append("goes")

    monkeypatch.setattr(threads, "PERIOD", 0.001)
    monkeypatch.setattr(threads, "keep_team", keep)
    seen, watcher = [], threads.Watcher()
    own = threads._watcher and threads._watcher._thread  # this process's

    def share(*_: object) -> float | None:
        if threading.current_thread() is own:
            return None
        seen.append(watcher.crowded)
        return next(wanted, None)

    monkeypatch.setattr(threads, "share_waited", share)
    watcher.start()
    end = time.monotonic() + 60
    while len(seen) < 12 and time.monotonic() < end:
        time.sleep(0.001)
    assert seen[:12] == [False] * 2 + [True] * 6 + [False] * 3 + [True], "it goes when cores were free for some looks"
    assert 0 < watcher.waited < 0.9, "the mean of all looks"
    watcher.stop()
    assert teams == ["comes", "goes", "comes", "goes"] and not watcher.crowded


BESIDE_OTHERS = r"""
import os, subprocess, sys, time
from workbench import threads
import torch
cores = len(os.sched_getaffinity(0))
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # after the library has counted the cores of this process
torch.set_num_threads(2)
x = torch.ones(2**18)
before = x.cumsum(0).sum() + (x * x).sum()
end = time.monotonic() + 60
busy = subprocess.Popen([sys.executable, "-c", f"import time\nwhile time.monotonic() < {end}: pass"])
while not threads.crowded() and time.monotonic() < end:
    x.cumsum(0)
time.sleep(4)  # until every library has a team
after = x.cumsum(0).sum() + (x * x).sum()
print(threads.crowded(), len(os.listdir(threads.TASKS)) >= 3 + cores, bool(before == after))
busy.kill()
"""


@linux
def test_beside_a_busy_process_on_its_core_a_process_keeps_more_threads_than_cores_and_its_numbers():
    assert _run(BESIDE_OTHERS) == "True True True"


def _run(code: str, **environment: str) -> str:
    free = {name: value for name, value in os.environ.items() if name not in threads.SET_BY_USER}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=free | environment, capture_output=True, text=True, check=True).stdout.strip()


HALF_OPEN = """
from workbench import threads
opened = lambda: "libgcc_s" in open("/proc/self/maps").read()
before = opened()
with threads.further_team(2):
    print(before, opened())
"""


@linux
def test_what_ending_threads_open_is_open_before_a_team_so_that_no_fork_finds_it_half_open():
    done = subprocess.run([sys.executable, "-c", HALF_OPEN], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"


@linux
def test_a_script_watches_itself_unless_its_user_has_said_how_threads_wait():
    assert _run(SAY) == "threads: adaptive"
    assert _run(SAY, OMP_WAIT_POLICY="ACTIVE") == "threads: OMP_WAIT_POLICY=ACTIVE"
    assert _run(SAY, GOMP_SPINCOUNT="7") == "threads: GOMP_SPINCOUNT=7"


@linux
def test_a_forked_process_watches_itself_and_the_one_that_forked_goes_on():
    code = "\n".join([
        "import os, threading, workbench.threads",
        "names = lambda: sorted({t.name for t in threading.enumerate()} - {'workbench-team'})",
        "child = os.fork()",
        "if child: os.waitpid(child, 0)",
        "print(names(), flush=True)",
        "if not child: os._exit(0)",
    ])  # fmt: skip
    assert _run(code).splitlines() == ["['MainThread', 'workbench-watcher']"] * 2


@pytest.fixture
def notebook(tmp_path, monkeypatch) -> Path:
    """A notebook whose kernel says how its threads wait; in the environment of a user who has not."""
    for name in threads.SET_BY_USER:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "say.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SAY, id="say")]), path)
    return path


@linux
@pytest.mark.slow
def test_a_kernel_watches_itself_be_it_an_ordinary_one_or_a_sweeps_and_a_users_word_wins(notebook, monkeypatch):
    def said(**options) -> str:
        target = notebook.with_name("done.ipynb")
        with execution.kernel_of_this_interpreter():
            assert not execution.execute(notebook, target, {}, **options).error
        return nbformat.read(target, 4).cells[-1].outputs[0].text.strip()

    assert said() == "threads: adaptive"
    with open_engine("local", notebook, jobs=2, folder=notebook.parent) as engine:
        assert engine.submit(said, **engine.options).result() == "threads: adaptive"
        monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        assert engine.submit(said, **engine.options).result() == "threads: OMP_WAIT_POLICY=PASSIVE"


@linux
@pytest.mark.slow
def test_processes_of_torchrun_and_a_kernel_of_voila_watch_themselves(notebook):
    script = notebook.with_suffix(".py")
    script.write_text(SAY)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    printed = subprocess.run(launch, capture_output=True, text=True, check=True).stdout
    assert printed.count("threads: adaptive") == 2
    with servers.voila(notebook) as server, urllib.request.urlopen(server.url, timeout=servers.SECONDS) as page:
        assert b"threads: adaptive" in page.read()
