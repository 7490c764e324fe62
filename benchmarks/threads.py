"""Speed-up by a second thread, against the time that idle threads spin before they sleep.

    python benchmarks/threads.py --json results/threads.json

Measures a joint step at the scale of the preset ``quick``, alone on the machine and next to a second training of the same kind.
Threads that sleep immediately have to be woken for every layer; threads that spin take the cores from other programs. The command
line sets `GOMP_SPINCOUNT` as a compromise (`mgm.cli.main.main`); its value was chosen with this script.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from mgm.method.recipes import make_experiment
from mgm.runs.provenance import current_commit
from synthetic import synthetic_trainer

SPINS = (0, 1000, 2000, 10000)
"""Iterations of libgomp's spin loop, a few nanoseconds each; 0: sleep immediately."""


def seconds_per_step(steps: int) -> float:
    """Median wall-clock seconds of a joint step in this process."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = synthetic_trainer(make_experiment("mgm", "quick"), Path(folder))
        stage = trainer.stages[-1]
        trainer.enter_stage(len(trainer.stages) - 1)
        taken: list[float] = []
        for index in range(steps + 2):
            start = time.perf_counter()
            trainer.train_step(stage, index)
            taken.append(time.perf_counter() - start)
    return statistics.median(taken[2:])


def start(threads: int, spins: int, steps: int) -> subprocess.Popen[str]:
    """Start a measurement in a new process, since torch reads the environment variables when it is loaded."""
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": str(spins),
    }
    command = [sys.executable, __file__, "--steps", str(steps), "--worker"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def measure(threads: int, spins: int, steps: int, trainings: int) -> float:
    """Mean of the median step times of ``trainings`` concurrent trainings."""
    running = [start(threads, spins, steps) for _ in range(trainings)]
    found = [float(process.communicate()[0]) for process in running]
    return statistics.mean(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(seconds_per_step(options.steps))
        return
    ways = [(1, 0), *((options.threads, spins) for spins in SPINS)]
    rows: list[dict[str, Any]] = []
    for trainings in (1, 2):
        taken: dict[tuple[int, int], list[float]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for threads, spins in ways:
                taken[threads, spins].append(measure(threads, spins, options.steps, trainings))
        for (threads, spins), seconds in taken.items():
            ratio = statistics.median(a / b for a, b in zip(seconds, taken[ways[0]], strict=True))
            median = statistics.median(seconds)
            rows.append({"trainings": trainings, "threads": threads, "spins": spins, "seconds": median, "ratio": ratio})
            what = f"{trainings} training(s), {threads} thread(s), {spins} spins"
            print(f"{what}: {median:.3f} s per step, {ratio:.2f} of the time with one thread")
    if options.json:
        settings = {"threads": options.threads, "steps": options.steps, "rounds": options.rounds}
        machine = {"torch": torch.__version__, "cores": os.cpu_count()}
        result = {"settings": settings, **machine, "commit": current_commit(), "rows": rows}
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
