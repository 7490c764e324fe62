"""Random predictions and targets of every task, shared by the tests of this folder."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mgm.functional.vectors import encode_normals, unit_vectors
from mgm.tasks import Task, make_tasks
from mgm.types import IGNORE_INDEX

CLASSES = ("wall", "floor", "chair", "table", "lamp")


def make_task(name: str) -> Task:
    return make_tasks([name], CLASSES)[name]


def random_target(
    task: Task, seed: int = 0, batch: int = 2, size: tuple[int, int] = (5, 6), invalid: float = 0.3
) -> Tensor:
    """A target of which a share of about ``invalid`` of the pixels has no label."""
    generator = torch.Generator().manual_seed(seed)
    holes = torch.rand(batch, *size, generator=generator) < invalid
    if task.name == "semantic":
        return torch.randint(task.channels, (batch, *size), generator=generator).masked_fill(holes, IGNORE_INDEX)
    values = torch.rand(batch, task.channels, *size, generator=generator)
    if task.name == "depth":
        values = values * 9 + 0.5
    if task.name == "normal":
        values = unit_vectors(values * 2 - 1)
    return values.masked_fill(holes.unsqueeze(1), float("nan"))


def random_prediction(task: Task, seed: int = 1, batch: int = 2, size: tuple[int, int] = (5, 6)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = {"semantic": 3.0, "depth": 9.0}.get(task.name, 1.0)
    return torch.rand(batch, task.channels, *size, generator=generator) * scale


def perfect_prediction(task: Task, target: Tensor) -> Tensor:
    """What the loss and the metrics cannot object to; anything goes where the target is invalid."""
    if task.name == "semantic":
        labels = target.where(task.valid(target), torch.zeros_like(target))
        return F.one_hot(labels, task.channels).movedim(-1, 1).float() * 50
    encoded = encode_normals(target) if task.name == "normal" else target
    return torch.where(task.valid(target).unsqueeze(1), encoded, 0.3)


def flip_prediction(task: Task, prediction: Tensor) -> Tensor:
    """What a network that respects mirror images says about the mirrored image."""
    if task.name == "normal":
        sign = torch.tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1)
        return encode_normals((prediction * 2 - 1).flip(-1) * sign)
    return prediction.flip(-1)


def valid_values(task: Task, target: Tensor) -> Tensor:
    """``[N, ...]``: targets of the valid pixels."""
    if task.name == "semantic":
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
                if task.name == "semantic":
                    chances = scores.exp() / scores.exp().sum()
                    terms.append(-chances[target[b, i, j]].log())
                else:
                    true = target[b, :, i, j].double()
                    true = (true + 1) / 2 if task.name == "normal" else true
                    terms.extend((scores - true).abs())
    return float(torch.stack(terms).mean())
