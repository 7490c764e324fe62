"""What waits for what, and what goes on when something fails. Workers are played."""

import shutil
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fake_folder import palette_png, write_own
from fake_runs import begin_run
from fake_trials import pretend, three_tasks
from mgm.data import open_source
from mgm.errors import ConfigError, RunError
from mgm.experiments.execution import _outcome, carry_out_study, run_trials
from mgm.experiments.jobs import Job, Outcome
from mgm.experiments.planning import planned
from mgm.experiments.plans import make_plan
from mgm.experiments.studies import MGM, MT, ST, Need, Row, Setting, Study, options
from mgm.experiments.study_files import Place
from mgm.experiments.workers import Workers
from mgm.method.recipes import make_experiment
from mgm.runs.folder import RunFolder
from mgm.types import DatasetInfo

SCORES = three_tasks(0.1, 1.0, 30.0)


class Played(Workers):
    """Finishes every job at once, or says what a test wants. With ``data``, runs record their images."""

    def __init__(self, place: Place, errors: dict[str, str] | None = None, data: DatasetInfo | None = None) -> None:
        self.place, self.errors, self.data = place, errors or {}, data
        self.jobs: list[Job] = []
        self.closed = False

    def submit(self, job: Job) -> Future[Outcome]:
        self.jobs.append(job)
        future: Future[Outcome] = Future()
        error = next((text for recipe, text in self.errors.items() if job.experiment.recipe == recipe), "")
        if error == "lost":
            future.set_exception(RuntimeError("node died\nmore"))
            return future
        if not error:
            if self.data:
                begin_run(RunFolder(Path(job.folder)), job.experiment, self.data)
            pretend(RunFolder(Path(job.folder)), SCORES)
        future.set_result(Outcome(job.name, error, 1.0))
        return future

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def plan_of(*rows: Row, seeds: int = 1, data: Path | str = "rooms"):
    study = Study("Table 0", "a test", lambda _: rows, (Setting("50 %", options(fraction=0.5)),))
    base = lambda recipe: make_experiment(recipe, "tiny", str(data))  # noqa: E731
    offered = ("semantic", "depth") if data == "rooms" else ("semantic",)
    return make_plan("test", study, base, data=str(data), offered=offered, seeds=range(seeds))


UPON = Need((MT,), lambda runs: {"cache": str(runs[0])})


def test_every_trial_once(place) -> None:
    workers = Played(place)
    plan = plan_of(ST, MT, Row("MT again", "mt"), seeds=2)
    assert run_trials(plan.trials, place, workers, preset="tiny") == {}
    assert sorted(job.experiment.recipe for job in workers.jobs) == ["mt", "mt", "st", "st"]


def test_finished_trials_are_skipped(place) -> None:
    plan = plan_of(ST, MT)
    run_trials(plan.trials, place, Played(place), preset="tiny")
    workers = Played(place)
    assert run_trials(plan.trials, place, workers, preset="tiny") == {}
    assert not workers.jobs


def test_a_trial_begins_when_what_it_builds_upon_is_finished(place) -> None:
    plan = plan_of(Row("upon", "mgm", needs=(UPON,)))
    workers = Played(place)
    run_trials(plan.trials, place, workers, preset="tiny")
    assert [job.experiment.recipe for job in workers.jobs] == ["mt", "mgm"]
    found = str(place.trial(plan.trials[0]).path)
    assert workers.jobs[1].experiment.data.cache == found
    assert ["--cache", found] == list(workers.jobs[1].arguments[-2:])


def test_it_waits_while_others_go_on(place) -> None:
    """The trial that is built upon is slow; an unrelated one is not held up, the one that needs it is."""
    plan = plan_of(Row("upon", "mgm", needs=(UPON,)), ST)
    order: list[str] = []
    other_done = threading.Event()

    class Slow(Played):
        pool = ThreadPoolExecutor(3)

        def submit(self, job: Job) -> Future[Outcome]:
            def work() -> Outcome:
                if job.experiment.recipe == "mt":
                    assert other_done.wait(10)
                order.append(job.experiment.recipe)
                if job.experiment.recipe == "st":
                    other_done.set()
                pretend(RunFolder(Path(job.folder)), SCORES)
                return Outcome(job.name)

            return self.pool.submit(work)

    run_trials(plan.trials, place, Slow(place), preset="tiny")
    assert order == ["st", "mt", "mgm"]


def test_failures_are_reported_and_the_others_go_on(place, capsys) -> None:
    plan = plan_of(ST, MT, Row("upon", "mgm", needs=(UPON,)))
    errors = run_trials(plan.trials, place, Played(place, {"mt": "out of memory"}), preset="tiny")
    by_recipe = {trial.experiment.recipe: errors.get(trial.name) for trial in plan.trials}
    assert by_recipe["st"] is None
    assert by_recipe["mt"] == "out of memory"
    assert by_recipe["mgm"].startswith("not started: it depends on mt-50pc-s0-")
    assert "failed: out of memory" in capsys.readouterr().err


