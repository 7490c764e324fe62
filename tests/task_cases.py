"""Random predictions and targets of every task, shared by the tests of this folder."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mgm.functional.vectors import encode_normals, unit_vectors
from mgm.tasks import Task, make_tasks
from mgm.tasks.regression import RegressionTask
from mgm.types import IGNORE_INDEX

CLASSES = ("wall", "floor", "chair", "table", "lamp")
OWN = {
    "crop": {"classes": ["soil", "wheat", "maize", "weed", "road"], "colours": {"wheat": [220, 190, 60]}},
    "height": {"range": [-5, 40], "unit": "m", "zoom": "divide"},
    "flow": {"range": [-8, 8], "unit": "px", "channels": 2, "flips": "vector", "loss": "l2"},
    "growth": {"range": [0.1, 300], "loss": "log"},
}
"""Definitions of every kind, as a data set may have them."""


def make_task(name: str) -> Task:
    return make_tasks([name], CLASSES, own=OWN)[name]


def random_target(
    task: Task, seed: int = 0, batch: int = 2, size: tuple[int, int] = (5, 6), invalid: float = 0.3
) -> Tensor:
    """A target of which a share of about ``invalid`` of the pixels has no label."""
    generator = torch.Generator().manual_seed(seed)
    holes = torch.rand(batch, *size, generator=generator) < invalid
    if task.categorical:
        return torch.randint(task.channels, (batch, *size), generator=generator).masked_fill(holes, IGNORE_INDEX)
    values = torch.rand(batch, task.channels, *size, generator=generator)
    if task.name == "depth":
        values = values * 9 + 0.5
    if task.name == "normal":
        values = unit_vectors(values * 2 - 1)
    if task.name in OWN:
        low, high = OWN[task.name]["range"]
        values = low + values * (high - low)
    return values.masked_fill(holes.unsqueeze(1), float("nan"))


def random_prediction(task: Task, seed: int = 1, batch: int = 2, size: tuple[int, int] = (5, 6)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = {"semantic": 3.0, "crop": 3.0, "depth": 9.0}.get(task.name, 1.0)
    return torch.rand(batch, task.channels, *size, generator=generator) * scale


def perfect_prediction(task: Task, target: Tensor) -> Tensor:
    """What the loss and the metrics cannot object to; anything goes where the target is invalid."""
    if task.categorical:
        labels = target.where(task.valid(target), torch.zeros_like(target))
        return F.one_hot(labels, task.channels).movedim(-1, 1).float() * 50
    assert isinstance(task, RegressionTask)
    encoded = task.encode(target)
    return torch.where(task.valid(target).unsqueeze(1), encoded, 0.3)


def flip_prediction(task: Task, prediction: Tensor) -> Tensor:
    """What a network that respects mirror images says about the mirrored image."""
    if task.name == "normal":
        sign = torch.tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1)
        return encode_normals((prediction * 2 - 1).flip(-1) * sign)
    if task.name == "flow":  # whose range has 0 in its middle
        return torch.cat((1 - prediction[:, :1], prediction[:, 1:]), dim=1).flip(-1)
    return prediction.flip(-1)


def valid_values(task: Task, target: Tensor) -> Tensor:
    """``[N, ...]``: targets of the valid pixels."""
    if task.categorical:
        return target[task.valid(target)]
    return target.movedim(1, -1)[task.valid(target)]


def loss_by_loops(task: Task, prediction: Tensor, target: Tensor) -> float:
    """The training loss, pixel by pixel."""
    terms = []
    for b in range(target.shape[0]):
        for i in range(target.shape[-2]):
            for j in range(target.shape[-1]):
                if not task.valid(target)[b, i, j]:
                    continue
                scores = prediction[b, :, i, j].double()
                if task.categorical:
                    chances = scores.exp() / scores.exp().sum()
                    terms.append(-chances[target[b, i, j]].log())
                else:
                    true = target[b, :, i, j].double()
                    if task.name == "growth":
                        true = (true / 0.1).log() / math.log(3000)
                    elif task.name in OWN:
                        low, high = OWN[task.name]["range"]
                        true = (true - low) / (high - low)
                    true = (true + 1) / 2 if task.name == "normal" else true
                    terms.extend((scores - true) ** 2 if task.name == "flow" else (scores - true).abs())
    return float(torch.stack(terms).mean())


def missing(task: Task, batch: int = 2) -> Tensor:
    """Targets without a valid pixel."""
    return torch.full_like(random_target(task)[:1], task.missing_value).repeat_interleave(batch, 0)
