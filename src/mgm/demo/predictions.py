"""Contents of the page for one image: predictions, confidence, values under the cursor, point cloud, files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mgm.data.files import as_file_name
from mgm.data.geometry import Intrinsics
from mgm.demo.html import Tile, html
from mgm.demo.photographs import Photograph
from mgm.demo.runs import Served, ServedRun
from mgm.errors import ConfigError, choose
from mgm.inference.model import TrainedModel
from mgm.report.figures.images import error_pixels, fitted_size, resized, value_pixels
from mgm.report.point_cloud import plot_points, thinned
from mgm.report.prediction_files import OUTPUTS, Predicted, choose_files, confidence_pixels, write_prediction
from mgm.tasks.base import Task

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

TILE_SIDE = 512
"""Longer side of an image on the page, in pixels."""
PHOTOGRAPH = "photograph"
"""Choice of colouring points by the input image."""
LEAST_VIEW_DEG, USUAL_VIEW_DEG, LARGEST_VIEW_DEG = 20, 60, 120
"""Range and default of the horizontal field of view in degrees; most photographs have about 60."""
DOWNLOADS = ("png", "npy", "depth16", "ply")
"""Keys of `mgm.report.prediction_files.OUTPUTS` that a visitor may download, if the run predicts the tasks they need."""


@dataclass(frozen=True)
class Seen:
    """An image and the predictions of one run for it. Class indices are uint8 to save memory, since sessions keep them."""

    photograph: Photograph
    run: str
    """Title of the run."""
    values: dict[str, Tensor]
    """Task -> value as in `Task.decode`, without batch dimension, at the size of the image."""
    tiles: dict[str, Tensor]
    """The same values at the size of tiles."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.photograph.pixels.shape[0], self.photograph.pixels.shape[1]

    def shown(self, name: str) -> list[Tensor]:
        """The values of a task that are drawn: the prediction and, for a labelled example, the ground truth."""
        return [self.values[name], *([self.photograph.truth[name]] if name in self.photograph.truth else [])]


def look(model: TrainedModel, photograph: Photograph, run: str = "") -> Seen:
    """Predict all tasks for an image. Ground truth of tasks that the run defines differently is dropped."""
    known = photograph.tasks
    other = [name for name, task in model.tasks.items() if name in known and not task.comparable(known[name])]
    if other:
        truth = {name: value for name, value in photograph.truth.items() if name not in other}
        photograph = replace(photograph, truth=truth)
    fit = model.make_fit()
    size = photograph.pixels.shape[0], photograph.pixels.shape[1]
    windows = model.predict_windows(fit.windows(photograph.pixels, model.image_size))
    values, tiles = (
        {name: value.to(torch.uint8) if value.dtype == torch.int64 else value.float() for name, value in found.items()}
        for found in (model.finish(windows, fit, wanted) for wanted in (size, fitted_size(*size, TILE_SIDE)))
    )
    return Seen(photograph, run, values, tiles)


def predictions_html(tasks: Mapping[str, Task], seen: Seen) -> str:
    """The image and the predictions of all tasks side by side; for labelled examples the ground truth in a second row."""
    photograph = _tile_pixels(seen)
    first = Tile("Image", photograph, "the input image", over=False)
    spans = {name: task.span(seen.shown(name)) for name, task in tasks.items()}
    rows = [first]
    for name, task in tasks.items():
        rows.append(
            Tile(task.title, value_pixels(task, seen.tiles[name], spans[name]), f"predicted {task.title.lower()}")
        )
    shown = html("tiles", rows, photograph, seen.size)
    truth = [
        Tile(tasks[name].title, _truth(tasks[name], seen, spans[name]), f"true {tasks[name].title.lower()}")
        for name in tasks
        if name in seen.photograph.truth
    ]
    if truth:
        shown += html("tiles", [first, *truth], photograph, seen.size, title="Ground truth of this example")
    return shown


def legends_html(tasks: Mapping[str, Task], seen: Seen) -> str:
    """Legends of all tasks, with the share of each class and the range of the values."""
    return html(
        "legends", [task.legend([seen.values[name]], task.span(seen.shown(name))) for name, task in tasks.items()]
    )


def confidence_html(model: TrainedModel, seen: Seen) -> str:
    """Confidence maps of all tasks; predicts the image and its mirror image."""
    fit = model.make_fit()
    both = model.predict_both_ways(fit.windows(seen.photograph.pixels, model.image_size))
    confidence = model.confidence(*both, fit, fitted_size(*seen.size, TILE_SIDE))
    tiles = [
        Tile(f"{task.title}: {confidence[name].mean():.2f} on average", confidence_pixels(confidence[name]),
             f"confidence of {task.title.lower()}")
        for name, task in model.tasks.items()
    ]  # fmt: skip
    return html("tiles", tiles, _tile_pixels(seen), title="Confidence: dark is 0 (low), bright is 1 (high)")


