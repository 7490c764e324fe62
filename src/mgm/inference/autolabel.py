"""Pseudo-labels: the predictions for a folder of images, written as a data set that people can correct and networks train on."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from torch import Tensor

from mgm.data.files import DRAFT, LONGEST_RESULT, write_atomically, write_text
from mgm.data.sources.folder.settings import CONFIDENCE_FILE, FILE, parse_settings
from mgm.errors import ConfigError, DataError
from mgm.inference.inputs import PhotographFile, find_photographs
from mgm.inference.model import TrainedModel
from mgm.inference.predict import PhotographPredictor, PredictedPhotograph
from mgm.tasks.base import Task
from mgm.tasks.own import OwnNumbers
from mgm.tasks.segmentation import Segmentation
from mgm.training.checkpoint import make_folder
from mgm.types import IGNORE_INDEX, ImageFormat, Size

JOURNAL = ".autolabel.jsonl"
"""Progress file of an unfinished folder: the first line identifies model and input, each further line a finished image."""


@dataclass(frozen=True)
class LabelledShare:
    """How much of one task was labelled, in one image or on average."""

    labelled: float
    """Share of the pixels that have a label, in [0, 1]."""
    confidence: float
    """Mean over all pixels, labelled or not, in [0, 1]; see `mgm.tasks.base.Task.confidence`."""


@dataclass(frozen=True)
class Autolabelled:
    """Result of `autolabel`."""

    images: Mapping[str, Mapping[str, LabelledShare]]
    """Image -> task -> share; images with the lowest confidence first."""
    tasks: Mapping[str, Task]
    failed: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Name and error message of each image that was left out."""

    def total(self, task: str) -> LabelledShare:
        """Labelled share and confidence of one task, averaged over images."""
        shares = [shares[task] for shares in self.images.values()]
        return LabelledShare(
            float(np.mean([share.labelled for share in shares])), float(np.mean([share.confidence for share in shares]))
        )


def autolabel(
    run: str | Path,
    folder: str | Path,
    out: str | Path,
    *,
    confidence: float = 0.0,
    skip_bad: bool = False,
    device: str = "auto",
) -> Autolabelled:
    """Label all images of a folder with a trained network and write them as a folder data set (``docs/data.md``).

    ``out/rgb`` holds copies of the images and ``out/TASK`` their labels; ``dataset.yaml`` describes the labels, and
    ``confidence.csv`` lists the confidence of each image, lowest first. Classes are palette PNG files with 255 for no label,
    depth is 16-bit millimetres (floating-point metres beyond 65.5 m), normals are RGB, everything else is ``.npy``. An image
    without a single labelled pixel of a task gets no file for that task. Scenes are not predicted.

    ``out`` appears only when it is complete. Repeating a call that was killed continues where it stopped.

    Args:
        run: Folder of a run or of an exported model.
        folder: Folder of images, searched recursively; if it contains ``rgb/``, only that subfolder is searched.
        out: A new or empty folder outside ``folder``.
        confidence: Pixels with a lower confidence get no label; 0 labels all pixels.
        skip_bad: Leave out images that cannot be read; otherwise one such image is an error and nothing is written.
        device: Device to compute on.

    Raises:
        ConfigError: If ``confidence`` is not in [0, 1), or ``out`` lies within ``folder``.
        DataError: If ``out`` is not empty, an image cannot be read, or there is no image.
        RunError: If ``run`` holds no model, or ``out`` cannot be written to.
    """
    folder, out = Path(folder), Path(out)
    if not 0 <= confidence < 1:
        raise ConfigError(f"confidence is {confidence:g}; it must be in [0, 1), and 0 labels every pixel")
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of images")
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise ConfigError(f"{out} lies within the folder of images; choose another folder with --out")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out} already exists and may hold corrected labels; choose another folder with --out")
    model = TrainedModel.load(run, device)
    settings = settings_of(model, confidence)
    parse_settings(settings.encode(), FILE)  # fail before predicting if the reader would reject it
    root = folder / "rgb" if (folder / "rgb").is_dir() else folder
    photographs = find_photographs([str(root)], (), out, arrays=not model.info.image.is_photograph)
    begun = out.resolve().with_name(f"{out.resolve().name}.partial")
    identity = {"weights": _digest(model), "folder": str(root.resolve()), "confidence": confidence}
    done = _begin(begun, identity)
    writer = _Writer(begun, model.tasks, confidence, done)
    predictor = PhotographPredictor(model, writer.write, model.make_fit(), confidence=True, check=_check_name)
    left = [photograph for photograph in photographs if photograph.name not in done]
    try:
        failed = predictor.run(left, skip_bad=skip_bad).failed if left else []
    except DataError as error:
        if not (skip_bad and done):  # if an earlier call labelled some, only unreadable images may be left
            if not done:  # nothing to continue from
                shutil.rmtree(begun)
            raise
        failed = [(photograph.name, str(error)) for photograph in left]
    images = dict(sorted(done.items(), key=lambda item: np.mean([share.confidence for share in item[1].values()])))
    write_text(begun / CONFIDENCE_FILE, _table(images, model.tasks))
    write_text(begun / FILE, settings)
    (begun / JOURNAL).unlink()
    if out.is_dir():
        out.rmdir()
    begun.rename(out)
    return Autolabelled(images, model.tasks, failed)


