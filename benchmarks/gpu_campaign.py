"""All measurements for a GPU that is available for minutes only, in order of importance.

    python benchmarks/gpu_campaign.py --seconds 480 --data nyuv2_128.zip --out results/gpu
    python benchmarks/gpu_campaign.py --device cpu --preset tiny --seconds 120 --data rooms --out runs/campaign   # a rehearsal

Works from a bare checkout (``PYTHONPATH=src``). It always ends within the given seconds; jobs that are still running are stopped.
Every result is written as soon as it is available, and results of the same commit are not repeated, so the same command resumes
the campaign. See CONTRIBUTING.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mgm.runs.provenance import current_commit, versions

ROOT = Path(__file__).parents[1]
TABLE_2 = ("mt", "mgm_no_generator", "mgm_control", "mgm", "mgm_real")
SEEDS = 10
"""More seeds than fit; they are run one after another until the time is over."""


@dataclass(frozen=True)
class Job:
    """A command whose result is one JSON file."""

    name: str
    command: tuple[str, ...]
    result: Path
    """JSON file that the command writes; with an empty path, its output is the result."""


def main() -> int:
    """Run all phases until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=480.0, help="time limit")
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="folder of the results")
    parser.add_argument("--data", default="rooms", help="NYUv2 in a layout that mgm reads; rooms for a rehearsal")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--preset", default="", help="preset of all trainings, for a rehearsal; empty: paper and best")
    parser.add_argument("--processes", type=int, default=4, help="number of concurrent trainings")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for title, jobs, together in phases(options, Path(scratch)):
            left = end - time.monotonic()
            if left <= 0:
                break
            print(f"{title}: {left:.0f} s left", flush=True)
            carry_out([job for job in jobs if not known(options.out, job)], options.out, together, end)
    return 0


def phases(options: argparse.Namespace, scratch: Path) -> Iterator[tuple[str, list[Job], int]]:
    """Title, jobs, and number of concurrent jobs of each phase, in order."""
    python, device = sys.executable, ("--device", options.device)
    tests = Job("gpu_tests", (python, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider"), Path())
    yield "does it run", [tests, *(smoke(options, name, scratch) for name in ("mgm", "mgm_dcgan"))], 1
    size = ("32", "4", "4", "1") if options.preset else ("128", "64", "32", "5")
    scale = [word for pair in zip(("--size", "--width", "--batch", "--rounds"), size, strict=True) for word in pair]
    yield "the step", [step_job(python, name, extra, [*scale, *device], scratch) for name, extra in STEPS.items()], 1
    for preset in (options.preset,) if options.preset else ("paper", "best"):
        yield (
            f"table 2 at 25 %, {preset}",
            [run_job(options, r, preset, "0.25", seed, scratch) for seed in range(SEEDS) for r in TABLE_2],
            options.processes,
        )
    preset = options.preset or "best"
    jobs = [run_job(options, recipe, preset, "1", seed, scratch) for seed in range(3) for recipe in ("mt", "mgm")]
    yield "all labels", jobs, options.processes


STEPS = {"step": (), "step_counts": ("--count",)}
"""Result -> flags of benchmarks/step.py."""


def step_job(python: str, name: str, extra: Sequence[str], flags: Sequence[str], scratch: Path) -> Job:
    """Job that times or counts variants of the joint step."""
    result = scratch / f"{name}.json"
    return Job(name, (python, str(ROOT / "benchmarks/step.py"), *extra, *flags, "--json", str(result)), result)


def smoke(options: argparse.Namespace, recipe: str, scratch: Path) -> Job:
    """Job that trains fifty steps of a recipe; a loss that is not finite is an error."""
    steps = ("--steps", "6") if options.preset else ("--steps", "50", "--generator-steps", "20", "--image-size", "128")
    flags = (*steps, "--preset", options.preset or "paper", "--no-baseline")
    return training(options, f"smoke_{recipe}", (recipe, *flags), scratch)


def run_job(options: argparse.Namespace, recipe: str, preset: str, fraction: str, seed: int, scratch: Path) -> Job:
    """Job for one run of a table: seed s on split s, with augmentation, shared first stages, and a reduced number of steps."""
    flags = [recipe, "--preset", preset, "--fraction", fraction, "--seed", str(seed), "--split-seed", str(seed)]
    flags += [
        "--tasks",
        "semantic",
        "depth",
        "normal",
        "--augment",
        "--no-baseline",
        "--stages",
        str(scratch / "stages"),
    ]
    if recipe == "mgm_real" and fraction != "1":
        flags += ["--weak-fraction", fraction]
    if not options.preset:
        # short enough for several seeds within minutes; the paper's schedule would take hours
        flags += ["--steps", "2000", "--generator-steps", "500", "--joint-share", "0.3", "--image-size", "128"]
        flags += ["--optimizer-step", "combined", "--precision", "bf16", "--validate-every", "200"]
    return training(options, f"{preset}_{fraction}_{recipe}_{seed}", flags, scratch)


def training(options: argparse.Namespace, name: str, flags: Sequence[str], scratch: Path) -> Job:
    """Job for an ``mgm train`` into a scratch folder."""
    out = scratch / name
    command = (sys.executable, "-m", "mgm", "train", *flags, "--data", options.data, "--device", options.device)
    return Job(name, (*command, "--out", str(out)), out / "result.json")


def known(out: Path, job: Job) -> bool:
    """Whether there is a successful result of the same commit."""
    file = out / f"{job.name}.json"
    if not file.exists():
        return False
    found = json.loads(file.read_text())
    return found["commit"] == current_commit() and not found["error"]


def carry_out(jobs: Sequence[Job], out: Path, together: int, end: float) -> None:
    """Run the jobs, ``together`` at a time, until they are finished or the time is over."""
    waiting, running = list(jobs), list[tuple[Job, subprocess.Popen[str], float]]()
    while waiting or running:
        while waiting and len(running) < together and time.monotonic() < end:
            job = waiting.pop(0)
            environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{os.environ.get('PYTHONPATH', '')}"}
            with (out / f"{job.name}.log").open("w") as log:
                process = subprocess.Popen(
                    job.command, stdout=log, stderr=log, cwd=ROOT, env=environment, text=True, start_new_session=True
                )
            running.append((job, process, time.monotonic()))
        for entry in list(running):
            job, process, begun = entry
            if process.poll() is not None:
                running.remove(entry)
                write(out, job, process.returncode, time.monotonic() - begun)
            elif time.monotonic() >= end:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                running.remove(entry)
                write(out, job, -9, time.monotonic() - begun)
        if time.monotonic() >= end:
            waiting.clear()
        time.sleep(0.1)


def write(out: Path, job: Job, status: int, seconds: float) -> None:
    """Write the result of a job with its provenance; for a job that failed or was stopped, the end of its output."""
    log = out / f"{job.name}.log"
    output = log.read_text()[-2000:]
    log.unlink()
    about = {
        "name": job.name,
        "command": shlex.join(["python", *job.command[1:]]),
        "commit": current_commit(),
        "versions": versions(),
        "seconds": round(seconds, 1),
        "error": "" if status == 0 else f"status {status}: {output}",
        "result": json.loads(job.result.read_text()) if status == 0 and job.result.is_file() else output,
    }
    (out / f"{job.name}.json").write_text(json.dumps(about, indent=1) + "\n")
    print(f"{job.name}: {'done' if status == 0 else 'failed or stopped'} in {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
