"""Modules of a user's own on the command line."""

import json
import os
import sys
from types import SimpleNamespace

import pytest

import extended
from documents import DOCS, python_of
from fake_runs import INFO, write_run
from mgm.cli.main import without_plugins
from mgm.errors import ConfigError
from mgm.plugins import VARIABLE, load_plugins
from mgm.tasks import TASKS


@pytest.fixture(autouse=True)
def tidy(monkeypatch):
    """What a plugin enters, imports and leaves in the environment is taken out again."""
    modules = set(sys.modules)
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    with extended.restored():
        yield
    for name in set(sys.modules) - modules:
        if name.startswith("own_"):
            del sys.modules[name]


@pytest.fixture
def plugin(tmp_path):
    """The task of docs/extending.md, without its training."""
    text = next(block.text for block in python_of(DOCS / "extending.md") if block.heading == "A task")
    file = tmp_path / "own_tasks.py"
    file.write_text(text.partition("experiment = mgm.make_experiment")[0])
    return file


def test_the_option_may_stand_anywhere():
    assert without_plugins(["--plugin", "a.py", "train", "mgm", "--plugin=b.py", "--seed", "1"]) == (
        ["train", "mgm", "--seed", "1"], ["a.py", "b.py"]
    )  # fmt: skip
    with pytest.raises(ConfigError, match="--plugin needs a file"):
        without_plugins(["train", "--plugin"])


def test_a_plugin_is_loaded_once_and_by_the_processes_that_follow(plugin, monkeypatch):
    monkeypatch.chdir(plugin.parent)
    load_plugins(["own_tasks.py"])
    assert os.environ[VARIABLE] == str(plugin)
    first = TASKS["inverse_depth"]
    load_plugins()
    assert TASKS["inverse_depth"] is first


def test_installed_packages_name_theirs(tmp_path, monkeypatch):
    (tmp_path / "own_package.py").write_text("from mgm.tasks import TASKS\nTASKS['own'] = TASKS['depth']\n")
    sys.path.append(str(tmp_path))
    found = [SimpleNamespace(value="own_package")]
    monkeypatch.setattr("mgm.plugins.entry_points", lambda group: found if group == "mgm.plugins" else [])
    load_plugins()
    assert "own" in TASKS


@pytest.mark.parametrize("text, says", [(None, "FileNotFoundError"), ("1 / 0", "ZeroDivisionError: division by zero")])
def test_what_cannot_be_imported_is_one_clear_error(mgm, tmp_path, text, says):
    if text:
        (tmp_path / "own_broken.py").write_text(text)
    err = mgm.refused("runs", tmp_path, "--plugin", tmp_path / "own_broken.py")
    assert "own_broken.py cannot be imported" in err
    assert says in err


def test_runs_of_a_task_of_ones_own_are_listed_and_used(mgm, plugin, tmp_path):
    from dataclasses import replace

    info = replace(INFO, tasks=("semantic", "inverse_depth"), classes=("wall", "floor"))
    load_plugins([str(plugin)])
    run = write_run(tmp_path / "runs/own", info=info, data="nowhere")
    (tmp_path / "runs/own/metrics.jsonl").write_text(
        '{"stage": "multi_task", "step": 3, "losses": {"task": 1.0}, "score": 0.1, '
        '"validation": {"semantic": {"miou": 0.2}, "inverse_depth": {"l1": 0.5}}}\n'
    )
    (listed,) = json.loads(mgm("runs", tmp_path / "runs", "--json")[1])
    assert (listed["state"], listed["scores"]) == ("stopped", {"semantic": 0.2, "inverse_depth": 0.5})
    code, out, err = mgm("report", run)
    assert code == 0, err
    assert "Inverse depth" in (run / "report.html").read_text()
    del TASKS["inverse_depth"]
    os.environ[VARIABLE] = ""
    code, out, _ = mgm("runs", tmp_path / "runs")
    assert code == 0
    assert "damaged" not in out
    assert "inverse_depth: no task that is loaded (--plugin FILE.py)" in out
    needed = "To use a task of your own, load it with --plugin FILE.py"
    assert mgm("report", run)[0] == 0
    assert needed in (run / "report.html").read_text()
    assert needed in mgm.refused("predict", run, "a.png")
