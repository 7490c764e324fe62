"""A trained network and its predictions for images of any size. Imports nothing that only training needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mgm.config import MAX_IMAGE_SIZE, Experiment
from mgm.data.channels import read_image
from mgm.errors import RunError
from mgm.functional.levels import normalise_levels
from mgm.functional.resizing import enlarged_rows
from mgm.inference.fit import AS_TRAINED, Fit, make_fit
from mgm.inference.model_folder import ModelDescription, ModelFolder
from mgm.method.networks import build_model
from mgm.models.base import MultiTaskModel
from mgm.runs.devices import single_device
from mgm.runs.folder import RunFolder
from mgm.tasks import tasks_for
from mgm.tasks.base import Task
from mgm.training.checkpoint import Weights, rebuild
from mgm.training.evaluate import average, flip_averaged, mirrored
from mgm.types import DatasetInfo, Predictions, Size

STRIP_PIXELS = 1 << 21
"""Pixels of an image whose values are computed at once; bounds memory."""
WINDOWS_AT_ONCE = 32
"""Windows in one forward pass; bounds memory."""


class TrainedModel:
    """The multi-task network of a run or of a model folder, ready to predict.

    Example:
        >>> model = TrainedModel.load("runs/mgm")  # doctest: +SKIP
        >>> values = model.predict("photo.jpg")  # doctest: +SKIP
        >>> values["depth"].shape  # metres, at the size of the image  # doctest: +SKIP
        torch.Size([1, 480, 640])
    """

    def __init__(
        self,
        experiment: Experiment,
        info: DatasetInfo,
        model: MultiTaskModel,
        device: torch.device,
        origin: Path | None = None,
    ) -> None:
        self.experiment = experiment
        self.info = info
        self.tasks: dict[str, Task] = tasks_for(info, experiment.data.tasks)
        self.model = model.to(device).eval().requires_grad_(False)
        self.device = device
        self.origin = origin
        """Folder that the model was loaded from."""

    @classmethod
    def load(cls, path: str | Path, device: str = "auto") -> TrainedModel:
        """Load the best weights of a run, or the weights of a model folder.

        Raises:
            RunError: If the folder holds neither, the run has no weights yet, or a file is damaged.
            ConfigError: If there is no such device, or the model was written by a later version.
        """
        place = single_device(device)
        run, folder = RunFolder(Path(path)), ModelFolder(Path(path))
        if folder.exists and not run.exists:
            found = folder.describe()
            return cls._build(found.experiment(), found.info(), folder.weights(), place, folder.path)
        if Path(path).is_dir() and not run.exists:
            raise RunError(
                f"{path} holds neither a run (config.yaml) nor a model (config.json); "
                "runs are made by: mgm train, models by: mgm export"
            )
        experiment, info = run.experiment(), run.info()
        if not experiment.method.supervised:
            raise RunError(
                f"{path} holds only a pre-trained encoder, which predicts no task; train with it: mgm train --encoder-run {path}"
            )
        return cls._build(experiment, info, run.best_weights(place), place, run.path)

    @classmethod
    def _build(
        cls,
        experiment: Experiment,
        info: DatasetInfo,
        weights: Weights,
        device: torch.device,
        origin: Path,
    ) -> TrainedModel:
        if max(experiment.data.size) > MAX_IMAGE_SIZE:
            raise RunError(f"image_size of {origin} is {experiment.data.image_size}; the maximum is {MAX_IMAGE_SIZE}")
        tasks = tasks_for(info, experiment.data.tasks)
        model = rebuild(lambda: build_model(tasks, experiment.model, experiment.seed), weights, origin)
        return cls(experiment, info, model, device, origin=origin)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *, device: str = "auto", **download: Any
    ) -> TrainedModel:
        """Load a model from a local folder or from the Hugging Face Hub.

        Args:
            pretrained_model_name_or_path: Folder of a model or run, or ``user/model``.
            device: Device to compute on.
            **download: ``revision``, ``token``, ``cache_dir``, ``force_download``, ``local_files_only``; see
                `mgm.inference.hub.fetch`.

        Raises:
            RunError: If the model cannot be downloaded, or is damaged.
            ConfigError: If the Hub is needed and the extra ``hub`` is not installed.
        """
        from mgm.inference.hub import fetch, is_repository

        name = pretrained_model_name_or_path
        return cls.load(fetch(str(name), **download) if is_repository(name) else name, device)

    def save_pretrained(self, save_directory: str | Path, *, card: str = "") -> None:
        """Write ``model.safetensors``, ``config.json`` and the card ``README.md`` to a folder, replacing existing ones.

        Args:
            save_directory: The folder; created unless it exists.
            card: Text of the card; empty: the card of the model folder it was loaded from, or one generated from its run.

        Raises:
            RunError: If the folder cannot be written to.
        """
        from mgm.inference.model_card import card_of

        card = card or card_of(self.description, self.origin)
        ModelFolder(Path(save_directory)).write(self.description, self.model.state_dict(), card)

    def push_to_hub(self, repo_id: str, *, commit_message: str = "Model of mgm", **upload: Any) -> str:
        """Upload the folder that `save_pretrained` writes; returns the URL of the commit.

        Args:
            repo_id: ``user/model``.
            commit_message: Message of the commit.
            **upload: ``private``, ``token``, ``branch``, ``create_pr``; see `mgm.inference.hub.push`.

        Raises:
            ConfigError: If the extra ``hub`` is not installed.
            RunError: If the upload fails.
        """
        from mgm.inference.hub import push

        with TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push(Path(folder), repo_id, commit_message=commit_message, **upload)

    @property
    def description(self) -> ModelDescription:
        """Everything needed to rebuild the network."""
        return ModelDescription.of(self.experiment, self.info)

    @property
    def image_size(self) -> Size:
        """Height and width of the network's input in pixels."""
        return self.experiment.data.size

    def make_fit(self, fit: str | Fit = AS_TRAINED, detail: float = 1.0) -> Fit:
        """Build a fit by its name, see `mgm.inference.fit.make_fit`; a `Fit` is returned unchanged."""
        return make_fit(fit, detail, self.experiment.data.aspect) if isinstance(fit, str) else fit

    def predict_batch(self, images: Tensor, *, flip_average: bool | None = None) -> Predictions:
        """Raw network outputs for a batch of images.

        Args:
            images: ``[B, C, H, W]`` in (-1, 1); H and W are multiples of the encoder's stride.
            flip_average: Average with the predictions for the mirrored images, mirrored back; None: the value of
                `Experiment.flip_average`.
        """
        predict = flip_averaged(self._predict, self.tasks) if self._averages(flip_average) else self._predict
        return predict(images)

    @torch.no_grad()
    def _predict(self, images: Tensor) -> Predictions:
        return {name: prediction.float() for name, prediction in self.model(images.to(self.device)).items()}

    def _averages(self, flip_average: bool | None) -> bool:
        return self.experiment.flip_average if flip_average is None else flip_average

    def predict_windows(self, windows: Tensor, *, flip_average: bool | None = None) -> Predictions:
        """Raw network outputs for windows from `Fit.windows`.

        Args:
            windows: ``[N, C, H, W]``, uint8 or uint16.
            flip_average: As for `predict_batch`.

        Returns:
            Task -> ``[N, C, H, W]`` on the model's device.
        """
        return self._in_chunks(windows, lambda images: self.predict_batch(images, flip_average=flip_average))

    def predict_both_ways(
        self, windows: Tensor, *, flip_average: bool | None = None
    ) -> tuple[Predictions, Predictions]:
        """The result of `predict_windows`, and the predictions for the mirrored windows, mirrored back."""
        flipped = self._in_chunks(windows, mirrored(self._predict, self.tasks))
        predictions = self.predict_windows(windows, flip_average=False)
        return average(predictions, flipped) if self._averages(flip_average) else predictions, flipped

    def _in_chunks(self, windows: Tensor, predict: Callable[[Tensor], Predictions]) -> Predictions:
        chunks = cast(tuple[Tensor, ...], windows.split(WINDOWS_AT_ONCE))
        parts = [predict(normalise_levels(chunk.to(self.device))) for chunk in chunks]
        return {name: torch.cat([part[name] for part in parts]) for name in self.tasks}

    def finish(self, predictions: Predictions, fit: Fit, size: Size) -> dict[str, Tensor]:
        """Merge the predictions for the windows of one image into values at the image's size, on the CPU.

        Args:
            predictions: From `predict_windows`.
            fit: The fit that made the windows.
            size: Size of the image.

        Returns:
            As for `predict`.
        """
        return {
            name: _in_strips(task.decode_at, [fit.restore(predictions[name], size)], size)
            for name, task in self.tasks.items()
        }

    def confidence(self, predictions: Predictions, mirrored: Predictions, fit: Fit, size: Size) -> dict[str, Tensor]:
        """Confidence of the values that `finish` returns, on the CPU.

        Args:
            predictions: First result of `predict_both_ways`.
            mirrored: Second result of `predict_both_ways`.
            fit: As for `finish`.
            size: As for `finish`.

        Returns:
            Task -> float ``[H, W]`` in [0, 1], as for `predict_with_confidence`.
        """
        first, second = ({name: fit.restore(p[name], size) for name in self.tasks} for p in (predictions, mirrored))
        return {
            name: _in_strips(task.confidence_at, [first[name], second[name]], size) for name, task in self.tasks.items()
        }

    def predict(
        self,
        image: str | Path | Image.Image | np.ndarray,
        *,
        fit: str | Fit = AS_TRAINED,
        flip_average: bool | None = None,
    ) -> dict[str, Tensor]:
        """Predict the values of every task for one image of any size, at that size.

        Args:
            image: A file, a PIL image, or an array: ``[H, W, 3]`` uint8; for models of other image formats
                (`DatasetInfo.image`) ``[H, W, C]`` or ``[C, H, W]`` in the units of the training files, see
                `mgm.data.channels.read_image`.
            fit: How the image is brought to the network's size, see `mgm.inference.fit.FITS`: ``resize`` squeezes it and
                stretches the predictions back; ``pad`` and ``tile`` keep the aspect ratio; ``auto`` does what training did.
            flip_average: Average with the prediction for the mirrored image, which takes twice as long; None: the value of
                `Experiment.flip_average`.

        Returns:
            Task -> value: class indices int64 ``[H, W]``, others float ``[C, H, W]`` (metres, unit vectors, ...).

        Raises:
            DataError: If the file is not a readable image, or has other channels than the model expects.
            ConfigError: If there is no such fit, or the image is too large for it.
        """
        fit = self.make_fit(fit)
        pixels = read_image(image, self.info.image)
        windows = fit.windows(pixels, self.image_size)
        predictions = self.predict_windows(windows, flip_average=flip_average)
        return self.finish(predictions, fit, (pixels.shape[0], pixels.shape[1]))

    def predict_with_confidence(
        self,
        image: str | Path | Image.Image | np.ndarray,
        *,
        fit: str | Fit = AS_TRAINED,
        flip_average: bool | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Predict like `predict`, and estimate the confidence of each pixel; takes twice as long.

        For segmentation the confidence is the probability of the predicted class. For regression tasks it is the agreement
        with the prediction for the mirrored image (see `mgm.tasks.base.Task.confidence`). High confidence does not mean that
        a prediction is correct.

        Args:
            image: As for `predict`.
            fit: As for `predict`.
            flip_average: As for `predict`, at no further cost.

        Returns:
            Task -> value, and task -> confidence: float ``[H, W]`` in [0, 1].
        """
        fit = self.make_fit(fit)
        pixels = read_image(image, self.info.image)
        both = self.predict_both_ways(fit.windows(pixels, self.image_size), flip_average=flip_average)
        size = (pixels.shape[0], pixels.shape[1])
        return self.finish(both[0], fit, size), self.confidence(*both, fit, size)


def load(path: str | Path, device: str = "auto") -> TrainedModel:
    """Load the trained network of a run or a model folder; see `TrainedModel.load`."""
    return TrainedModel.load(path, device)


def _in_strips(compute: Callable[..., Tensor], predictions: list[Tensor], size: Size) -> Tensor:
    """Evaluate ``compute(*predictions, size)`` for one image, on the CPU; large images in horizontal strips.

    Strips bound the memory, since the intermediate results of a task are several times as large as its values.
    """
    height, width = size
    rows = max(1, STRIP_PIXELS // width)
    if height <= rows or height < predictions[0].shape[-2]:
        return compute(*predictions, size)[0].cpu()
    whole = torch.empty(0)
    for top in range(0, height, rows):
        count = min(rows, height - top)
        parts = (enlarged_rows(prediction, top, count, height) for prediction in predictions)
        strip = compute(*parts, (count, width))[0].cpu()
        if not top:
            whole = strip.new_empty((*strip.shape[:-2], height, width))
        whole[..., top : top + count, :] = strip
    return whole
