"""Labels by the network's own moving average, for images without any: mean teacher with weak and strong views.

Not from the paper. As in Tarvainen and Valpola (Mean teachers, NeurIPS 2017) the teacher is the average of the network's
weights, and as in Sohn et al. (FixMatch, NeurIPS 2020) it sees an image as it is, is believed where it is sure, and the network
learns its answer for a strongly changed version of the image.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from mgm.tasks.base import Task
from mgm.types import Batch


@torch.no_grad()
def taught(teacher: nn.Module, batch: Batch, tasks: dict[str, Task], confidence: float) -> Batch:
    """The same images with the teacher's values as targets; pixels that it is not sure of are invalid.

    Its prediction is the mean of those for the image and for its mirror image.

    Args:
        teacher: Images ``[B, C, H, W]`` to a prediction per task. It is left in evaluation mode.
        batch: What to label; its own labels are replaced.
        tasks: Task name -> task, the tasks to label.
        confidence: Least `Task.confidence` of a label that counts, in [0, 1].
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
        missing = task.missing(len(batch), value.shape[-2], value.shape[-1]).to(value)
        targets[name] = torch.where(sure if value.ndim == 3 else sure[:, None], value, missing)
    return replace(batch, images=images, targets=targets)
