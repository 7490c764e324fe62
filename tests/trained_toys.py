"""A finished run without any training: random weights in the folder of a run."""

from dataclasses import replace
from pathlib import Path

import torch

from fake_runs import begin_run
from mgm.config import Experiment
from mgm.method.networks import build_model
from mgm.method.recipes import make_experiment
from mgm.runs.folder import RunFolder, write_json
from mgm.tasks import make_tasks
from mgm.training.checkpoint import save_checkpoint
from mgm.types import DatasetInfo

CLASSES = tuple(f"class {index}" for index in range(11))
INFO = DatasetInfo("toys", ("semantic", "depth", "normal"), CLASSES, ("a", "b"), notes={"depth": "made up"})


def toy_settings(architecture: str = "multi_task", *, seed: int = 0, info: DatasetInfo = INFO) -> Experiment:
    experiment = make_experiment("mt", "tiny")
    groups = info.tasks if architecture == "task_groups" else ()  # a network of its own for every task
    return replace(
        experiment,
        seed=seed,
        data=replace(experiment.data, data="toys", tasks=info.tasks),
        model=replace(experiment.model, architecture=architecture, groups=groups),
    )


def write_run(folder: Path, experiment: Experiment | None = None, info: DatasetInfo = INFO) -> Path:
    """The folder of a run that has weights, and scores on the test set."""
    experiment = experiment or toy_settings(info=info)
    run = RunFolder(folder)
    begin_run(run, experiment, info)
    tasks = make_tasks(info.tasks, info.classes)
    model = build_model(tasks, experiment.model, experiment.seed)
    random = torch.Generator().manual_seed(experiment.seed)
    with torch.no_grad():  # as after training: running statistics, and predictions that differ from pixel to pixel
        for name, value in model.state_dict().items():
            if name.endswith("running_mean"):
                value.copy_(torch.randn(value.shape, generator=random) * 0.1)
            elif name.endswith("policy.logits"):
                value.copy_(torch.randn(value.shape, generator=random))
    save_checkpoint(run.checkpoints / "best.pt", {"model": model.state_dict(), "step": 6})
    scores = {
        name: {metric: 0.1 * number + 0.01 * experiment.seed for number, metric in enumerate(task.metrics_info, 1)}
        for name, task in tasks.items()
    }
    worse = {name: {metric: value + 0.5 for metric, value in values.items()} for name, values in scores.items()}
    result = {
        "recipe": experiment.recipe,
        "data": info.name,
        "fraction": 1.0,
        "seed": experiment.seed,
        "image_size": experiment.data.image_size,
        "num_labelled": 56,
        "steps": experiment.training.steps,
        "commit": "abc1234",
        "versions": {"mgm": "0.1.0"},
        "validation": scores,
        "test": scores,
        "constant": worse,
    }
    write_json(run.result, result)
    return folder
