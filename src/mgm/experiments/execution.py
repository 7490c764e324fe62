"""A study from its plan to its table: trials in workers, what waits for what, and the files at the end."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mgm.errors import MgmError
from mgm.experiments import figures
from mgm.experiments.tables import Table, answers, as_csv, as_json, comparisons_markdown, make_table, markdown
from mgm.experiments.trials import Plan, Trial, train_arguments
from mgm.experiments.work import Job, Outcome
from mgm.experiments.workers import Workers
from mgm.runs.folder import RunFolder, read_result, write_json
from mgm.runs.provenance import current_commit, versions
from mgm.training.checkpoint import write_atomically


@dataclass(frozen=True)
class Place:
    """Where the trials and the results of studies lie."""

    out: Path

    def trial(self, trial: Trial) -> RunFolder:
        """The run of a trial; all studies in one place share it."""
        return self.trial_by_name(trial.name)

    def trial_by_name(self, name: str) -> RunFolder:
        """The same where only the name is known."""
        return RunFolder(self.out / "trials" / name)

    def study(self, name: str) -> Path:
        """Folder of a study's table and figure."""
        return self.out / name


@dataclass
class Progression:
    """How far the trials have come; shown as a bar, or as lines where there is no terminal."""

    total: int
    done: int = 0
    errors: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            disable=not sys.stderr.isatty(),
        )
        self.task = self.bar.add_task("trials", total=self.total)

    def end(self, outcome: Outcome) -> None:
        """A trial has ended, one way or the other."""
        self.done += 1
        self.bar.update(self.task, completed=self.done)
        how = f"failed: {outcome.error}" if outcome.error else f"finished in {outcome.seconds:.0f} s"
        if outcome.error:
            self.errors[outcome.name] = outcome.error
        print_line = self.bar.console.print if not self.bar.disable else self._print
        print_line(f"[{self.done}/{self.total}] {outcome.name} {how}")

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def run_trials(
    trials: tuple[Trial, ...], place: Place, workers: Workers, *, preset: str, processes: int = 1, retries: int = 1
) -> dict[str, str]:
    """Carry out all trials: finished ones are skipped, begun ones continued, failed ones reported while the others go on.

    Args:
        trials: In an order in which none comes before one that it builds upon.
        place: Where they lie.
        workers: Where they run.
        preset: What their settings are written relative to.
        processes: Of each trial.
        retries: How often a trial that was killed is continued.

    Returns:
        Trial -> error, for those that failed or could not begin.
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
                    progress.end(Outcome(trial.name, f"not begun: it builds upon {failed[0]}, which failed"))
                    continue
                try:
                    job = _job(trial, place, preset, processes, retries)
                except MgmError as error:
                    progress.end(Outcome(trial.name, str(error)))
                    continue
                running[workers.submit(job)] = trial.name
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                progress.end(_outcome(future, running.pop(future)))
    return progress.errors


def _job(trial: Trial, place: Place, preset: str, processes: int, retries: int) -> Job:
    experiment = trial.resolved(lambda needed: place.trial(needed).path)
    return Job(
        trial.name,
        str(place.trial(trial).path),
        experiment,
        tuple(train_arguments(experiment, preset)),
        processes=processes,
        retries=retries,
    )


def _outcome(future: Future[Outcome], name: str) -> Outcome:
    """The result of a job; a worker that was lost is an error like any other."""
    error = future.exception()
    if error is None:
        return future.result()
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return Outcome(name, f"worker lost: {reason}")


def write_study(
    plan: Plan, place: Place, data: str, *, preset: str, errors: Mapping[str, str], command: str, seconds: float
) -> Table:
    """Write everything that is known: table as Markdown, CSV and JSON, figure as PNG and PDF, and how it came about.

    Returns:
        The table.
    """
    table = make_table(plan, place.trial, data)
    folder = place.study(plan.name)
    folder.mkdir(parents=True, exist_ok=True)
    described = as_json(table)
    about = _about(plan, place, data, preset, errors, command, seconds)
    texts = {
        "table.md": _page(table, described, about, command, preset),
        "table.csv": as_csv(table),
    }
    for name, text in texts.items():
        write_atomically(folder / name, lambda file, text=text: file.write(text.encode()))
    write_json(folder / "table.json", described)
    write_json(folder / "experiment.json", about)
    figures.draw(table, place.trial, folder / "figure")
    return table


def _page(table: Table, described: dict[str, Any], about: dict[str, Any], command: str, preset: str) -> str:
    """The Markdown file: title, command, table, what it says in words."""
    plan = table.plan
    made = (
        f"Commit {', '.join(about['commits'])}; torch {about['versions']['torch']}; "
        f"{about['seconds_of_trials']:.0f} s of training in {len(plan.trials)} trials."
    )
    sentences = [f"- {line}\n" for line in described["sentences"]] or ["- One seed: nothing can be tested.\n"]
    return (
        f"# {plan.study.paper}: {plan.study.title}\n\n"
        f"{table.data}, preset `{preset}`, seeds {', '.join(map(str, plan.seeds))}; test set; mean ± standard deviation.\n\n"
        f"    {command}\n\n{made}\n\n{markdown(table)}\n"
        + "".join(sentences)
        + "".join(f"- {note}\n" for note in described["notes"])
        + (f"\n## Paired comparisons\n\n{comparisons_markdown(found)}" if (found := answers(table)) else "")
    )


def _about(
    plan: Plan, place: Place, data: str, preset: str, errors: Mapping[str, str], command: str, seconds: float
) -> dict[str, Any]:
    results = {trial.name: _result(place.trial(trial)) for trial in plan.trials}
    shown = {cell.trial.name: cell for cell in plan.cells}
    return {
        "name": plan.name,
        "number": plan.study.number,
        "paper": plan.study.paper,
        "title": plan.study.title,
        "command": command,
        "commit": current_commit(),
        "commits": sorted({str(result["commit"]) for result in results.values() if result}),
        "data": data,
        "preset": preset,
        "seeds": list(plan.seeds),
        "settings": list(plan.settings),
        "versions": versions(),
        "seconds": round(seconds, 1),
        "seconds_of_trials": round(sum(result.get("seconds", 0) for result in results.values()), 1),
        "trials": [
            {
                "name": cell.trial.name,
                "folder": f"../trials/{cell.trial.name}",
                "model": cell.row.title,
                "recipe": cell.row.recipe,
                "setting": cell.setting,
                "seed": cell.seed,
                **_state(results[cell.trial.name], errors.get(cell.trial.name)),
            }
            for cell in plan.cells
        ]
        + [
            {
                "name": trial.name,
                "folder": f"../trials/{trial.name}",
                "model": "(built upon)",
                "recipe": trial.experiment.recipe,
                "setting": "",
                "seed": trial.experiment.seed,
                **_state(results[trial.name], errors.get(trial.name)),
            }
            for trial in plan.trials
            if trial.name not in shown
        ],
    }


def _state(result: dict[str, Any], error: str | None) -> dict[str, Any]:
    state = "finished" if result else "failed" if error else "missing"
    return {"state": state, "error": None if result else error, "command": result.get("command")}


def _result(run: RunFolder) -> dict[str, Any]:
    return read_result(run.result) if run.finished else {}


def current_command() -> str:
    """The command line of this process, as it would be typed."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def carry_out_study(
    plan: Plan,
    place: Place,
    workers: Callable[[], Workers],
    *,
    data: str,
    preset: str,
    processes: int = 1,
    retries: int = 1,
) -> tuple[Table, dict[str, str]]:
    """Run what is left of a study and write it; what is finished is written even when the work is interrupted.

    Returns:
        The table, and trial -> error.
    """
    begun = time.monotonic()
    errors: dict[str, str] = {}
    try:
        if any(not place.trial(trial).finished for trial in plan.trials):
            with workers() as pool:
                errors = run_trials(plan.trials, place, pool, preset=preset, processes=processes, retries=retries)
    finally:
        table = write_study(
            plan,
            place,
            data,
            preset=preset,
            errors=errors,
            command=current_command(),
            seconds=time.monotonic() - begun,
        )
    return table, errors
