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
from mgm.demo.runs import ServedRun
from mgm.errors import ConfigError
from mgm.report.figures.images import error_pixels, fitted_size, resized, value_pixels
from mgm.report.point_cloud import plot_points, thinned
from mgm.report.prediction_files import OUTPUTS, Predicted, choose_files, confidence_pixels, write_prediction
from mgm.tasks.base import Span, Task
from mgm.types import Size

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

TILE_SIDE = 512
"""Longer side of an image on the page, in pixels."""
LEAST_VIEW_DEG, USUAL_VIEW_DEG, LARGEST_VIEW_DEG = 20, 60, 120
"""Range and default of the horizontal field of view in degrees; most photographs have about 60."""
DOWNLOADS = ("png", "npy", "depth16", "ply")
"""Keys of `mgm.report.prediction_files.OUTPUTS` that a visitor may download, if the run predicts the tasks they need."""


@dataclass(frozen=True)
class Seen:
    """An image and the predictions of one run for it. Class indices are uint8 to save memory, since sessions keep them."""

    photograph: Photograph
    run: ServedRun
    values: dict[str, Tensor]
    """Task -> value as in `Task.decode`, without batch dimension, at the size of the image."""
    tiles: dict[str, Tensor]
    """The same values at the size of tiles."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks of the run."""
        return self.run.model.tasks

    @property
    def size(self) -> Size:
        """Height and width of the image in pixels."""
        return self.photograph.size

    @property
    def tile_size(self) -> Size:
        """Height and width of a tile in pixels."""
        return fitted_size(*self.size, TILE_SIDE)

    def shown(self, name: str) -> list[Tensor]:
        """The values of a task that are drawn: the prediction and, for a labelled example, the ground truth."""
        return [self.values[name], *([self.photograph.truth[name]] if name in self.photograph.truth else [])]

    def span(self, name: str) -> Span:
        """Range of the colours of a task."""
        return self.tasks[name].span(self.shown(name))


def predict_photograph(run: ServedRun, photograph: Photograph) -> Seen:
    """Predict all tasks for an image. Ground truth of tasks that the run defines differently is dropped."""
    model, known = run.model, photograph.tasks
    other = [name for name, task in model.tasks.items() if name in known and not task.comparable(known[name])]
    truth = {name: value for name, value in photograph.truth.items() if name not in other}
    seen = Seen(replace(photograph, truth=truth), run, {}, {})
    fit = model.make_fit()
    windows = model.predict_windows(fit.windows(photograph.pixels, model.image_size))
    for size, values in ((seen.size, seen.values), (seen.tile_size, seen.tiles)):
        for name, value in model.finish(windows, fit, size).items():
            values[name] = value.to(torch.uint8) if value.dtype == torch.int64 else value.float()
    return seen


def predictions_html(seen: Seen) -> str:
    """The image and the predictions of all tasks side by side; for labelled examples the ground truth in a second row."""
    image = Tile("Image", _image_pixels(seen), "the input image", over=False)
    predicted, true = [image], [image]
    for name, task in seen.tasks.items():
        title, span = task.title.lower(), seen.span(name)
        predicted.append(Tile(task.title, value_pixels(task, seen.tiles[name], span), f"predicted {title}"))
        if name in seen.photograph.truth:
            true.append(Tile(task.title, _true_pixels(seen, name, span), f"true {title}"))
    shown = html("tiles", predicted, image.pixels, seen.size)
    if len(true) > 1:
        shown += html("tiles", true, image.pixels, seen.size, title="Ground truth of this example")
    return shown


def legends_html(seen: Seen) -> str:
    """Legends of all tasks, with the share of each class and the range of the values."""
    legends = [task.legend([seen.values[name]], seen.span(name)) for name, task in seen.tasks.items()]
    return html("legends", legends)


def confidence_html(seen: Seen) -> str:
    """Confidence maps of all tasks; predicts the image and its mirror image."""
    model = seen.run.model
    fit = model.make_fit()
    both = model.predict_both_ways(fit.windows(seen.photograph.pixels, model.image_size))
    tiles: list[Tile] = []
    for name, values in model.confidence(*both, fit, seen.tile_size).items():
        title = seen.tasks[name].title
        pixels = confidence_pixels(values)
        tiles.append(Tile(f"{title}: {values.mean():.2f} on average", pixels, f"confidence of {title.lower()}"))
    return html("tiles", tiles, _image_pixels(seen), title="Confidence: dark is 0 (low), bright is 1 (high)")


