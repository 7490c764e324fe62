"""A trial as a job: ``mgm train`` in a separate process and folder."""

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
"""Polling interval for processes, and for folders in use by another process, in seconds."""
END_WITHIN_S = 45.0
"""Seconds from SIGTERM to SIGKILL: enough for a step and a checkpoint. torchrun gives its own processes 30."""


@dataclass(frozen=True)
class Job:
    """Everything that a worker needs to know about a trial, possibly on another machine."""

    name: str
    folder: str
    """Folder of the run; the path is the same on every machine."""
    experiment: Experiment
    """The settings."""
    arguments: tuple[str, ...]
    """The settings as arguments of ``mgm train``, without ``--out``."""
    stages: str = ""
    """Folder of shared stages (`mgm.runs.stages`); empty: none."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Environment variables, added to those of the worker."""
    processes: int = 1
    """Number of processes of the run; more than one are started by torchrun."""
    retries: int = 1
    """How often a killed run is continued."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    name: str
    error: str = ""
    """Error message; empty: finished."""
    seconds: float = 0.0


def carry_out(job: Job, stopped: Callable[[], bool] = lambda: False) -> Outcome:
    """Train until the run is finished, continuing an existing run.

    A process that was killed (for example out of memory) is continued from its last checkpoint, up to ``job.retries`` times.
    A process that ended with an error is not, since it would fail again. If another process is training in the folder, this
    function waits until it has ended. ``stopped`` is polled regularly; once it returns True, the process is terminated and the
    outcome is ``stopped``.
    """
    folder = RunFolder(Path(job.folder))
    begun = time.monotonic()
    log = folder.path.with_name(f"{folder.path.name}.log")
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
        if folder.in_use:  # another process took the folder first
            continue
        attempts += 1
        if code >= 0 or attempts > job.retries:
            return Outcome(job.name, error, time.monotonic() - begun)
    return Outcome(job.name, "", time.monotonic() - begun)


def _command(job: Job, folder: RunFolder) -> list[str]:
    """The ``mgm train`` command for this Python interpreter, under torchrun if there are several processes."""
    command = [sys.executable]
    if job.processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(job.processes)]
    command += ["-m", "mgm.cli.main", "train"]
    if folder.exists:
        return [*command, "--resume", str(folder.path)]
    stages = ["--stages", job.stages] if job.stages else []
    return [*command, *job.arguments, *stages, "--no-baseline", "--out", str(folder.path)]


def _run(command: Sequence[str], environment: Mapping[str, str], log: Path, stopped: Callable[[], bool]) -> int:
    """Run a command with its output in a log file; returns the exit status, negative if a signal ended the process."""
    with log.open("ab") as file:
        # a new session, so that Ctrl-C reaches only the parent, which then terminates its children
        process = subprocess.Popen(
            command, env=dict(environment), stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            while process.poll() is None and not stopped():
                time.sleep(LOOK_EVERY_S)
        finally:
            end(process)
    # a training that handled a signal exits with 128 + its number
    return process.returncode if process.returncode <= 128 else 128 - process.returncode


def end(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process; kill it after `END_WITHIN_S`."""
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
    """Why a process ended: the signal, or the last line of its output, which is its error message."""
    if code < 0:
        return f"killed by signal {-code}; see {log}"
    if code == 0:
        return f"ended without a result; see {log}"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"{lines[-1] if lines else f'exit status {code}'} (log: {log})"
