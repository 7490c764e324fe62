"""One trial as a job: a plain ``mgm train`` in a process and folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mgm.config import Experiment
from mgm.errors import RunError
from mgm.runs.folder import RunFolder
from mgm.training.checkpoint import make_folder

LOOK_EVERY_S = 0.2
"""Seconds between looks at a process or at a folder that another process works in."""
END_WITHIN_S = 45.0
"""Seconds that a process gets to end after it was asked to: for a step and a checkpoint; torchrun gives its own 30."""


@dataclass(frozen=True)
class Job:
    """Everything that a worker, perhaps on another machine, needs to know about a trial."""

    name: str
    folder: str
    """Of the run; the same path wherever it is carried out."""
    experiment: Experiment
    """What to train."""
    arguments: tuple[str, ...]
    """The same as arguments of ``mgm train``, without ``--out``."""
    stages: str = ""
    """Folder of stages that trials have in common (`mgm.runs.stages`); empty: none."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables beside those of the worker."""
    processes: int = 1
    """Of the run itself; several are started by torchrun."""
    retries: int = 1
    """How often a run that was killed is continued."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    name: str
    error: str = ""
    """Empty: finished."""
    seconds: float = 0.0


def carry_out(job: Job, stopped: Callable[[], bool] = lambda: False) -> Outcome:
    """Train until the run is finished, continuing what is there already.

    A process that was killed (out of memory, say, or with its node) is continued from its last checkpoint, up to
    ``job.retries`` times; one that ends with an error of its own is not, since it would fail again. If another process is
    training in the folder, this waits until it ends.

    Args:
        job: The trial.
        stopped: Asked now and then; once true, the process is ended and the outcome says so.
    """
    folder = RunFolder(Path(job.folder))
    begun = time.monotonic()
    log = folder.path.with_suffix(".log")
    try:
        make_folder(log.parent)
        log.touch()
    except (RunError, OSError) as error:
        return Outcome(job.name, f"cannot write {log} ({error})")
    attempts = 0
    while not folder.finished:
        _wait_for_others(folder, stopped)
        if stopped():
            return Outcome(job.name, "stopped", time.monotonic() - begun)
        if folder.finished:
            break
        code = _run(_command(job, folder), {**os.environ, **job.environment}, log, stopped)
        if folder.finished:
            break
        error = _reason(code, log)
        if stopped():
            return Outcome(job.name, "stopped", time.monotonic() - begun)
        if folder.in_use:  # somebody else was faster
            continue
        attempts += 1
        if code >= 0 or attempts > job.retries:
            return Outcome(job.name, error, time.monotonic() - begun)
    return Outcome(job.name, "", time.monotonic() - begun)


def _command(job: Job, folder: RunFolder) -> list[str]:
    """``mgm train`` as a command of this Python, under torchrun if it takes several processes."""
    program = ["-m", "mgm.cli.main", "train"]
    if job.processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(job.processes)]
        program = [*launcher, *program]
    what = (
        ["--resume", str(folder.path)]
        if folder.exists
        else [
            *job.arguments,
            *(["--stages", job.stages] if job.stages else []),
            "--no-baseline",
            "--out",
            str(folder.path),
        ]
    )
    return [sys.executable, *program, *what]


def _run(command: Sequence[str], environment: Mapping[str, str], log: Path, stopped: Callable[[], bool]) -> int:
    """Run to the end with all output in a file; the exit status, negative if a signal ended it."""
    with log.open("ab") as file:
        # a session of its own: Ctrl-C reaches the parent alone, which then ends its children in order
        process = subprocess.Popen(
            command, env=dict(environment), stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            while process.poll() is None and not stopped():
                time.sleep(LOOK_EVERY_S)
        finally:
            end(process)
    # a training that a signal has ended in order says so by its exit status
    return process.returncode if process.returncode <= 128 else 128 - process.returncode


def end(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process, and kill it if that takes too long."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for_others(folder: RunFolder, stopped: Callable[[], bool]) -> None:
    while not stopped() and folder.in_use:
        time.sleep(LOOK_EVERY_S)


def _reason(code: int, log: Path) -> str:
    """The last line that a process wrote, which is its error, or the signal that ended it."""
    if code < 0:
        return f"killed by signal {-code}; see {log}"
    if code == 0:
        return f"ended without a result; see {log}"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"{lines[-1] if lines else f'exit status {code}'} (log: {log})"