def read_pixel(seen: Seen, x: int, y: int) -> str:
    """Describe the pixel at column ``x`` and row ``y``: predictions and, for labelled examples, ground truth.

    Of a position outside the image, which may refer to an earlier, larger one, the nearest pixel is described.
    """
    height, width = seen.size
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    parts = [f"column {x}, row {y}"]
    for name, task in seen.tasks.items():
        value, *truth = (task.describe(shown[..., y, x]) for shown in seen.shown(name))
        parts.append(f"{task.title.lower()}: {value}" + "".join(f" (truth: {text})" for text in truth))
    return " · ".join(parts)


def points_figure(seen: Seen, view_deg: float, colours: str) -> Figure | None:
    """Point cloud of the predicted depth, in the colours of a task or else of the image; None for a run without depth.

    Raises:
        ConfigError: If the horizontal field of view is invalid.
    """
    camera = _camera(seen, view_deg)
    if "depth" not in seen.values:
        return None
    pixels = seen.photograph.rgb
    if colours in seen.values:
        pixels = value_pixels(seen.tasks[colours], seen.values[colours], seen.span(colours))
    return plot_points(thinned(seen.values["depth"][0].numpy(), pixels, camera))


def write_downloads(seen: Seen, folder: Path, view_deg: float) -> list[Path]:
    """Write the same files as ``mgm predict`` into a folder.

    Raises:
        ConfigError: If the field of view (for the point cloud) is invalid.
    """
    called = seen.photograph.name.rpartition(".")[0] or seen.photograph.name  # untrusted, hence as_file_name
    values = {name: value.long() if value.dtype == torch.uint8 else value for name, value in seen.values.items()}
    predicted = Predicted(seen.photograph.rgb, values, seen.tasks, _camera(seen, view_deg))
    kinds = [kind for kind in DOWNLOADS if OUTPUTS[kind].needs in ("", *values)]
    files = choose_files(kinds, seen.tasks)
    return list(write_prediction(predicted, folder / as_file_name(called, "photograph"), files))


def comparison_html(photograph: Photograph, runs: tuple[ServedRun, ServedRun]) -> str:
    """Compare two runs on the same image: one row per common task, with their difference and, if known, the ground truth.

    Raises:
        ConfigError: If both runs are the same, or they have no task in common.
    """
    first, second = (run.title for run in runs)
    if first == second:
        raise ConfigError(f"both runs are {first!r}; choose two different ones")
    one, other = (run.model.tasks for run in runs)
    common = {name: task for name, task in one.items() if name in other and task.comparable(other[name])}
    if not common:
        raise ConfigError(f"{first} and {second} have no task in common")
    seen = [predict_photograph(run, photograph) for run in runs]
    shown = ""
    for name, task in common.items():
        span = task.span([*seen[0].shown(name), seen[1].values[name]])
        values = [task.from_array(side.values[name].numpy()) for side in seen]
        apart = task.describe_difference(*values)
        tiles: list[Tile] = []
        for side in seen:
            title = side.run.title
            tiles.append(Tile(title, value_pixels(task, side.tiles[name], span), f"{task.title} by {title}"))
        scale = task.error_scale()
        ends = "same to different" if task.categorical else f"{scale.low} to {scale.high}"
        errors = error_pixels(task, values[0], values[1], seen[0].tile_size)
        tiles.append(Tile(f"Difference ({ends})", errors, f"difference: {apart}", over=False))
        if name in seen[0].photograph.truth:
            tiles.append(Tile("Ground truth", _true_pixels(seen[0], name, span), f"true {task.title}"))
        shown += html("tiles", tiles, _image_pixels(seen[0]), title=f"{task.title}: {apart}")
    return shown


def _camera(seen: Seen, view_deg: float) -> Intrinsics:
    if not LEAST_VIEW_DEG <= view_deg <= LARGEST_VIEW_DEG:
        raise ConfigError(
            f"the field of view is {view_deg:g}°; it must be from {LEAST_VIEW_DEG}° to {LARGEST_VIEW_DEG}°"
        )
    return Intrinsics.from_field_of_view(view_deg, *seen.size)


def _image_pixels(seen: Seen) -> np.ndarray:
    return resized(seen.photograph.rgb, seen.tile_size)


def _true_pixels(seen: Seen, name: str, span: Span) -> np.ndarray:
    return value_pixels(seen.tasks[name], seen.photograph.truth[name], span, seen.tile_size)
