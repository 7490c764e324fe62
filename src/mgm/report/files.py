"""Files that commands write: predictions of a photograph, generated images, a look at a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mgm.data.base import DataSource
from mgm.data.images import read_rgb
from mgm.data.loading import StoreReader
from mgm.data.store import cached_store
from mgm.errors import ConfigError, RunError
from mgm.experiments.trained import TrainedModel
from mgm.report.contact import contact_sheet
from mgm.report.generated import generated_sheet
from mgm.report.predictions import predict_picture
from mgm.report.run import scene_name
from mgm.tasks import make_tasks
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


def inspect_source(source: DataSource, size: int, num: int, out: Path) -> Iterator[str]:
    """Convert a data set, say what it holds, and draw a contact sheet.

    Args:
        source: The data set.
        size: Side of the converted images.
        num: Samples on the sheet.
        out: The sheet's file.

    Yields:
        Lines for people.

    Raises:
        ConfigError: If no sample is to be shown.
    """
    if num < 1:
        raise ConfigError(f"--num is {num}; it must be at least 1")
    info = source.info
    yield f"{info.name}: {len(source)} images; tasks {', '.join(info.tasks)}; {len(info.classes)} classes"
    for kind, note in info.notes.items():
        yield f"note on {kind}: {note}"
    tasks = make_tasks(info.tasks, info.classes)
    reader = StoreReader(cached_store(source, size), info.tasks)
    scenes = reader.scenes
    label = "object" if info.multi_hot else "scene"
    for index, name in enumerate(info.scenes):
        yield f"  {label} {name}: {int(np.nansum(scenes[:, index]))} images"
    for name, share in labelled_shares(reader).items():
        yield f"  {name}: {100 * share:.1f} % of pixels labelled"
    chosen = np.linspace(0, len(source) - 1, min(num, len(source))).round().astype(int)
    batch = reader.batch(chosen)
    make_folder(out.parent)
    contact_sheet(out, batch.images, batch.targets, tasks, [scene_name(row, info.scenes) for row in batch.scene])
    yield f"contact sheet: {out}"


def labelled_shares(reader: StoreReader, chunk: int = 64) -> dict[str, float]:
    """Task -> share of all pixels that have a label."""
    tasks = make_tasks(reader.tasks, reader.store.info.classes)
    counts = dict.fromkeys(tasks, 0)
    pixels = 0
    for start in range(0, len(reader), chunk):
        batch = reader.batch(np.arange(start, min(start + chunk, len(reader))))
        pixels += batch.images[:, 0].numel()
        for name, task in tasks.items():
            counts[name] += int(task.valid(batch.targets[name]).sum())
    return {name: count / pixels for name, count in counts.items()}