def settings_of(model: TrainedModel, confidence: float) -> str:
    """Text of ``dataset.yaml`` for labels predicted by a model: classes, custom tasks and the origin of the labels."""
    info = model.info
    origin = model.origin.name if model.origin else "a network"
    sure = f", pixels below a confidence of {confidence:g} left out" if confidence else ""
    values: dict[str, Any] = {
        "scenes": "none",
        "notes": {"labels": f"predicted by {origin} ({model.experiment.recipe}, learned on {info.name}){sure}"},
    }
    if images := _declared(info.image):
        values = {"rgb": images, **values}
    if "semantic" in model.tasks:
        values = {"classes": list(info.classes), **values}
    if own := {name: _entry(info.own_tasks[name]) for name in model.tasks if name in info.own_tasks}:
        values["tasks"] = own
    return yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=120)


def _declared(image: ImageFormat) -> dict[str, Any]:
    """Entry ``rgb`` of ``dataset.yaml``; empty for ordinary RGB images."""
    declared = {"channels": image.channels, "range": image.value_range, "show": image.show}
    given = {key: value for key, value in declared.items() if value}
    return {} if image.is_photograph and not image.show else json.loads(json.dumps(given))


def _entry(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Definition of a task for ``dataset.yaml``; colours go into ``classes``, since ``colours`` there means coloured label maps."""
    entry = {key: value for key, value in definition.items() if value not in ("", [], {})}
    if colours := entry.pop("colours", None):
        entry["classes"] = {name: colours.get(name) for name in entry["classes"]}
    return json.loads(json.dumps(entry))  # copies, since YAML would write shared objects as references


def _digest(model: TrainedModel) -> str:
    """Hash of the weights and of the meaning of the predictions (classes, tasks)."""
    found = hashlib.blake2b(json.dumps([model.info.classes, model.info.own_tasks, list(model.tasks)]).encode())
    for name, values in sorted(model.model.state_dict().items()):
        found.update(name.encode() + values.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


Shares = dict[str, LabelledShare]
"""Task -> its labelled share in one image."""


def _begin(begun: Path, identity: Mapping[str, object]) -> dict[str, Shares]:
    """Start an output folder, or continue one; returns the finished images.

    Raises:
        DataError: If the folder was started with another model, input folder or confidence.
    """
    journal = begun / JOURNAL
    if not begun.exists():
        make_folder(begun)
        write_text(journal, json.dumps(identity) + "\n")
        return {}
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.is_file() else []
    if not lines or json.loads(lines[0]) != json.loads(json.dumps(identity)):
        raise DataError(
            f"{begun} was started by an earlier call with another model, folder or --confidence; remove it, or choose another "
            "--out"
        )
    for draft in begun.rglob(DRAFT):
        draft.unlink()
    done: dict[str, Shares] = {}
    for line in lines[1:]:
        try:
            name, shares = json.loads(line)
        except ValueError:  # a truncated last line: the call was killed while writing it
            continue
        done[name] = {task: LabelledShare(*numbers) for task, numbers in shares.items()}
    write_text(journal, "\n".join([lines[0], *(_line(name, shares) for name, shares in done.items())]) + "\n")
    return done


def _line(name: str, shares: Shares) -> str:
    return json.dumps([name, {task: [share.labelled, share.confidence] for task, share in shares.items()}])


def _check_name(photograph: PhotographFile, size: Size) -> None:
    del size
    if len(photograph.path.name.encode(errors="surrogateescape")) > LONGEST_RESULT:
        raise ConfigError(f"the file name is longer than {LONGEST_RESULT} bytes; rename the file")


@dataclass(frozen=True)
class _Writer:
    """Writes the files of each image: the labels, then a copy of the image, then its line in the progress file."""

    begun: Path
    tasks: Mapping[str, Task]
    confidence: float
    done: dict[str, Shares]
    lock: Any = field(default_factory=Lock)

    def write(self, found: PredictedPhotograph) -> None:
        """Write the files of one image; called from several threads."""
        name, shares = found.photograph.name, Shares()
        for task, kind in self.tasks.items():
            sure = found.confidence[task]
            missing: float = IGNORE_INDEX if kind.categorical else torch.nan
            target = found.values[task].masked_fill(sure < self.confidence, missing)
            shares[task] = share = LabelledShare(float(kind.valid(target[None]).float().mean()), float(sure.mean()))
            if not share.labelled:
                continue
            ending, write = label_file(kind, target)
            place = self.begun / task / f"{name}{ending}"
            make_folder(place.parent)
            write_atomically(place, write)
        place = self.begun / "rgb" / f"{name}{found.photograph.path.suffix}"
        make_folder(place.parent)
        with found.photograph.path.open("rb") as source:
            write_atomically(place, partial(shutil.copyfileobj, source))
        with self.lock, (self.begun / JOURNAL).open("a", encoding="utf-8") as journal:
            self.done[name] = shares
            journal.write(_line(name, shares) + "\n")


def label_file(task: Task, target: Tensor) -> tuple[str, Any]:
    """Suffix and writer of a label file, in the default format of folder data sets; numbers are clipped to the task's range.

    Args:
        task: The task.
        target: Without batch dimension: ``[H, W]`` class indices or ``[C, H, W]`` values.
    """
    if isinstance(task, OwnNumbers):
        target = target.clamp(*task.ends)  # labels beyond the range would be reported as suspicious
    array = task.file_settings().encode(target.numpy())
    if array.dtype.kind == "f":
        return ".npy", partial(np.save, arr=array, allow_pickle=False)
    picture = Image.fromarray(array)
    if isinstance(task, Segmentation):
        # 256 entries: with a shorter palette PNG uses too few bits to store 255
        colours = np.zeros((IGNORE_INDEX + 1, 3), np.uint8)
        colours[: task.channels] = task.palette
        picture.putpalette(colours.ravel().tolist())
    return ".png", partial(picture.save, format="PNG")


def _table(images: Mapping[str, Shares], tasks: Mapping[str, Task]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", *(f"{what}_{task}" for task in tasks for what in ("confidence", "labelled"))])
    for name, shares in images.items():
        numbers = (number for task in tasks for number in (shares[task].confidence, shares[task].labelled))
        rows.writerow([name, *(f"{number:.4f}" for number in numbers)])
    return text.getvalue()
