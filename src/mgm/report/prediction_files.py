"""Output files of a prediction: images, arrays, depth in millimetres, a figure, a point cloud.

`OUTPUTS` is the registry; a new kind of file is a function and an entry there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import isqrt
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mgm.data.files import write_atomically
from mgm.data.geometry import Intrinsics
from mgm.errors import ConfigError, choose
from mgm.functional.levels import normalise_levels
from mgm.report.figures.images import fitted_size, resized, value_pixels
from mgm.report.figures.predictions import photograph_figure
from mgm.report.point_cloud import point_cloud, write_ply
from mgm.tasks.base import Task
from mgm.tasks.pictures import paint_scale
from mgm.tasks.segmentation import Segmentation
from mgm.training.checkpoint import make_folder

MILLIMETRES = 1000
CONFIDENCE_COLOURS = "viridis"
"""Colour map of confidence: dark is low, bright is high."""
CONFIDENCE = "confidence"
"""Name of the output that needs `Predicted.confidence`."""
SHEET_SIDE = 2048
"""Longer side in pixels to which larger images are reduced before the figure is drawn."""
STRIP_PIXELS = 1 << 21
"""Pixels that are coloured at once; bounds memory."""
FARTHEST_MM = 65535
"""Largest 16-bit value; depth beyond 65.5 m is written as this."""


@dataclass(frozen=True)
class Predicted:
    """An image and the predictions for it."""

    pixels: np.ndarray
    """``[H, W, 3]`` uint8 RGB."""
    values: Mapping[str, Tensor]
    """Task -> value, as `TrainedModel.predict` returns it."""
    tasks: Mapping[str, Task]
    camera: Intrinsics | None = None
    """Intrinsics of the image; required for a point cloud."""
    confidence: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """Task -> ``[H, W]`` in [0, 1], as `TrainedModel.predict_with_confidence` returns it; required for the output `CONFIDENCE`."""


Writer = Callable[[Predicted, str, IO[bytes]], None]
"""Writes a file for one task; an empty task name stands for all tasks."""


@dataclass(frozen=True)
class Output:
    """A kind of output: a file, or one per task."""

    files: Mapping[str, Writer]
    """Suffix appended to the name of the image -> writer. A suffix that contains ``TASK`` gives one file per task."""
    needs: str = ""
    """Task that it requires; empty: none."""
    classes: bool = False
    """Whether it applies only to tasks with classes."""


def choose_files(kinds: Iterable[str], tasks: Mapping[str, Task]) -> dict[str, tuple[Writer, str]]:
    """The files to write for some keys of `OUTPUTS`: suffix appended to the name of the image -> writer and task.

    Raises:
        ConfigError: If a kind is unknown, or requires a task that the model does not predict.
    """
    files: dict[str, tuple[Writer, str]] = {}
    for kind in kinds:
        output = choose("output", kind, OUTPUTS)
        names = [name for name, task in tasks.items() if task.categorical or not output.classes]
        if (output.needs and output.needs not in names) or not names:
            raise ConfigError(
                f"{kind} needs {output.needs or 'classes'}, which this model does not predict ({', '.join(tasks)}); remove it "
                "from --save"
            )
        for ending, write in output.files.items():
            for task in names if "TASK" in ending else [""]:
                files[ending.replace("TASK", task)] = write, task
    return files


def write_prediction(predicted: Predicted, place: Path, files: Mapping[str, tuple[Writer, str]]) -> Iterator[Path]:
    """Write the files of `choose_files` for one image, each completely or not at all, and yield each after it has been written.

    ``place`` is their folder and the common prefix of their names.

    Raises:
        RunError: If a file cannot be written.
    """
    make_folder(place.parent)
    for ending, (write, task) in files.items():
        path = place.with_name(place.name + ending)
        write_atomically(path, partial(write, predicted, task))
        yield path


def confidence_pixels(confidence: Tensor) -> np.ndarray:
    """Render confidence ``[H, W]`` in [0, 1] as ``[H, W, 3]`` uint8 in `CONFIDENCE_COLOURS`."""
    return paint_scale(confidence[None, None], CONFIDENCE_COLOURS)[0].permute(1, 2, 0).numpy()


def _write_image(predicted: Predicted, task: str, file: IO[bytes]) -> None:
    kind, value = predicted.tasks[task], predicted.values[task]
    every = max(1, isqrt(value.shape[-2] * value.shape[-1] // STRIP_PIXELS))
    span = kind.span([value[..., ::every, ::every]])
    # in strips, since colours take several times the memory of values
    strips: tuple[Tensor, ...] = torch.split(value, max(1, STRIP_PIXELS // value.shape[-1]), dim=-2)
    _save(np.concatenate([value_pixels(kind, strip, span) for strip in strips]), file)


def _write_labels(predicted: Predicted, task: str, file: IO[bytes]) -> None:
    """Write a label map: a palette PNG with the class index as value and the class colours as palette."""
    kind = predicted.tasks[task]
    assert isinstance(kind, Segmentation)
    picture = Image.fromarray(predicted.values[task].numpy().astype(np.uint8))
    picture.putpalette(kind.palette.ravel().tolist())
    picture.save(file, format="PNG")


def _write_millimetres(predicted: Predicted, task: str, file: IO[bytes]) -> None:
    """Write depth as 16-bit greyscale; 0 stands for no depth, as most readers expect."""
    millimetres = np.nan_to_num(predicted.values["depth"][0].numpy() * MILLIMETRES, nan=0.0)
    _save(millimetres.round().clip(0, FARTHEST_MM).astype(np.uint16), file)


def _write_figure(predicted: Predicted, task: str, file: IO[bytes]) -> None:
    pixels, values = predicted.pixels, predicted.values
    height, width = pixels.shape[:2]
    if max(height, width) > SHEET_SIDE:  # far more pixels than a panel of the figure
        size = fitted_size(height, width, SHEET_SIDE)
        rows, columns = (torch.arange(new) * old // new for new, old in zip(size, (height, width), strict=True))
        pixels, values = resized(pixels, size), {name: v[..., rows[:, None], columns] for name, v in values.items()}
    image = normalise_levels(torch.from_numpy(pixels.copy()).permute(2, 0, 1))
    _save(photograph_figure(image, values, predicted.tasks), file)


def _write_points(predicted: Predicted, task: str, file: IO[bytes]) -> None:
    assert predicted.camera is not None
    normals = predicted.values["normal"].numpy() if "normal" in predicted.values else None
    write_ply(point_cloud(predicted.pixels, predicted.values["depth"][0].numpy(), predicted.camera, normals), file)


def _save(pixels: np.ndarray, file: IO[bytes]) -> None:
    Image.fromarray(pixels).save(file, format="PNG")


def _save_array(values: Tensor, file: IO[bytes]) -> None:
    """Write classes as uint8, everything else as float32."""
    np.save(file, values.numpy().astype(np.float32 if values.is_floating_point() else np.uint8), allow_pickle=False)


OUTPUTS: dict[str, Output] = {
    "png": Output({"_TASK.png": _write_image}),
    "npy": Output({"_TASK.npy": lambda shown, task, file: _save_array(shown.values[task], file)}),
    "sheet": Output({"_all.png": _write_figure}),
    "depth16": Output({"_depth_mm.png": _write_millimetres}, needs="depth"),
    "labels": Output({"_TASK_labels.png": _write_labels}, classes=True),
    CONFIDENCE: Output(
        {
            "_TASK_confidence.png": lambda shown, task, file: _save(confidence_pixels(shown.confidence[task]), file),
            "_TASK_confidence.npy": lambda shown, task, file: _save_array(shown.confidence[task], file),
        }
    ),
    "ply": Output({"_points.ply": _write_points}, needs="depth"),
}
"""Name -> kind of output; ``mgm predict --help`` describes them."""
