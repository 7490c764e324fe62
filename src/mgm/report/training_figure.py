"""A figure of training progress: predictions for the same validation images, updated at every validation."""

from __future__ import annotations

import time
from functools import cached_property

import torch
from torch import nn

from mgm.functional.distributed import alone
from mgm.functional.levels import shown_as_rgb
from mgm.report.comparison import Comparison, scene_name
from mgm.report.figures.images import spread_evenly
from mgm.report.figures.predictions import prediction_figure
from mgm.runs.data import ExperimentData
from mgm.runs.folder import RunFolder
from mgm.training.evaluate import Scores
from mgm.training.trainer import Progress
from mgm.types import Batch

SHOWN_IMAGES = 3
SHARE = 0.05
"""Largest share of the training time that drawing may take."""


class TrainingFigure(Progress):
    """Callback that draws ``pictures/training.png``: validation images, ground truth, and M's current predictions and errors.

    The figure is drawn at the first validation, and at later ones as long as drawing takes at most `SHARE` of the time.

    Args:
        folder: Folder of the run.
        data: Data of the run.
    """

    def __init__(self, folder: RunFolder, data: ExperimentData) -> None:
        self.path = folder.pictures / "training.png"
        self.data = data
        self._stage = ""
        self._next = 0.0

    def stage(self, name: str, done: int, total: int, best: float) -> None:
        """Remember the stage for the title of the figure."""
        self._stage = name

    def validated(self, done: int, scores: Scores, score: float, model: nn.Module) -> None:
        """Redraw the figure, unless it was drawn too recently."""
        begun = time.monotonic()
        if begun < self._next or not len(self.data.splits.validation):
            return
        with alone():  # the first process draws, the others do not wait
            self._draw(done, model)
        now = time.monotonic()
        self._next = now + (now - begun) / SHARE

    def _draw(self, done: int, model: nn.Module) -> None:
        batch = self._images
        training = model.training
        model.eval()
        with torch.no_grad():
            predictions = {name: values.float().cpu() for name, values in model(batch.images).items()}
        model.train(training)
        scenes = [scene_name(row, self.data.info.scenes) for row in batch.scene]
        images = shown_as_rgb(batch.images.cpu(), self.data.info.image)
        shown = {f"{self._stage} {done}": predictions}
        prediction_figure(self.path, Comparison(images, batch.targets, shown, self.data.tasks, scenes))

    @cached_property
    def _images(self) -> Batch:
        indices = self.data.splits.validation
        return self.data.reader.batch(indices[spread_evenly(len(indices), SHOWN_IMAGES)])
