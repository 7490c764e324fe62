"""TensorBoard, Weights & Biases and MLflow: the figures of a training, whatever becomes of it or of them.

The latter two are stand-ins here, which keep what they are told.
"""

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from mgm.errors import ConfigError
from mgm.method.recipes import make_experiment
from mgm.runs.folder import RunFolder, write_json
from mgm.runs.loggers import LOGGERS, log_result, make_loggers
from mgm.runs.settings import to_yaml
from mgm.training.callbacks import Watchers
from toys import toy_experiment, toy_trainer

TRAINING = {"steps": 8, "validate_every": 2, "checkpoint_every": 8}
RESULT = {"recipe": "mgm", "data": "rooms", "num_labelled": 4, "steps": 8, "test": {"depth": {"abs_error_m": 0.5}}}
Curves = dict[str, list[tuple[int, float]]]


@pytest.fixture
def wandb(monkeypatch):
    """Runs by id: names, settings, curves, summary, pictures."""
    runs: dict[str, Any] = {}

    def init(**given):
        run = runs.setdefault(given["id"], SimpleNamespace(curves={}, summary={}, pictures=[], begun=0, ended=0))
        run.begun += 1
        run.name, run.config, run.resume = given["name"], given["config"], given["resume"]

        def log(values):
            step = values.pop("step")
            for name, value in values.items():
                if name.startswith("pictures/"):
                    run.pictures.append((step, name))
                else:
                    run.curves.setdefault(name, []).append((step, value))

        def finish():
            run.ended += 1

        return SimpleNamespace(log=log, finish=finish, summary=run.summary, define_metric=lambda *_, **__: None)

    module: Any = ModuleType("wandb")
    module.init, module.Settings, module.Image = init, dict, str
    monkeypatch.setitem(sys.modules, "wandb", module)
    return runs


@pytest.fixture
def mlflow(monkeypatch):
    """Runs by id: names, parameters, curves, files."""
    runs: dict[str, Any] = {}

    class MlflowClient:
        def get_experiment_by_name(self, name):
            return SimpleNamespace(experiment_id=name) if runs else None

        def create_experiment(self, name):
            return name

        def create_run(self, experiment, run_name):
            runs[str(len(runs))] = SimpleNamespace(name=run_name, curves={}, config={}, files=[], status="RUNNING")
            return SimpleNamespace(info=SimpleNamespace(run_id=str(len(runs) - 1)))

        def update_run(self, run, status):
            runs[run].status = status

        def log_param(self, run, key, value):
            runs[run].config[key] = value

        def log_batch(self, run, metrics):
            for name, value, _, step in metrics:
                runs[run].curves.setdefault(name, []).append((step, value))

        def log_artifact(self, run, path, place=""):
            runs[run].files.append((path.rpartition("/")[2], place))

        def set_terminated(self, run):
            runs[run].status = "FINISHED"

    module, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    module.MlflowClient = MlflowClient  # type: ignore[attr-defined]
    entities.Metric = lambda *values: values  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    return runs


def begun(path, log, recipe="mgm"):
    """A folder as that of a run that was begun, and a trainer that logs."""
    experiment = toy_experiment(recipe, training=TRAINING | {"log": log})
    path.mkdir(exist_ok=True)
    (path / "config.yaml").write_text(to_yaml(experiment))
    trainer = toy_trainer(experiment, path / "checkpoints")
    trainer.progress = Watchers(make_loggers(RunFolder(path), log, trainer.stages))
    return trainer


def carry_out(trainer):
    trainer.restore()
    with trainer.progress:
        trainer.run()


def die(trainer, after):
    step, calls = trainer.train_step, iter(range(100))

    def dying(stage, index):
        if next(calls) == after:
            raise KeyboardInterrupt
        return step(stage, index)

    trainer.train_step = dying
    with pytest.raises(KeyboardInterrupt):
        carry_out(trainer)


