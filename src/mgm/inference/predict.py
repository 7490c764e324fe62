"""A trained model on many photographs of any size, from files to whatever is written for them."""

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
from mgm.errors import ConfigError, DataError, MgmError
from mgm.inference.batch import Throughput, predict_many
from mgm.inference.fit import Fit
from mgm.inference.inputs import PhotographFile
from mgm.inference.model import TrainedModel
from mgm.types import Predictions, Size

PHOTOGRAPHS_AT_ONCE = 8
"""Photographs, with all their windows, that go through the network together."""
PIXELS_AT_ONCE = 1 << 25
"""Pixels of all of these; bounds memory where photographs are large."""
_MIRRORED = "mirrored "
"""Before the name of a task: the prediction for the mirrored photograph, mirrored back."""


@dataclass(frozen=True)
class PredictedPhotograph:
    """A photograph and what a model predicts for it."""

    photograph: PhotographFile
    pixels: np.ndarray
    """Levels ``[H, W, C]``; see `ImageFormat`."""
    values: Mapping[str, Tensor]
    """Task -> value, as `TrainedModel.predict` returns it."""
    confidence: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """Task -> ``[H, W]`` in [0, 1], as `TrainedModel.predict_with_confidence` returns it; empty unless asked for."""


@dataclass(frozen=True)
class PhotographPredictor:
    """Predicts photographs in batches, reading and writing in threads beside the network.

    Args:
        model: The model.
        write: Called in threads with each photograph and its predictions.
        fit: How photographs of any size go through the network.
        flip_average: As for `TrainedModel.predict`.
        confidence: Also say how sure each pixel is; takes twice as long.
        check: Called with each photograph and its size; raises `ConfigError` if it cannot be used.
    """

    model: TrainedModel
    write: Callable[[PredictedPhotograph], None]
    fit: Fit
    flip_average: bool | None = None
    confidence: bool = False
    check: Callable[[PhotographFile, Size], object] = lambda photograph, size: None

    def read(self, photograph: PhotographFile) -> np.ndarray:
        """The levels of the pixels, ``[H, W, C]``.

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
        """Predict all photographs.

        Args:
            photographs: From `find_photographs`, say.
            skip_bad: Leave out what cannot be read; otherwise all are read once beforehand, and nothing is written if one
                is bad.

        Returns:
            Counts and times; with ``skip_bad`` what was left out, too.

        Raises:
            DataError: If one could not be read or written (with ``skip_bad``: if none could).
            ConfigError: If a photograph's size does not suit the fit or the check.
        """
        if not skip_bad:
            self._check_all(photographs)
        decoded: dict[PhotographFile, np.ndarray] = {}  # as many as are on their way

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
        if done.failed and not skip_bad:
            raise DataError(done.failed[0][1])
        if not done.images:
            raise DataError("none of the photographs could be read")
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
        """Raw predictions; with confidence, those of the mirrored windows too, under `_MIRRORED` names."""
        if not self.confidence:
            return self.model.predict_windows(windows, flip_average=self.flip_average)
        predictions, mirrored = self.model.predict_both_ways(windows, flip_average=self.flip_average)
        return predictions | {_MIRRORED + name: values for name, values in mirrored.items()}

    def _finish(self, photograph: PhotographFile, pixels: np.ndarray, windows: Predictions) -> PredictedPhotograph:
        """Predictions ``[W, ...]`` of the windows as values at the photograph's own size."""
        size = _size(pixels)
        values = self.model.finish(windows, self.fit, size)
        if not self.confidence:
            return PredictedPhotograph(photograph, pixels, values)
        mirrored = {name: windows[_MIRRORED + name] for name in self.model.tasks}
        return PredictedPhotograph(photograph, pixels, values, self.model.confidence(windows, mirrored, self.fit, size))


def _claimed_pixels(photograph: PhotographFile) -> int:
    """Pixels of a photograph as its header says; of other files the bytes that they have at most."""
    try:
        with Image.open(photograph.path, formats=PICTURE_FORMATS) as image:
            return max(1, image.width * image.height)
    except Exception:  # decoders of damaged files raise nearly anything
        return max(1, photograph.path.stat().st_size) if photograph.path.is_file() else 1


def _size(pixels: np.ndarray) -> Size:
    return pixels.shape[0], pixels.shape[1]
