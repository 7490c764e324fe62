"""A folder of images and label files as a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np

from mgm.data.base import DataSource, Splits
from mgm.data.files import open_tree
from mgm.data.resizing import fitted, in_view, resize_image, resize_target, same_shape
from mgm.data.scene_labels import classes_in_view
from mgm.data.sources.folder.label_maps import INTERPOLATED, LabelMaps, counts_objects, interpolated_share
from mgm.data.sources.folder.parts import given_parts, lacking_parts, split_pictures
from mgm.data.sources.folder.pictures import Picture, list_pictures, parts_taken_for_scenes, unread
from mgm.data.sources.folder.pixels import Palette, image_format, is_array, palette_of, read_levels, read_pixels
from mgm.data.sources.folder.settings import FILE, FolderSettings, TableSettings, read_settings
from mgm.data.sources.folder.table import SceneTable, no_scenes, read_table, scene_table
from mgm.errors import ConfigError, DataError, unknown
from mgm.tasks import SemanticSegmentation, Task, tasks_for
from mgm.tasks.files import HINT_255, FileSettings, Pixels, typical
from mgm.types import IGNORE_INDEX, DatasetInfo, FrameLike, ImageFormat, Sample

READER_VERSION = 4
"""Changes when files or splits of a folder of one's own change their meaning: stores are then made again."""
PRESET_VERSION = 3
"""Likewise for presets."""
NUM_PROBES = 12
"""Number of images that are read to detect problems of the whole data set."""
DARK = 0.25
"""Images count as dark if all their pixels are below this fraction of the range."""
JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
SEMANTIC = SemanticSegmentation.name