def test_a_lost_worker_is_a_failure_like_any_other(place) -> None:
    plan = plan_of(ST, MT)
    errors = run_trials(plan.trials, place, Played(place, {"mt": "lost"}), preset="tiny")
    assert list(errors.values()) == ["worker lost: node died"]


def test_a_worker_that_is_lost_without_a_word_is_named_by_its_kind() -> None:
    future: Future[Outcome] = Future()
    future.set_exception(MemoryError())
    assert _outcome(future, "one").error == "worker lost: MemoryError"


def test_what_cannot_be_resolved_is_reported(place) -> None:
    def refuse(runs):
        raise ConfigError("no generator in it")

    plan = plan_of(Row("upon", "mgm", needs=(Need((MT,), refuse),)))
    assert list(run_trials(plan.trials, place, Played(place), preset="tiny").values()) == ["no generator in it"]


def test_what_is_finished_is_written_when_the_work_is_interrupted(place) -> None:
    plan = plan_of(ST, MT, MGM)
    workers = Played(place)
    begin = workers.submit

    def interrupted(job: Job) -> Future[Outcome]:
        if workers.jobs:
            raise KeyboardInterrupt
        return begin(job)

    workers.submit = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        carry_out_study(plan, place, lambda: workers, data="rooms", preset="tiny")
    assert workers.closed
    assert "| ST " in (place.study("test") / "table.md").read_text()


def test_workers_are_not_started_for_nothing(place) -> None:
    plan = plan_of(ST)
    run_trials(plan.trials, place, Played(place), preset="tiny")

    def never() -> Workers:
        raise AssertionError

    table, errors = carry_out_study(plan, place, never, data="rooms", preset="tiny")
    assert errors == {}
    assert table.lines[0].count == 1


def test_trials_that_another_process_finished_have_not_failed(place) -> None:
    class Shared(Played):
        def submit(self, job: Job) -> Future[Outcome]:
            pretend(RunFolder(Path(job.folder)), SCORES)
            return super().submit(job)

    errors = {"mt": "another process is training there"}
    table, left = carry_out_study(plan_of(MT), place, lambda: Shared(place, errors), data="rooms", preset="tiny")
    assert left == {}
    assert table.lines[0].count == 1


def test_trials_on_data_that_have_changed_since_stand_in_no_table(place, tmp_path) -> None:
    photos = write_own(tmp_path / "photos", 12)
    info = open_source(str(photos)).info

    def carry_out(seeds: int) -> list[Job]:
        workers = Played(place, data=info)
        carry_out_study(plan_of(ST, MT, seeds=seeds, data=photos), place, lambda: workers, data="photos", preset="tiny")
        return workers.jobs

    assert len(carry_out(1)) == 2
    assert len(carry_out(2)) == 2
    old = [trial.name for trial in plan_of(ST, MT, seeds=2, data=photos).trials]
    shutil.rmtree(place.trial(plan_of(ST, MT, data=photos).trials[0]).path)  # trained again after the change
    (photos / "semantic/photo_001.png").write_bytes(palette_png(np.zeros((30, 40), np.uint8)))
    with pytest.raises(RunError, match="have changed .other labels of semantic. since these trials") as found:
        carry_out(3)
    assert f": {', '.join(old[1:])}; delete their folders, or choose another --out; or restore" in str(found.value)
    with pytest.raises(RunError, match="have changed"):
        planned(plan_of(ST, MT, seeds=2, data=photos), place, "photos", 1)
    for trial in plan_of(ST, MT, seeds=2, data=photos).trials:
        shutil.rmtree(place.trial(trial).path, ignore_errors=True)
    assert len(carry_out(2)) == 4


def test_trials_pretrained_on_data_that_have_changed_since_are_refused(place, tmp_path) -> None:
    photos, other = write_own(tmp_path / "photos", 12), write_own(tmp_path / "other", 16)
    info = open_source(str(photos)).info
    row = Row("other data first", "mt", options(pretrain=str(other)))

    def carry_out() -> int:
        workers = Played(place, data=info)
        carry_out_study(plan_of(row, data=photos), place, lambda: workers, data="photos", preset="tiny")
        return len(workers.jobs)

    assert [carry_out(), carry_out()] == [1, 0]
    (other / "semantic/photo_001.png").write_bytes(palette_png(np.zeros((30, 40), np.uint8)))
    with pytest.raises(RunError, match="other images or labels in .*other, which they were pre-trained on"):
        carry_out()


def test_a_table_of_other_settings_is_not_overwritten(place) -> None:
    def carry_out(*rows: Row, seeds: int = 1) -> None:
        carry_out_study(plan_of(*rows, seeds=seeds), place, lambda: Played(place), data="rooms", preset="tiny")

    carry_out(MT)
    carry_out(ST, MT, seeds=2)  # more rows and seeds
    carry_out(MT)  # and fewer
    with pytest.raises(RunError, match=r"holds the table of other settings \(.*\); choose another --out, or delete"):
        carry_out(Row("MT", "mt", options(steps=7)))
    assert place.trial(plan_of(MT).trials[0]).finished
    shutil.rmtree(place.study("test"))
    carry_out(Row("MT", "mt", options(steps=7)))
