"""What the command line does, as functions; what only training needs is imported when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mgm.config import Experiment
from mgm.inference.model import TrainedModel
from mgm.training.evaluate import Scores


def train(
    experiment: Experiment, out: str | Path, *, resume: bool = False, baseline: bool = True, minutes: float = 0.0
) -> dict[str, Any]:
    """Train, evaluate, and write result and pictures to a folder; see `mgm.runs.train.train`."""
    from mgm.report.training_figure import TrainingFigure
    from mgm.runs import train as runs
    from mgm.runs.devices import is_first_process, part

    result = runs.train(experiment, Path(out), resume=resume, baseline=baseline, minutes=minutes, watch=TrainingFigure)
    part()
    if is_first_process():
        from mgm.report.run_summary import draw_run  # matplotlib takes a while to import

        draw_run(Path(out))
    return result


def load(run: str | Path, device: str = "auto") -> TrainedModel:
    """The trained network of a run or a model folder, ready to predict; see `TrainedModel`."""
    return TrainedModel.load(run, device)


def evaluate(
    run: str | Path, *, data: str = "", split: str = "", flip_average: bool = False, device: str = "auto"
) -> Scores:
    """Task -> metric -> value of a run; `mgm.inference.evaluate.evaluate_run` also tells classes apart and calibrates."""
    from mgm.inference import evaluate as trained

    return trained.evaluate_run(Path(run), data=data, split=split, flip_average=flip_average, device=device).scores


def generate(
    run: str | Path, num: int, *, stage: str = "", seed: int = 0, device: str = "auto"
) -> Mapping[str, Tensor]:
    """Scene -> ``[num, 3, S, S]`` images in (-1, 1) from a run's generator."""
    from mgm.inference import evaluate as trained

    return trained.generate(Path(run), num, stage=stage, seed=seed, device=device)