@final
class FolderSource(DataSource):
    """A folder or zip archive with ``rgb/`` and a folder per task; see ``docs/data.md``.

    Labels are matched to images by name. An image without a label for a task has an invalid target, so images without any label
    serve as weakly labelled or unlabelled images; they are never in a random validation or test set.

    Args:
        path: The folder or zip archive.
        settings: Meaning of the files; by default read from ``dataset.yaml``.
        reader: Name of the preset that the settings come from; part of the fingerprint.
        variant: Distinguishes settings of the same preset; part of the fingerprint.

    Raises:
        DataError: If there are no images, no image has a label, a label belongs to no image, or ``dataset.yaml`` or the table of
            scene labels is invalid.
    """

    def __init__(
        self, path: Path | str, settings: FolderSettings | None = None, reader: str = "folder", variant: str = ""
    ) -> None:
        self._tree = open_tree(path)
        self._settings = settings or read_settings(self._tree)
        version = READER_VERSION if reader == "folder" else PRESET_VERSION
        self._reader = {"reader": reader, "version": version, **({"labels": variant} if variant else {})}
        self._pictures = list_pictures(self._tree, self._settings)
        self._tasks = tuple(task for task in self._kinds if any(task in picture.labels for picture in self._pictures))
        if not self._tasks:
            folders = ", ".join(f"{self._settings.folder(task)}/" for task in self._kinds)
            raise DataError(
                f"{self._tree.path}: no image has a label; put labels into {folders}, named like their image, or define tasks of "
                "your own in dataset.yaml ('tasks: {height: {range: [0, 40], unit: m}}', docs/own_field.md)"
                f"{'; ' * bool(self._unread)}{self._unread}"
            )
        maps = [picture.labels[SEMANTIC] for picture in self._pictures if SEMANTIC in picture.labels]
        self._label_maps = LabelMaps(self._tree, self._settings, maps)
        self._scenes = self._read_scenes()
        split, group = self._settings.split, self._settings.table.group
        self._parts = given_parts(self._pictures, split)
        official = "test" in self._parts and ("validation" in self._parts or split.official_validation > 0)
        self.split_kinds = ("random", *filter(None, [group]), *(["official"] if official else []))

    @property
    def _kinds(self) -> dict[str, type[Task]]:
        # not stored: task classes made from definitions cannot be pickled
        return self._settings.kinds

    @property
    def info(self) -> DatasetInfo:
        """Info of the data set; its tasks are those for which any image has a label."""
        settings, notes = self._settings, dict[str, str]()
        counts = {task: sum(task not in picture.labels for picture in self._pictures) for task in self._tasks}
        lacking = ", ".join(f"{count} without {task}" for task, count in counts.items() if count)
        if lacking:
            notes["files"] = f"{len(self)} images; {lacking}"
        if getattr(settings.files("normal"), "axes", "") == "opengl":
            notes["normal axes"] = "y and z turned, from opengl to opencv"
        if settings.class_files.first == "auto":
            first = self._label_maps.files.first
            notes[SEMANTIC] = f"classes count from {first}{', 0 is unlabelled' if first else ''}"
        of_classes = settings.scenes == "classes"
        return DatasetInfo(
            name=settings.name or self._tree.path.resolve().name.removesuffix(".zip"),
            tasks=self._tasks,
            classes=self._label_maps.classes,
            scenes=self._label_maps.classes if of_classes else self._scenes.names,
            multi_hot=of_classes or self._scenes.multi_hot,
            notes={**notes, **settings.notes},
            colours=self._label_maps.colours,
            own_tasks={name: own for name, own in settings.own_tasks.items() if name in self._tasks},
            image=self._format,
        )

    @property
    def fingerprint(self) -> dict[str, object]:
        """Reader, number of images, and a hash of all files."""
        return {**self._reader, "count": len(self), "files": self._digest}

    @cached_property
    def _digest(self) -> str:
        return self._tree.digest()

    def __len__(self) -> int:
        return len(self._pictures)

    def read(self, index: int, size: FrameLike) -> Sample:
        """One sample; see `DataSource.read`."""
        picture, settings = self._pictures[index], self._settings
        rgb = self._image(picture)
        window = self._window(rgb)
        mask = self._mask(rgb, picture)
        targets, scene = {}, self._scenes.rows[index].copy()
        if settings.scenes == "classes":
            scene = np.full(len(self._label_maps.classes), np.nan, np.float32)
        for task, kind in self._kinds.items():
            if task not in self._tasks:
                continue
            if task not in picture.labels:
                targets[task] = kind.missing_target(size)
                continue
            files = self._files(task)
            values = self._decoded(picture, task, self._beside(rgb, picture, task, files.pixels))
            where = self._tree.describe(picture.labels[task])
            files.check_against(self._typical.get(task, float("nan")), values, where)
            if mask is not None and values.ndim == 3:
                values = np.where(mask[:, :, None], values, np.nan)
            if settings.scenes == "classes" and task == SEMANTIC:
                scene = classes_in_view(in_view(values[window], size), len(self._label_maps.classes))
            targets[task] = resize_target(values[window], size)
        return Sample(resize_image(rgb[window], size), targets, scene, picture.name)

    def shape(self, index: int) -> tuple[int, int]:
        """Height and width of the image after ``crop``; see `DataSource.shape`."""
        rgb = self._image(self._pictures[index])
        height, width = rgb[self._window(rgb)].shape[:2]
        return height, width

    def splits(self, kind: str, seed: int) -> Splits:
        """Split the images.

        ``official``: as given by the table or the folders; needs a test set, and a validation set unless the settings take it from
        the labelled training images; images without a part are training images. ``random``: 70 / 15 / 15 % by default; given
        validation and test sets are kept, unless the settings say otherwise. A split with the name of the group column is also
        random, but keeps groups together. Images without any label are training images, or in no part if the others of their
        group are held out.

        Raises:
            ConfigError: If there is no such split.
            DataError: If there are too few labelled images.
        """
        if kind not in self.split_kinds:
            raise ConfigError(
                unknown(f"split of {self.info.name}", kind, self.split_kinds) + lacking_parts(self._parts, kind)
            )
        return split_pictures(self._pictures, self._settings, self._tasks, kind, seed)

    def remarks(self, index: int) -> tuple[str, ...]:
        """Warnings about the label files of an image, such as normals that are not of unit length; see `DataSource.remarks`."""
        found = []
        for task, file in self._pictures[index].labels.items():
            if task in self._kinds and (files := self._files(task)).remarkable:
                found.append(files.remark(self._pixels(file, files.pixels), self._tree.describe(file)))
        return tuple(filter(None, found))

    def warnings(self) -> tuple[str, ...]:
        """Warnings about files that are not read, likely misinterpretations, and problems found in a few images."""
        found = [self._unread, parts_taken_for_scenes(self._pictures)]
        if not self._settings.mask.folder and any("mask" in picture.labels for picture in self._pictures):
            found.append(
                "mask/ is read as masks of valid pixels; if it holds label maps, set 'semantic: {folder: mask}' in dataset.yaml"
            )
        found += [self._scenes.unused, *_alike(self._scenes.names)]
        for task in self._tasks if self._reader["reader"] == "folder" else ():
            lossy = [
                file for picture in self._pictures if (file := picture.labels.get(task, "")).lower().endswith(JPEG)
            ]
            if lossy and self._files(task).pixels in ("numbers", "levels"):
                found.append(
                    f"{len(lossy)} files of {task} are JPEG, such as {lossy[0]}; JPEG compression changes numbers, especially at "
                    "edges; if you have the originals, save them as PNG, TIFF or .npy"
                )
        if SEMANTIC in self._tasks and self._label_maps.levels:
            numbers = ", ".join(map(str, self._label_maps.levels))
            found.append(
                f"label maps hold the numbers {numbers}, each of which is read as a class; name them with "
                "'semantic: {values: {NAME: NUMBER}}' in dataset.yaml, or list those that mean none in 'semantic: {ignore: ...}'"
            )
        for task in (kind for kind in self._kinds if kind not in self._tasks):
            place = self._settings.folder(task)
            if task in self._settings.own_tasks:
                found.append(
                    f"no image has a label of {task}, which dataset.yaml defines; put its labels into {place}/"
                )
            elif (self._tree.path / place).is_dir():
                found.append(f"no image has a label of {task}, although there is a folder {place}/")
        return tuple(filter(None, found + self._probed[0]))

    def doubts(self) -> tuple[str, ...]:
        """See `DataSource.doubts`."""
        return tuple(self._probed[1])

    @cached_property
    def _probed(self) -> tuple[list[str], list[str]]:
        """Warnings found in a few images (odd values, labels of another size, interpolated maps, dark images), and `doubts`."""
        tasks, doubts = tasks_for(self.info), list[str]()
        found: dict[str, str] = {}
        brightest, sizes = 0.0, set[str]()
        for task in self._tasks:
            maps, targets = [], list[np.ndarray]()
            for picture in self._probes(task):
                try:
                    values = self._pixels(picture.labels[task], self._files(task).pixels, task)
                    rgb = self._image(picture)
                except DataError:  # reported when the sample is read
                    continue
                maps.append(values)
                sizes.add(f"{rgb.shape[1]}x{rgb.shape[0]}")
                brightest = max(brightest, float(rgb.max() / np.iinfo(rgb.dtype).max))
                with suppress(DataError):
                    if remark := self._files(task).remark(values, self._tree.describe(picture.labels[task])):
                        found.setdefault(f"values of {task}", remark)
                    targets.append(self._decoded(picture, task, values))
                if values.shape[:2] != rgb.shape[:2] and same_shape(values.shape[:2], rgb.shape[:2]):
                    (height, width), (rgb_height, rgb_width) = values.shape[:2], rgb.shape[:2]
                    found[task] = (
                        f"{task} is {width} x {height} pixels, but the image is {rgb_width} x {rgb_height}: each pixel of the "
                        "image gets the nearest value"
                    )
            doubts += _doubts_about(tasks[task], targets)
            if self._kinds[task].categorical and self._files(task).pixels == "indices":
                maps = [values for values in maps if values.ndim == 2 and values.dtype.kind in "iu"]
                share = interpolated_share(maps)
                if task == SEMANTIC and not self._label_maps.named and counts_objects(maps):
                    found["objects"] = (
                        "the label maps seem to number the single objects of each image (1, 2, 3, ...), not classes; for "
                        "segmentation give all objects of a kind the same number, or name the classes in classes.txt"
                    )
                elif share > INTERPOLATED:
                    found[f"classes of {task}"] = (
                        f"{100 * share:.0f} % of the edges in label maps pass through a third class: the label maps seem to have "
                        "been interpolated, or saved as JPEG; make them again from their originals"
                    )
        if sizes and self._settings.crop and sizes.isdisjoint(self._settings.crop):
            found["crop"] = (
                f"crop has no effect on the images that were checked: they are {', '.join(sorted(sizes)[:3])} (width x height), "
                f"not {', '.join(self._settings.crop)}"
            )
        if 0 < brightest < DARK and not self._format.is_photograph:
            spans = self._format.value_range or ((0, np.iinfo(self._format.dtype).max),)
            highest = max(low + brightest * (high - low) for low, high in spans)
            found["images"] = (
                f"the images that were checked fill at most {100 * brightest:.2g} % of the range of numbers, so networks see them "
                f"as black; set the range: 'rgb: {{range: [0, {highest:.5g}]}}' in dataset.yaml"
            )
        return list(found.values()), doubts

    @cached_property
    def _unread(self) -> str:
        settings = self._settings
        return unread(self._tree, self._pictures, (FILE, settings.table.file, settings.class_file, settings.scene_file))

    def _window(self, rgb: np.ndarray) -> tuple[slice, slice]:
        """Region of an image of this size that is used."""
        height, width = rgb.shape[:2]
        top, bottom, left, right = self._settings.crop.get(f"{width}x{height}", (0, height, 0, width))
        return np.s_[top:bottom, left:right]

    @cached_property
    def _typical(self) -> dict[str, float]:
        """Task whose files must be of similar magnitude -> the median of the `typical` values of a few files."""
        found: dict[str, float] = {}
        for task in self._tasks:
            medians = []
            for picture in self._probes(task) if self._files(task).comparable else ():
                with suppress(DataError):  # reported when the sample is read
                    values = self._pixels(picture.labels[task], self._files(task).pixels)
                    medians.append(typical(self._files(task).decode(values, 1, (), "")))
            if len(known := np.array(medians)[np.isfinite(medians)]) > 2:
                found[task] = float(np.median(known))
        return found

    def _probes(self, task: str) -> list[Picture]:
        """A few evenly spaced images that have a label of a task."""
        having = [picture for picture in self._pictures if task in picture.labels]
        places = np.unique(np.linspace(0, len(having) - 1, NUM_PROBES).round().astype(int))
        return [having[place] for place in places]

    def _files(self, task: str) -> FileSettings:
        return self._label_maps.files if task == SEMANTIC else self._settings.files(task)

    def _decoded(self, picture: Picture, task: str, pixels: np.ndarray) -> np.ndarray:
        """Target ``[H, W]`` or ``[H, W, C]`` from the values of a label file; raises `DataError` as `FileSettings.decode`."""
        own = self._settings.own_tasks.get(task)
        classes = tuple(own.get("classes", ())) if own else self._label_maps.classes
        where = self._tree.describe(picture.labels[task])
        return self._files(task).decode(pixels, self._kinds[task].target_shape(1)[0], classes, where)

    def _beside(self, rgb: np.ndarray, picture: Picture, kind: str, pixels: Pixels) -> np.ndarray:
        """Values of a label file, resized to the image; raises `DataError` if it has another aspect ratio."""
        file = picture.labels[kind]
        values = self._pixels(file, pixels, kind)
        return fitted(values, self._tree.describe(file), rgb, self._tree.describe(picture.rgb), scaled=True)

    def _mask(self, rgb: np.ndarray, picture: Picture) -> np.ndarray | None:
        """Mask ``[H, W]`` of the valid pixels, brighter than half of white (255, or 1 if no number is larger); None: all are."""
        if "mask" not in picture.labels:
            return None
        values = self._beside(rgb, picture, "mask", "numbers" if is_array(picture.labels["mask"]) else "colours")
        return values.reshape(*rgb.shape[:2], -1).max(axis=2) >= (128 if values.max() > 1 else 0.5)

    @cached_property
    def _format(self) -> ImageFormat:
        return image_format(self._tree, (picture.rgb for picture in self._pictures), self._settings.rgb.image)

    def _image(self, picture: Picture) -> np.ndarray:
        return read_levels(self._tree, picture.rgb, self._format)

    def _pixels(self, file: str, kind: Pixels, task: str = "") -> np.ndarray:
        return read_pixels(self._tree, file, kind, self._palettes.get(task))

    @cached_property
    def _palettes(self) -> dict[str, Palette]:
        """Task -> colours of the indices in a few of its label maps, the same in every process."""
        return {
            task: palette_of(self._tree, (picture.labels[task] for picture in self._probes(task)))
            for task in self._tasks
            if self._settings.files(task).pixels == "indices"
        }

    def _read_scenes(self) -> SceneTable:
        """Scene labels from the source in the settings; reading the table also fills in parts of the split and groups."""
        settings = self._settings
        # a table that the settings describe must exist
        present = settings.table.file in self._tree.names() or settings.table != TableSettings()
        table = read_table(self._tree, settings, self._pictures) if present else no_scenes(len(self))
        if settings.scenes in ("none", "classes") or table.names:
            return table
        by_folder = scene_table([{picture.scene} if picture.scene else None for picture in self._pictures])
        return replace(by_folder, unused=table.unused)