def read_pixel(tasks: Mapping[str, Task], seen: Seen, x: int, y: int) -> str:
    """Describe the pixel at column ``x`` and row ``y`` in one line: predictions and, for labelled examples, ground truth.

    Raises:
        ConfigError: If the pixel lies outside the image.
    """
    height, width = seen.size
    if not (0 <= x < width and 0 <= y < height):
        raise ConfigError(
            f"pixel {x}, {y} lies outside the image; columns go from 0 to {width - 1} and rows from 0 to {height - 1}"
        )
    parts = [f"column {x}, row {y}"]
    for name, task in tasks.items():
        text = f"{task.title.lower()}: {task.describe(seen.values[name][..., y, x])}"
        if name in seen.photograph.truth:
            text += f" (truth: {task.describe(seen.photograph.truth[name][..., y, x])})"
        parts.append(text)
    return " · ".join(parts)


def points_figure(run: ServedRun, seen: Seen, view_deg: float, colours: str) -> Figure | None:
    """Point cloud of the predicted depth as an interactive figure; None for a run without depth.

    Args:
        run: The run.
        seen: Image and predictions of the run.
        view_deg: Horizontal field of view of the image in degrees.
        colours: ``photograph`` (the colours of the image), or the name of a task.

    Raises:
        ConfigError: If the field of view or the colours are invalid.
    """
    camera = _camera(seen, view_deg)
    task = choose("colouring", colours, {PHOTOGRAPH: None, **run.model.tasks})
    if "depth" not in seen.values:
        return None
    pixels = (
        seen.photograph.rgb
        if task is None
        else value_pixels(task, seen.values[colours], task.span(seen.shown(colours)))
    )
    return plot_points(thinned(seen.values["depth"][0].numpy(), pixels, camera))


def write_downloads(run: ServedRun, seen: Seen, folder: Path, view_deg: float) -> list[Path]:
    """Write the same files as ``mgm predict`` into a folder.

    Raises:
        ConfigError: If the field of view (for the point cloud) is invalid.
    """
    called = seen.photograph.name.rpartition(".")[0] or seen.photograph.name  # untrusted, hence as_file_name
    stem = as_file_name(called, "photograph")
    values = {name: value.long() if value.dtype == torch.uint8 else value for name, value in seen.values.items()}
    predicted = Predicted(seen.photograph.rgb, values, run.model.tasks, _camera(seen, view_deg))
    kinds = [kind for kind in DOWNLOADS if OUTPUTS[kind].needs in ("", *values)]
    return list(write_prediction(predicted, folder / stem, choose_files(kinds, run.model.tasks)))


def comparison_html(served: Served, photograph: Photograph, first: str, second: str) -> str:
    """Compare two runs on the same image: one row per common task, with their difference and, if known, the ground truth.

    Raises:
        ConfigError: If a run does not exist, both are the same, or they have no task in common.
    """
    runs = [choose("run", title, served.runs) for title in (first, second)]
    if first == second:
        raise ConfigError(f"both runs are {first!r}; choose two different ones")
    one, other = (run.model.tasks for run in runs)
    common = {name: task for name, task in one.items() if name in other and task.comparable(other[name])}
    if not common:
        raise ConfigError(f"{first} and {second} have no task in common")
    seen = [look(run.model, photograph, run.title) for run in runs]
    shown = ""
    for name, task in common.items():
        span = task.span([*seen[0].shown(name), seen[1].values[name]])
        values = [task.from_array(side.values[name].numpy()) for side in seen]
        apart = task.describe_difference(*values)
        tiles = [
            Tile(side.run, value_pixels(task, side.tiles[name], span), f"{task.title} by {side.run}") for side in seen
        ]
        errors = error_pixels(task, values[0], values[1], fitted_size(*seen[0].size, TILE_SIDE))
        scale = task.error_scale()
        ends = "same to different" if task.categorical else f"{scale.low} to {scale.high}"
        tiles.append(Tile(f"Difference ({ends})", errors, f"difference: {apart}", over=False))
        if name in seen[0].photograph.truth:
            tiles.append(Tile("Ground truth", _truth(task, seen[0], span), f"true {task.title}"))
        shown += html("tiles", tiles, _tile_pixels(seen[0]), title=f"{task.title}: {apart}")
    return shown


def _camera(seen: Seen, view_deg: float) -> Intrinsics:
    if not LEAST_VIEW_DEG <= view_deg <= LARGEST_VIEW_DEG:
        raise ConfigError(
            f"the field of view is {view_deg:g}°; it must be from {LEAST_VIEW_DEG}° to {LARGEST_VIEW_DEG}°"
        )
    return Intrinsics.from_field_of_view(view_deg, *seen.size)


def _tile_pixels(seen: Seen) -> np.ndarray:
    return resized(seen.photograph.rgb, fitted_size(*seen.size, TILE_SIDE))


def _truth(task: Task, seen: Seen, span: tuple[float, float]) -> np.ndarray:
    return value_pixels(task, seen.photograph.truth[task.name], span, fitted_size(*seen.size, TILE_SIDE))
