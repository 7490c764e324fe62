"""Mean teacher: pseudo-labels for unlabelled images from the moving average of the network.

Not from the paper. As in Tarvainen and Valpola (Mean teachers, NeurIPS 2017), the teacher is the moving average of the network's
weights. As in Sohn et al. (FixMatch, NeurIPS 2020), it predicts on the unchanged image, only confident pixels are kept, and the
network learns them on a strongly augmented version of the image.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from mgm.tasks.base import Task
from mgm.types import Batch


@torch.no_grad()
def taught(teacher: nn.Module, batch: Batch, tasks: dict[str, Task], confidence: float) -> Batch:
    """The batch with the teacher's predictions as targets; pixels below the confidence threshold are invalid.

    Predictions are averaged over the image and its mirror image.

    Args:
        teacher: Maps images ``[B, C, H, W]`` to a prediction per task; left in evaluation mode.
        batch: Images to label; their own targets are replaced.
        tasks: Task name -> task, the tasks to label.
        confidence: Minimum `Task.confidence` of a valid pixel, in [0, 1].
    """
    teacher.eval()
    images = batch.images.detach()
    direct, mirrored = teacher(images), teacher(images.flip(-1))
    targets: dict[str, torch.Tensor] = {}
    for name, task in tasks.items():
        first, second = direct[name].float(), task.mirror(mirrored[name].float())
        mean = (first + second) / 2
        sure = task.confidence(first if not task.categorical else mean, second) >= confidence
        value = task.decode(mean)
        targets[name] = torch.where(sure if value.ndim == 3 else sure[:, None], value, task.missing_value)
    return replace(batch, images=images, targets=targets)
