"""``mgm predict``: a model on photographs of any size, shape and number."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mgm.cli.parsing import parse
from mgm.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from mgm.data.geometry import Intrinsics
    from mgm.inference.fit import Fit, Size
    from mgm.inference.inputs import Photograph
    from mgm.inference.model import TrainedModel
    from mgm.report.prediction_files import Writer
    from mgm.types import Predictions

PHOTOGRAPHS_AT_ONCE = 8
"""Photographs, with all their windows, that go through the network together."""
MIRRORED = "mirrored "
"""Before the name of a task: the prediction for the mirrored photograph, mirrored back."""


@dataclass(frozen=True)
class PredictOptions:
    """Predict every task for photographs of any size.

    Photographs are files, folders (with all below them), quoted patterns such as "photos/**/*.jpg", or - for a list of files
    on standard input. Results of a folder keep its sub-folders.

    Example: mgm predict runs/first photo.jpg holiday --out predictions --save png,depth16
    """

    run: tyro.conf.Positional[Path]
    """Folder of a run or of an exported model."""
    images: tyro.conf.Positional[tuple[str, ...]]
    """Photographs: files, folders, patterns, or -."""
    out: Path = Path("predictions")
    """Folder for the results, whose names begin with the photograph's."""
    save: str = "png,npy,sheet"
    """What to write: png (coloured), npy (numbers), sheet (all tasks with legends), depth16 (millimetres), confidence (how sure
    each pixel is; takes twice as long), ply (point cloud)."""
    fit: str = "resize"
    """resize: squeezed to the network's square, as in training; pad, tile: keep the aspect."""
    detail: float = 1.0
    """tile: the photograph's shorter side in windows; 1: all of it in view; 0: the photograph's own pixels."""
    flip_average: bool = False
    """Average with the prediction for the mirrored photograph; takes twice as long."""
    fov: float = 0.0
    """ply: horizontal field of view of the photographs in degrees."""
    intrinsics: str = ""
    """ply: fx,fy,cx,cy of the camera, in pixels of the upright photograph, pixel centres at whole numbers."""
    skip_bad: bool = False
    """Leave out photographs that cannot be read, and list them at the end; else nothing is written if there is one."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""


def predict(arguments: list[str]) -> None:
    """``mgm predict``."""
    options = parse(PredictOptions, "predict", arguments)
    if not options.images:
        raise ConfigError("no images given; usage: mgm predict RUN IMAGE... --out DIR")
    kinds = tuple(kind.strip() for kind in options.save.split(",") if kind.strip())
    if not kinds:
        raise ConfigError("--save names nothing to write; give png, say")
    camera = _camera(options, kinds)
    from mgm.inference.fit import make_fit
    from mgm.inference.inputs import find_photographs
    from mgm.inference.model import TrainedModel
    from mgm.report.prediction_files import CONFIDENCE, choose_files

    fit = make_fit(options.fit, options.detail)
    model = TrainedModel.load(options.run, options.device)
    files = choose_files(kinds, model.tasks)
    photographs = find_photographs(options.images, sys.stdin, options.out)
    _check_places(photographs, files, options.out)
    job = _Job(model, fit, options.flip_average, CONFIDENCE in kinds, camera, files, options.out)
    if not options.skip_bad:
        job.check(photographs)
    job.run(photographs, skip_bad=options.skip_bad)


def _camera(options: PredictOptions, kinds: tuple[str, ...]) -> Callable[[Size], Intrinsics | None]:
    """From the size of a photograph to its camera; none without a point cloud.

    Raises:
        ConfigError: If a point cloud is wanted without a camera, or a camera without a point cloud, or it cannot be.
    """
    given = [name for name, value in (("--fov", options.fov), ("--intrinsics", options.intrinsics)) if value]
    if "ply" not in kinds:
        if given:
            raise ConfigError(f"{given[0]} is for point clouds; add ply to --save, or leave it out")
        return lambda size: None
    if len(given) != 1:
        raise ConfigError(
            "a point cloud needs the camera: give --fov DEGREES (60 is usual for a phone held upright or a webcam) or "
            f"--intrinsics fx,fy,cx,cy{', not both' if given else ''}"
        )
    from mgm.data.geometry import Intrinsics

    if options.fov:
        if not 0 < options.fov < 180:
            raise ConfigError(f"--fov is {options.fov:g}; it is an angle above 0 and below 180 degrees")
        return lambda size: Intrinsics.from_field_of_view(options.fov, *size)
    try:
        fx, fy, cx, cy = (float(number) for number in options.intrinsics.split(","))
    except ValueError:
        raise ConfigError(f"--intrinsics is {options.intrinsics!r}; it must be four numbers: fx,fy,cx,cy") from None
    return lambda size: _fitting(Intrinsics(fx, fy, cx, cy), size)


def _fitting(camera: Intrinsics, size: Size) -> Intrinsics:
    """The camera, if it can have taken a photograph of this size."""
    height, width = size
    if not (camera.fx > 0 and camera.fy > 0 and 0 <= camera.cx < width and 0 <= camera.cy < height):
        raise ConfigError(
            f"--intrinsics do not fit a photograph of {width} x {height} pixels: focal lengths must be above 0 and the optical "
            "centre inside; they count in pixels of the photograph itself"
        )
    return camera


def _check_places(photographs: list[Photograph], files: dict[str, Writer], out: Path) -> None:
    """Raise if a result would take the place of a photograph."""
    sources = {photograph.path.resolve() for photograph in photographs}
    for photograph in photographs:
        for ending in files:
            place = out / (photograph.name + ending)
            if place.resolve() in sources:
                raise ConfigError(f"the result {place} would overwrite a photograph; choose another folder with --out")


@dataclass(frozen=True)
class _Job:
    """What is done to every photograph."""

    model: TrainedModel
    fit: Fit
    flip_average: bool
    confidence: bool
    camera: Callable[[Size], Intrinsics | None]
    files: dict[str, Writer]
    out: Path

    def load(self, photograph: Photograph) -> np.ndarray:
        """The pixels, once it is known that they can be predicted on."""
        from mgm.data.photographs import read_photograph

        pixels = read_photograph(photograph.path)
        size = (pixels.shape[0], pixels.shape[1])
        try:
            self.fit.count(size, self.model.image_size)
            self.camera(size)
        except ConfigError as error:
            raise ConfigError(f"{photograph.path}: {error}") from None
        return pixels

    def check(self, photographs: list[Photograph]) -> None:
        """Find what is unreadable before anything is written."""
        from mgm.data.progress import progress_bar

        with progress_bar("checking", len(photographs), None if len(photographs) > 1 else False) as advance:
            for photograph in photographs:
                try:
                    self.load(photograph)
                except DataError as error:
                    hint = "; --skip-bad leaves it out" if len(photographs) > 1 else ""
                    raise DataError(f"{error}{hint}") from None
                advance(1)

    def predict(self, windows: Tensor) -> Predictions:
        """Raw predictions for windows; with confidence, those of the mirrored windows beside them, under `MIRRORED` names."""
        if not self.confidence:
            return self.model.predict_windows(windows, flip_average=self.flip_average)
        predictions, mirrored = self.model.predict_both_ways(windows, flip_average=self.flip_average)
        return predictions | {MIRRORED + name: values for name, values in mirrored.items()}

    def write(self, photograph: Photograph, pixels: np.ndarray, windows: Predictions) -> None:
        """Bring predictions ``[W, ...]`` of a photograph's windows to its size, write the files, and name them."""
        from mgm.report.prediction_files import Predicted, write_prediction

        size = (pixels.shape[0], pixels.shape[1])
        values = self.model.finish(windows, self.fit, size)
        confidence = {}
        if self.confidence:
            mirrored = {name: windows[MIRRORED + name] for name in self.model.tasks}
            confidence = self.model.confidence(windows, mirrored, self.fit, size)
        predicted = Predicted(pixels, values, self.model.tasks, self.camera(size), confidence)
        for path in write_prediction(predicted, self.out / photograph.name, self.files):
            print(path)

    def run(self, photographs: list[Photograph], *, skip_bad: bool) -> None:
        """All photographs: decoding and writing in threads beside the network; the rate on standard error at the end.

        Raises:
            DataError: If one could not be read or written (with ``skip_bad``: if none could).
        """
        from mgm.inference.batch import predict_many

        decoded: dict[Photograph, np.ndarray] = {}  # as many as are on their way

        def load(photograph: Photograph) -> Tensor:
            pixels = decoded[photograph] = self.load(photograph)
            return self.fit.windows(pixels, self.model.image_size)

        def predict(windows: Tensor) -> Predictions:
            count, each = windows.shape[:2]
            together = self.predict(windows.flatten(0, 1))
            return {task: values.unflatten(0, (count, each)) for task, values in together.items()}

        def write(photograph: Photograph, predictions: Predictions) -> None:
            windows = {task: values[0] for task, values in predictions.items()}
            self.write(photograph, decoded.pop(photograph), windows)

        done = predict_many(
            load,
            predict,
            write,
            photographs,
            PHOTOGRAPHS_AT_ONCE,
            workers=min(len(photographs), os.cpu_count() or 1),
            pin_memory=self.model.device.type == "cuda",
        )
        if done.failed and not skip_bad:
            raise DataError(done.failed[0][1])
        if done.failed:
            bad = [message for _, message in done.failed]
            print(f"left out {len(bad)} of {len(photographs)}:", *bad, sep="\n  ", file=sys.stderr)
        if not done.images:
            raise DataError("none of the photographs could be read")
        print(
            f"images: {done.images} in {done.seconds:.1f} s, {done.images_per_second:.1f} images/s on {self.model.device}",
            file=sys.stderr,
        )