def _doubts_about(task: Task, targets: Sequence[np.ndarray]) -> list[str]:
    """Doubts about the meaning of a task's values, from the targets ``[H, W]`` or ``[H, W, C]`` of a few images."""
    if task.categorical:
        seen = {int(label) for target in targets for label in np.unique(target)}
        only = [task.classes[label] for label in seen - {IGNORE_INDEX}]
        if len(only) != 1 or IGNORE_INDEX not in seen:
            return []
        return [f"{task.name} has the single class {only[0]!r} in the {len(targets)} files that were checked{HINT_255}"]
    medians = [median for target in targets if (median := typical(target)) == median]
    if not medians:
        return [f"{task.name} has no value in any of the {len(targets)} files that were checked"] if targets else []
    found = Counter[str]()
    for value in (task.from_array(np.moveaxis(target, 2, 0))[None] for target in targets):
        found.update(task.suspicions(value) if task.valid(value).any() else ())
    doubt = task.doubt_about(float(np.median(medians)))
    often = [
        f"{what}, in {count} of {len(targets)} files that were checked"
        for what, count in found.items()
        if 2 * count > len(targets)
    ]
    return [doubt] if doubt else often


def _alike(names: Sequence[str]) -> list[str]:
    """Warnings about scenes whose names differ only in upper and lower case."""
    first: dict[str, str] = {}
    pairs = [(first.setdefault(name.casefold(), name), name) for name in names]
    return [f"the scenes {one!r} and {two!r} differ only in upper and lower case" for one, two in pairs if one != two]
