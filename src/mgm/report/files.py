"""Files that commands write: predictions of a photograph and generated images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mgm.data.images import read_rgb
from mgm.errors import RunError
from mgm.experiments.trained import TrainedModel
from mgm.report.generated import generated_sheet
from mgm.report.predictions import predict_picture
from mgm.training.checkpoint import write_atomically

NEEDS_FOLDER = "choose another place with --out"


def save_picture(path: Path, pixels: np.ndarray) -> None:
    """Write ``[H, W, 3]`` uint8 as PNG.

    Raises:
        RunError: If the place cannot be written to.
    """
    make_folder(path.parent)
    write_atomically(path, lambda file: Image.fromarray(pixels).save(file, format="PNG"))


def make_folder(path: Path) -> None:
    """Create a folder unless it is there.

    Raises:
        RunError: If that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot create {path} ({error.strerror}); {NEEDS_FOLDER}") from None


def write_prediction(model: TrainedModel, image: Path, out: Path) -> Iterator[Path]:
    """Predict one photograph and write, per task, ``NAME_TASK.png`` (coloured) and ``NAME_TASK.npy`` (raw), and a sheet.

    The raw arrays are what `TrainedModel.predict` returns: class indices ``[H, W]`` uint8, metres ``[1, H, W]`` float32,
    unit vectors ``[3, H, W]`` float32, ...

    Yields:
        The files, as they are written.

    Raises:
        DataError: If the image cannot be read; then nothing is written.
    """
    pixels = read_rgb(image)
    values = model.predict(pixels)
    make_folder(out)
    for name, task in model.tasks.items():
        picture = out / f"{image.stem}_{name}.png"
        save_picture(picture, task.colour(values[name][None])[0].permute(1, 2, 0).numpy())
        yield picture
        array = values[name].numpy()
        raw = out / f"{image.stem}_{name}.npy"
        stored = array.astype(np.uint8 if array.dtype == np.int64 else np.float32)
        write_atomically(raw, lambda file, stored=stored: np.save(file, stored, allow_pickle=False))
        yield raw
    shown = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1
    sheet = out / f"{image.stem}_all.png"
    save_picture(sheet, predict_picture(shown, values, model.tasks))
    yield sheet


def write_generated(path: Path, images: Mapping[str, Tensor]) -> None:
    """A grid of generated images, a row per scene."""
    make_folder(path.parent)
    per_scene = len(next(iter(images.values())))
    generated_sheet(path, {"": torch.cat(list(images.values()))}, list(images), per_scene)
