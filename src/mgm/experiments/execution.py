"""Execution of a study: run its trials in workers, prerequisites first, and write the table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mgm.data import open_source
from mgm.data.store import Store, cached_store
from mgm.errors import MgmError, RunError, reason_of
from mgm.experiments.jobs import Job, Outcome
from mgm.experiments.plans import Plan, Trial, train_arguments
from mgm.experiments.study_files import Place, write_study
from mgm.experiments.study_records import ExperimentFolder
from mgm.experiments.tables import Table
from mgm.experiments.workers import Workers
from mgm.runs.data import load_data
from mgm.runs.images import RunImages
from mgm.runs.provenance import command_line


@dataclass
class Progression:
    """Progress of the trials: a bar on a terminal, otherwise one line per trial."""

    total: int
    done: int = 0
    errors: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
        self.bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
        self.task = self.bar.add_task("trials", total=self.total)

    def end(self, outcome: Outcome) -> None:
        """Record that a trial has finished or failed."""
        self.done += 1
        self.bar.update(self.task, completed=self.done)
        how = f"failed: {outcome.error}" if outcome.error else f"finished in {outcome.seconds:.0f} s"
        if outcome.error:
            self.errors[outcome.name] = outcome.error
        line = f"[{self.done}/{self.total}] {outcome.name} {how}"
        if self.bar.disable:
            print(line, file=sys.stderr, flush=True)
        else:
            self.bar.console.print(line)


def run_trials(
    trials: tuple[Trial, ...], place: Place, workers: Workers, *, preset: str, processes: int = 1, retries: int = 1
) -> dict[str, str]:
    """Run all trials: skip finished ones, continue interrupted ones, and report failures while the others proceed.

    Args:
        trials: All trials, each after those that it depends on.
        place: Folders of the trials.
        workers: Workers to run them in.
        preset: Preset that their settings are written relative to.
        processes: As `Job.processes`.
        retries: As `Job.retries`.

    Returns:
        Trial -> error, for trials that failed or could not start.
    """
    left = {trial.name: trial for trial in trials if not place.trial(trial).finished}
    progress = Progression(len(left))
    running: dict[Future[Outcome], str] = {}
    with progress.bar:
        while left or running:
            for trial in [t for t in left.values() if not any(n.name in left for n in t.required)]:
                if any(needed.name in running.values() for needed in trial.required):
                    continue
                del left[trial.name]
                failed = [needed.name for needed in trial.required if needed.name in progress.errors]
                if failed:
                    progress.end(Outcome(trial.name, f"not started: it depends on {failed[0]}, which failed"))
                    continue
                try:
                    experiment = trial.resolved(lambda needed: place.trial(needed).path)
                    arguments = tuple(train_arguments(experiment, preset))
                except MgmError as error:
                    progress.end(Outcome(trial.name, str(error)))
                    continue
                path, stages = str(place.trial(trial).path), str(place.stages)
                job = Job(trial.name, path, experiment, arguments, stages, processes=processes, retries=retries)
                running[workers.submit(job)] = trial.name
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                progress.end(_outcome(future, running.pop(future)))
    return progress.errors


def _outcome(future: Future[Outcome], name: str) -> Outcome:
    """The outcome of a job; a lost worker is reported as an error."""
    error = future.exception()
    if error is None:
        return future.result()
    return Outcome(name, f"worker lost: {reason_of(error)}")


def check_same_data(trials: tuple[Trial, ...], place: Place) -> None:
    """Raise `RunError` if finished trials were trained on other data than those of today, with which a table would mix them.

    Trials without their record of images (``images.json``) are not checked.
    """
    stores: dict[object, Store] = {}
    stale: dict[str, str] = {}
    for trial in trials:
        run, config = place.trial(trial), trial.experiment.data
        if not (run.finished and run.images.exists()):
            continue
        key = (config.data, config.num_images, config.frame, config.cache, config.skip_bad)
        if key not in stores:
            source = open_source(config.data, config.num_images)
            stores[key] = cached_store(source, config.frame, config.cache, skip_bad=config.skip_bad)
        images = RunImages.read(run.images)
        changes = images.changes(stores[key], run.info())
        if not changes and config.pretrain not in ("", "rooms"):  # rooms depend on settings alone
            other = load_data(trial.experiment, "cpu").pretraining
            if other and other.fingerprint != images.pretrain:
                changes = f"other images or labels in {config.pretrain}, which they were pre-trained on"
        if changes:
            stale[trial.name] = changes
    if stale:
        raise RunError(
            f"the data have changed ({next(iter(stale.values()))}) since these trials in {place.out / 'trials'} were finished: "
            f"{', '.join(stale)}; delete their folders, or choose another --out; or restore the data"
        )


def check_same_trials(plan: Plan, place: Place) -> None:
    """Raise `RunError` if the folder of the study holds a table without any trial of this plan, which would be lost.

    More seeds or settings, or some of those in the table, replace it: they make the same table, longer or shorter.
    """
    folder = ExperimentFolder(place.study(plan.name))
    if not folder.exists:
        return
    record = folder.record()
    if record.trials and not {trial.name for trial in record.trials} & {trial.name for trial in plan.trials}:
        raise RunError(
            f"{folder.path} holds the table of other settings ({record.command}); choose another --out, or delete {folder.path} "
            "(its trials are kept); a table of several --settings is made by one command that names them all"
        )


def carry_out_study(
    plan: Plan,
    place: Place,
    workers: Callable[[], Workers],
    *,
    data: str,
    preset: str,
    processes: int = 1,
    retries: int = 1,
    draw: Callable[[Table], object] = lambda table: None,
) -> tuple[Table, dict[str, str]]:
    """Run the unfinished trials of a study and write its table, even if the execution is interrupted.

    ``workers`` is called only if a trial is unfinished, ``draw`` at the end; ``data`` is `DatasetInfo.name`, and the other
    arguments are those of `run_trials`. Returns the table, and trial -> error.

    Raises:
        RunError: If the data have changed since trials were finished (`check_same_data`), or the folder holds the table of other
            settings (`check_same_trials`).
    """
    check_same_trials(plan, place)
    check_same_data(plan.trials, place)
    begun = time.monotonic()
    errors: dict[str, str] = {}
    try:
        if any(not place.trial(trial).finished for trial in plan.trials):
            with workers() as pool:
                errors = run_trials(plan.trials, place, pool, preset=preset, processes=processes, retries=retries)
    finally:
        seconds = time.monotonic() - begun
        table = write_study(plan, place, data, preset=preset, errors=errors, command=command_line(), seconds=seconds)
        draw(table)
    # another process with the same folder may have finished some in the meantime
    left = {trial.name for trial in plan.trials if not place.trial(trial).finished}
    return table, {name: error for name, error in errors.items() if name in left}
