"""A run that is killed before or after any of its writes, and continued, ends bitwise as one that never stopped.

A long campaign: ``MGM_KILLS=100 pytest -m slow tests/runs/test_kills.py`` (100 kills in each mode of the optimisers).
"""

import json
import os
import random
import shutil
import signal
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mgm.config import Experiment
from mgm.method.recipes import make_experiment
from mgm.runs import train as train_module
from mgm.runs.folder import RunFolder
from mgm.runs.train import train
from mgm.training.checkpoint import load_checkpoint
from mgm.training.metrics_log import MetricsLog
from toys import assert_same, with_settings

KILLS = int(os.environ.get("MGM_KILLS", "2"))
CHANGING = {"seconds", "peak_memory_mb", "command", "commit"}


def settings(mode: str) -> Experiment:
    steps = {"steps": 4, "generator_steps": 2, "validate_every": 2, "checkpoint_every": 1}
    data = {"num_images": 24, "tasks": ("semantic", "depth")}
    return with_settings(make_experiment("mgm", "tiny"), optimizer_step=mode, **steps, **data)


def in_child(work: Callable[[], object]) -> int:
    """Do something in a process of its own, which inherits what is imported; its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def counted(work: Callable[[], object], kill_at: int, count: Path) -> None:
    """Do something, with a kill at one of the moments before and after a write; their number goes to a file."""
    moments = 0

    def moment() -> None:
        nonlocal moments
        if moments == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        moments += 1

    def around(owner: object, name: str) -> None:
        original = getattr(owner, name)

        def write(*arguments: object, **options: object) -> object:
            moment()
            result = original(*arguments, **options)
            moment()
            return result

        setattr(owner, name, write)  # in this process alone, which ends here

    around(Path, "replace")  # the last step of every file that is written as a whole
    around(MetricsLog, "write")
    around(RunFolder, "create")
    around(train_module, "finish")
    work()
    count.write_text(str(moments))


def begin_or_go_on(experiment: Experiment, out: Path) -> None:
    """What a user does after a kill: the first command again, or --resume where it has left a run."""
    folder = RunFolder(out)
    if folder.exists:
        train(folder.experiment(), out, resume=True)
    else:
        train(experiment, out)


def assert_same_run(whole: Path, killed: Path) -> None:
    for run in (".", "baseline"):
        for file in sorted((whole / run / "checkpoints").iterdir()):
            assert_same(load_checkpoint(file), load_checkpoint(killed / run / "checkpoints" / file.name))
        results = [json.loads((place / run / "result.json").read_text()) for place in (whole, killed)]
        assert_same(*({key: value for key, value in result.items() if key not in CHANGING} for result in results))
        for name in ("metrics.jsonl", "metrics.csv", "config.yaml", "dataset.json"):
            assert (whole / run / name).read_bytes() == (killed / run / name).read_bytes(), name
    files = [{str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()} for place in (whole, killed)]
    assert files[0] == files[1]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("mode", ["separate", "combined"])
def test_a_kill_at_any_write_changes_nothing(tmp_path, mode):
    experiment, whole, count = settings(mode), tmp_path / "whole", tmp_path / "count"
    assert in_child(lambda: counted(lambda: train(experiment, whole), -1, count)) == 0
    moments = int(count.read_text())
    assert moments > 40
    dice = random.Random(mode)

    def check(out: Path, *kills: int) -> None:
        for kill_at in kills:  # the second one may lie behind the end
            code = in_child(partial(counted, partial(begin_or_go_on, experiment, out), kill_at, count))
            assert code in (0, -signal.SIGKILL)
        assert in_child(lambda: begin_or_go_on(experiment, out)) == 0, f"killed at {kills} of {moments}"
        assert_same_run(whole, out)
        shutil.rmtree(out)
        print(f"killed at {kills} of {moments}: the same")

    for number in range(KILLS):  # one of each stretch of the run
        check(tmp_path / str(number), int((number + dice.random()) * moments / KILLS), dice.randrange(moments))
