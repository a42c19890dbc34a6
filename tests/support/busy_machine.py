"""How fast work is on a machine that has other work: the table of outputs/reference/performance.md.

    python tests/support/busy_machine.py --rounds 5 --out outputs/reference/threads.json

Steps, a drawn face and a probe, beside 0, 1 and 2 busy processes a core, in four settings by turns: one thread; the
library's own spinning; sleeping; and what the package does where the user sets nothing. Each setting has a process that
stays, and the best of the rounds counts. Busy processes end by themselves, at the latest after BUSY_SECONDS.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SETTINGS = {
    "one thread": {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
    "spinning": {"GOMP_SPINCOUNT": "300000"},  # the library's own number, as where nothing is set
    "sleeping": {"OMP_WAIT_POLICY": "PASSIVE"},
    "nothing set": {},
}
LOADS = (0, 1, 2)  # busy processes a core
SECONDS = 1.2  # of one measurement, about; the first quarter does not count: a process may have to see the load
BUSY_SECONDS = 900


def works() -> dict[str, Callable[[], object]]:
    """Make what is measured, by name."""
    import torch

    from workbench.config import Config
    from workbench.data.load import load_dataset
    from workbench.data.synthetic.faces import render
    from workbench.data.synthetic.faces_attributes import sample_attributes
    from workbench.metrics.representation import linear_probe
    from workbench.training.loop import Trainer
    from workbench.training.step import Speed

    made: dict[str, Callable[[], object]] = {}
    data = load_dataset("uci-plain-text", "train")
    for size in (32, 256):
        config = Config.make("quick", batch_size=size)
        made[f"step of {size}"] = Trainer(config, data, torch.device("cpu")).go_on(Speed()).step
    attributes = sample_attributes(16, 0)
    made["16 faces"] = lambda: render(attributes, 0)
    x, y = torch.randn(2000, 20, generator=torch.Generator().manual_seed(0)), torch.arange(2000) % 10
    made["probe"] = lambda: linear_probe(x, y, x, y)
    return made


def serve() -> None:
    """Measure what standard input names; the mean in milliseconds goes out, without the first quarter."""
    made = works()
    print("ready", flush=True)
    for line in sys.stdin:
        work, times = made[line.strip()], []
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end or len(times) < 4:
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        counted = times[len(times) // 4 :]
        print(1000 * sum(counted) / len(counted), flush=True)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many processes busy."""
    code = f"import time\nend = time.monotonic() + {BUSY_SECONDS}\nwhile time.monotonic() < end: pass"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of every work beside every load, by setting."""
    free = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, __file__, "--serve"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = {name: subprocess.Popen(command, env=free | more, **pipes) for name, more in SETTINGS.items()}
    table: dict[str, dict[str, float]] = {}
    try:
        assert all(worker.stdout.readline() == "ready\n" for worker in workers.values())
        for load in LOADS:
            with busy(load * len(os.sched_getaffinity(0))):
                for work in ("step of 32", "step of 256", "16 faces", "probe"):
                    row = table.setdefault(f"{work}, beside {load} a core", {})
                    for name in [*workers] * rounds:
                        workers[name].stdin.write(work + "\n")
                        workers[name].stdin.flush()
                        row[name] = min(row.get(name, float("inf")), float(workers[name].stdout.readline()))
                    print(f"measured: {work}, beside {load} a core", file=sys.stderr)
    finally:
        for worker in workers.values():
            worker.kill()
    return table


def markdown(table: dict[str, dict[str, float]]) -> str:
    """Lay the table out, with the last setting's ratio to the best of the fixed ones and to spinning."""
    *fixed, free = SETTINGS
    rows = ["| milliseconds of | " + " | ".join(SETTINGS) + " | of the best | of spinning |"]
    rows.append("| --- |" + " ---: |" * (len(SETTINGS) + 2))
    for name, row in table.items():
        ratios = row[free] / min(row[x] for x in fixed), row[free] / row["spinning"]
        numbers = [f"{row[x]:.1f}" for x in SETTINGS] + [f"{ratio:.2f}" for ratio in ratios]
        rows.append(f"| {name} | {' | '.join(numbers)} |")
    return "\n".join(rows)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", action="store_true")
    asked = parser.parse_args()
    if asked.serve:
        return serve()
    table = measure(asked.rounds)
    print(markdown(table))
    if asked.out:
        from workbench.files import write_json
        from workbench.runs.versions import provenance

        command = f"python tests/support/busy_machine.py --rounds {asked.rounds} --out {asked.out}"
        write_json(asked.out, {"command": command, **provenance(), "milliseconds": table})
    return None


if __name__ == "__main__":
    main()
