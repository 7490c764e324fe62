"""What the page shows of one photograph: predictions at its size, what lies under the cursor, shares of classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mgm.demo.photographs import Photograph
from mgm.errors import ConfigError
from mgm.inference.fit import make_fit
from mgm.inference.model import TrainedModel
from mgm.report.legends import ERROR_ENDS, classes_seen, has_classes
from mgm.report.tiles import coloured, error_map, tile_size
from mgm.tasks.base import Task
from mgm.tasks.normals import SurfaceNormals
from mgm.tasks.regression import RegressionTask

LEAST_TILE = 480
"""Small pictures are enlarged by a whole factor to at least this longer side, so that their pixels stay sharp."""
_DIRECTIONS = (("to the left", "to the right"), ("up", "down"), ("towards the viewer", "away"))
"""Per axis of the camera, what faces its negative and its positive end."""


@dataclass(frozen=True)
class Seen:
    """A photograph and what one run says about it."""

    photograph: Photograph
    run: str
    """Title of the run."""
    values: dict[str, Tensor]
    """Task -> value as in `Task.decode`, without batch dimension, at the photograph's size."""
    enlarged: dict[str, Tensor] = field(default_factory=dict)
    """The same at the size of a tile, where the photograph is smaller than that: for pictures alone."""

    def shown(self, task: str) -> Tensor:
        """The value that pictures are painted from."""
        return self.enlarged.get(task, self.values[task])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.photograph.pixels.shape[0], self.photograph.pixels.shape[1]


def look(model: TrainedModel, photograph: Photograph, run: str = "") -> Seen:
    """Predict all tasks; class indices are kept in 8 bits, since sessions keep what they have seen."""
    fit = make_fit("resize")
    size = photograph.pixels.shape[0], photograph.pixels.shape[1]
    tile = tile_size(*size, LEAST_TILE)
    windows = model.predict_windows(fit.windows(photograph.pixels, model.image_size))
    values, enlarged = (
        {name: _compact(value) for name, value in model.finish(windows, fit, wanted).items()} if wanted else {}
        for wanted in (size, tile if tile > size else None)
    )
    return Seen(photograph, run, values, enlarged)


def _compact(value: Tensor) -> Tensor:
    return value.to(torch.uint8) if value.dtype == torch.int64 else value.float()


def picture(task: Task, value: Tensor, least: int = LEAST_TILE) -> np.ndarray:
    """A value (without batch dimension) in the task's colours at the size of a tile: ``[h, w, 3]`` uint8."""
    height, width = value.shape[-2:]
    return coloured(task, value, tile_size(height, width, least))


def class_shares(task: Task, value: Tensor) -> list[tuple[int, float]]:
    """Classes that occur in a map ``[H, W]`` and their share of its pixels, the largest first; empty without classes."""
    value = value.long()
    return [(index, (value == index).float().mean().item()) for index in classes_seen(task, [value])]


def value_range(value: Tensor) -> tuple[float, float, float] | None:
    """Least, median and greatest of the finite entries; None without any."""
    known = value[value.isfinite()]
    return (known.min().item(), known.median().item(), known.max().item()) if known.numel() else None


def read_pixel(tasks: Mapping[str, Task], seen: Seen, x: int, y: int) -> str:
    """One line about a pixel: place, then class, metres, direction, ... and, for labelled examples, the truth in brackets.

    Args:
        tasks: Tasks of the run.
        seen: What was predicted.
        x: Column, 0 .. W - 1.
        y: Row, 0 .. H - 1.

    Raises:
        ConfigError: If the place lies outside the photograph.
    """
    height, width = seen.size
    if not (0 <= x < width and 0 <= y < height):
        raise ConfigError(
            f"pixel {x}, {y} lies outside the photograph; columns go from 0 to {width - 1} and rows from 0 to {height - 1}"
        )
    parts = [f"column {x}, row {y}"]
    for name, task in tasks.items():
        text = describe(task, seen.values[name][..., y, x])
        if name in seen.photograph.truth:
            text += f" (truth: {describe(task, seen.photograph.truth[name][..., y, x], short=True)})"
        parts.append(text)
    return " · ".join(parts)


def describe(task: Task, value: Tensor, *, short: bool = False) -> str:
    """The value of one pixel in words: ``[]`` class index, or ``[C]``; ``short`` leaves the task's name out."""
    if has_classes(task):
        index = int(value)
        return task.classes[index] if index < len(task.classes) else "no class"
    if not value.isfinite().all():
        return "unknown" if short else f"{task.title.lower()} unknown"
    if isinstance(task, SurfaceNormals):
        return f"facing {facing(value)}" if short else f"normal {_vector(value)}, facing {facing(value)}"
    number = _vector(value) if len(value) > 1 else f"{value.item():.2f} {task.unit}".rstrip()
    return number if short else f"{task.title.lower()} {number}"


def facing(normal: Tensor) -> str:
    """Which way a surface mostly faces: a direction of the camera's frame (x right, y down, z forward)."""
    axis = int(normal.abs().argmax())
    return _DIRECTIONS[axis][int(normal[axis] > 0)]


def _vector(value: Tensor) -> str:
    return "(" + ", ".join(f"{number:.2f}".replace("-", "−") for number in value.tolist()) + ")"


@dataclass(frozen=True)
class Difference:
    """How two predictions of a task for the same photograph differ."""

    picture: np.ndarray
    """``[h, w, 3]`` uint8, in the colours of error maps."""
    sentence: str


def difference(task: Task, first: Tensor, second: Tensor) -> Difference:
    """Compare two values of a task, without batch dimension.

    Args:
        task: Of both.
        first: ``[H, W]`` class indices or ``[C, H, W]``.
        second: The same for the other run.
    """
    first, second = (value.long() if has_classes(task) else value for value in (first, second))
    height, width = first.shape[-2:]
    shown = error_map(task, first, second, tile_size(height, width, LEAST_TILE))
    if has_classes(task):
        share = (first != second).float().mean().item()
        return Difference(shown, f"dark red: another class, {share:.0%} of the pixels".replace("%", " %"))
    assert isinstance(task, RegressionTask)
    # how the task itself measures a prediction against a truth; a value, encoded, is the prediction that says so
    metrics = task.metrics()
    metrics.update(task.encode(first[None]), second[None])
    apart = metrics.compute()[task.primary]
    unit = task.metrics_info[task.primary].unit
    amount = f"{apart:.1f}°" if unit == "°" else f"{apart:.2f} {unit}".rstrip()
    if not np.isfinite(apart):
        return Difference(shown, "nothing to compare")
    end = f"; dark red: {ERROR_ENDS[task.name]} or more" if task.name in ERROR_ENDS else ""
    return Difference(shown, f"{amount} apart on average{end}")
