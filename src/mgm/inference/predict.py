"""Prediction for many images of any size, from files to the function that writes the results."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from torch import Tensor

from mgm.data.channels import read_image
from mgm.data.images import PICTURE_FORMATS
from mgm.data.progress import progress_bar
from mgm.errors import ConfigError, DataError, MgmError, RunError
from mgm.inference.batch import Throughput, predict_many
from mgm.inference.fit import Fit
from mgm.inference.inputs import PhotographFile
from mgm.inference.model import TrainedModel
from mgm.types import Predictions, Size

PHOTOGRAPHS_AT_ONCE = 8
"""Most images, with all their windows, in one forward pass."""
PIXELS_AT_ONCE = 1 << 25
"""Most pixels of these images together; bounds memory if they are large."""
_MIRRORED = "mirrored "
"""Prefix of task names for the prediction of the mirrored image, mirrored back."""


@dataclass(frozen=True)
class PredictedPhotograph:
    """An image and the predictions for it."""

    photograph: PhotographFile
    pixels: np.ndarray
    """``[H, W, C]``, uint8 or uint16; see `ImageFormat`."""
    values: Mapping[str, Tensor]
    """Task -> value, as `TrainedModel.predict` returns it."""
    confidence: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """Task -> ``[H, W]`` in [0, 1], as `TrainedModel.predict_with_confidence` returns it; empty unless requested."""


@dataclass(frozen=True)
class PhotographPredictor:
    """Predicts images in batches, with reading and writing in threads.

    Args:
        model: The model.
        write: Called in threads with each image and its predictions.
        fit: How images of any size are shown to the network.
        flip_average: As for `TrainedModel.predict`.
        confidence: Also compute the confidence of each pixel; takes twice as long.
        check: Called with each image and its size; raises `ConfigError` if the image cannot be used.
    """

    model: TrainedModel
    write: Callable[[PredictedPhotograph], None]
    fit: Fit
    flip_average: bool | None = None
    confidence: bool = False
    check: Callable[[PhotographFile, Size], object] = lambda photograph, size: None

    def read(self, photograph: PhotographFile) -> np.ndarray:
        """Read an image as ``[H, W, C]``, uint8 or uint16.

        Raises:
            DataError: If the file cannot be read.
            ConfigError: If its size does not suit the fit or the check.
        """
        pixels = read_image(photograph.path, self.model.info.image)
        try:
            self.fit.count(_size(pixels), self.model.image_size)
            self.check(photograph, _size(pixels))
        except ConfigError as error:
            raise ConfigError(f"{photograph.path}: {error}") from None
        return pixels

    def run(self, photographs: Sequence[PhotographFile], *, skip_bad: bool = False) -> Throughput:
        """Predict all images.

        Args:
            photographs: Image files, for example from `find_photographs`.
            skip_bad: Leave out images that cannot be read. Otherwise all images are read once in advance, and nothing is
                written if one of them cannot be read.

        Returns:
            Counts and the time, and with ``skip_bad`` the images that were left out.

        Raises:
            DataError: If an image could not be read (with ``skip_bad``: if none could).
            RunError: If results could not be written, after those of the other images have been.
            ConfigError: If the size of an image does not suit the fit or the check.
        """
        if not skip_bad:
            self._check_all(photographs)
        decoded: dict[PhotographFile, np.ndarray] = {}  # only images that are being processed

        def load(photograph: PhotographFile) -> Tensor:
            pixels = decoded[photograph] = self.read(photograph)
            return self.fit.windows(pixels, self.model.image_size)

        def predict(windows: Tensor) -> Predictions:
            count, each = windows.shape[:2]
            together = self._predict(windows.flatten(0, 1))
            return {task: values.unflatten(0, (count, each)) for task, values in together.items()}

        def write(photograph: PhotographFile, predictions: Predictions) -> None:
            windows = {task: values[0] for task, values in predictions.items()}
            self.write(self._finish(photograph, decoded.pop(photograph), windows))

        largest = max(map(_claimed_pixels, photographs), default=1)
        at_once = max(1, min(PHOTOGRAPHS_AT_ONCE, PIXELS_AT_ONCE // largest))
        done = predict_many(
            load,
            predict,
            write,
            photographs,
            at_once,
            workers=max(1, min(len(photographs), os.cpu_count() or 1, at_once)),
            pin_memory=self.model.device.type == "cuda",
        )
        if done.unwritten:
            raise RunError(done.unwritten[0][1])
        if done.failed and not skip_bad:
            raise DataError(done.failed[0][1])
        if not done.images:
            raise DataError("none of the images could be read")
        return done

    def _check_all(self, photographs: Sequence[PhotographFile]) -> None:
        with progress_bar("checking", len(photographs), None if len(photographs) > 1 else False) as advance:
            for photograph in photographs:
                try:
                    self.read(photograph)
                except MgmError as error:
                    hint = "; --skip-bad leaves it out" if len(photographs) > 1 else ""
                    raise type(error)(f"{error}{hint}") from None
                advance(1)

    def _predict(self, windows: Tensor) -> Predictions:
        """Raw network outputs; with confidence also those for the mirrored windows, their names prefixed by `_MIRRORED`."""
        if not self.confidence:
            return self.model.predict_windows(windows, flip_average=self.flip_average)
        predictions, mirrored = self.model.predict_both_ways(windows, flip_average=self.flip_average)
        return predictions | {_MIRRORED + name: values for name, values in mirrored.items()}

    def _finish(self, photograph: PhotographFile, pixels: np.ndarray, windows: Predictions) -> PredictedPhotograph:
        """Merge the predictions ``[W, ...]`` of the windows into values at the size of the image."""
        size = _size(pixels)
        values = self.model.finish(windows, self.fit, size)
        if not self.confidence:
            return PredictedPhotograph(photograph, pixels, values)
        mirrored = {name: windows[_MIRRORED + name] for name in self.model.tasks}
        return PredictedPhotograph(photograph, pixels, values, self.model.confidence(windows, mirrored, self.fit, size))


def _claimed_pixels(photograph: PhotographFile) -> int:
    """Number of pixels according to the header of an image file; for other files the file size in bytes, an upper bound."""
    try:
        with Image.open(photograph.path, formats=PICTURE_FORMATS) as image:
            return max(1, image.width * image.height)
    except Exception:  # decoders of damaged files raise nearly anything
        return max(1, photograph.path.stat().st_size) if photograph.path.is_file() else 1


def _size(pixels: np.ndarray) -> Size:
    return pixels.shape[0], pixels.shape[1]