def finished(path):
    """What a run leaves at its end."""
    write_json(path / "result.json", RESULT)
    (path / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(path / "pictures/curves.png")
    log_result(RunFolder(path))


def tensorboard_curves(path) -> Curves:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events: Any = EventAccumulator(str(path / "tensorboard")).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_goes_on_where_a_run_is_continued(tmp_path):
    pytest.importorskip("tensorboard")
    carry_out(begun(tmp_path / "whole", ("tensorboard",)))
    die(begun(tmp_path / "killed", ("tensorboard",)), 9)
    carry_out(begun(tmp_path / "killed", ("tensorboard",)))
    # what came after the last checkpoint was written twice; the later file counts
    expected = tensorboard_curves(tmp_path / "whole")
    assert tensorboard_curves(tmp_path / "killed") == expected
    assert [step for step, _ in expected["loss/task"]] == [2, 4, 9, 11]  # three steps of the generator between
    assert [step for step, _ in expected["loss/discriminator"]] == [7, 9, 11]
    assert {"score", "validation/depth/abs_error_m"} <= expected.keys()
    assert "loss/score" not in expected
    finished(tmp_path / "killed")
    assert tensorboard_curves(tmp_path / "killed") == expected | {"test/depth/abs_error_m": [(11, 0.5)]}


def test_the_same_run_of_wandb_is_continued(tmp_path, wandb):
    die(begun(tmp_path / "run", ("wandb",)), 9)
    (run,) = wandb.values()
    assert run.ended == 1
    carry_out(begun(tmp_path / "run", ("wandb",)))
    finished(tmp_path / "run")
    assert len(wandb) == 1
    assert (run.name, run.begun, run.ended, run.resume) == ("run", 3, 3, "allow")
    assert run.config["training"]["steps"] == 8
    assert dict(run.curves["loss/task"]).keys() == {2, 4, 9, 11}
    assert dict(run.curves["validation/depth/abs_error_m"]) == dict.fromkeys((2, 4, 9, 11), 1.0)
    assert run.summary == {"test/depth/abs_error_m": 0.5}
    assert run.pictures == [(11, "pictures/curves")]


def test_the_same_run_of_mlflow_is_continued(tmp_path, mlflow):
    die(begun(tmp_path / "run", ("mlflow",)), 9)
    carry_out(begun(tmp_path / "run", ("mlflow",)))
    finished(tmp_path / "run")
    run = mlflow["0"]
    assert list(mlflow) == ["0"]
    assert (run.name, run.status) == ("run", "FINISHED")
    assert run.config["training/steps"] == 8
    assert dict(run.curves["loss/task"]).keys() == {2, 4, 9, 11}
    assert run.curves["test/depth/abs_error_m"] == [(11, 0.5)]
    assert run.files == [("curves.png", "pictures"), ("result.json", "")]


@pytest.mark.parametrize("call", ["open", "scalars", "close"])
def test_one_that_fails_is_given_up_and_the_others_and_the_training_go_on(tmp_path, wandb, mlflow, call, capsys):
    trainer = begun(tmp_path / "run", ("wandb", "mlflow"), "mt")

    def fail(*_):
        raise ConnectionError("no network\nand more")

    progress: Any = trainer.progress
    setattr(progress.members[0].logger, call, fail)
    carry_out(trainer)
    assert trainer.steps_done == 8
    assert capsys.readouterr().err.splitlines() == ["warning: wandb logs no more of this run (no network)"]
    assert len(mlflow["0"].curves["loss/task"]) == 4


@pytest.mark.parametrize("name", LOGGERS)
def test_one_that_is_missing_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, LOGGERS[name].module, None)
    with pytest.raises(ConfigError, match=rf"pip install 'mgm\[{name}\]'"):
        make_loggers(RunFolder(tmp_path), (name,), ())


def test_a_baseline_is_called_by_its_run_too(tmp_path, mlflow):
    for path in (tmp_path / "run/baseline", tmp_path / "run"):
        path.mkdir(parents=True, exist_ok=True)
        (path / "config.yaml").write_text(to_yaml(replace(make_experiment("mt", "tiny"))))
        (logged,) = make_loggers(RunFolder(path), ("mlflow",), ())
        logged.logger.open(0)
    assert [run.name for run in mlflow.values()] == ["run/baseline", "run"]
