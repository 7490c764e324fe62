"""A folder of images and label files as a data set."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import final

import numpy as np

from mgm.data.base import DataSource, Splits
from mgm.data.files import open_tree
from mgm.data.images import fitted, planes, read_palette, resize_rgb, same_shape
from mgm.data.sources.folder.counting import INTERPOLATED, check_strays, grey_levels, interpolated_share, label_numbers
from mgm.data.sources.folder.pictures import Picture, list_pictures, parts_taken_for_scenes, unread
from mgm.data.sources.folder.pixels import Palette, read_pixels
from mgm.data.sources.folder.settings import FILE, FolderSettings, read_settings
from mgm.data.sources.folder.table import SceneTable, no_scenes, read_table, scene_table
from mgm.data.splits import grouped_split, official_split, random_split
from mgm.data.targets import classes_in_view, resize_target
from mgm.errors import ConfigError, DataError, unknown
from mgm.tasks import SemanticSegmentation, Task
from mgm.tasks.files import ClassFiles, Colour, FileSettings, Pixels, typical
from mgm.types import IGNORE_INDEX, DatasetInfo, Sample

READER_VERSION = 3
MOST_LOOKED_AT = 50
"""Label maps that are read to tell whether classes count from 0 or from 1."""
NUM_PROBES = 12
"""Images that are read to tell what is odd about all of them."""
LEAST_GAP = 8
"""Difference of two colours in their most different channel, of 255, from which they can be told apart."""
JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
SEMANTIC = SemanticSegmentation.name


@final
class FolderSource(DataSource):
    """``rgb/`` and a folder per task, as a folder or zip; see ``docs/data.md``. Pictures are squeezed to a square.

    Labels are matched by name. An image without the label of a task has an invalid target, so images without any label serve
    as weakly labelled or unlabelled ones; they are never in a validation or test set that is made with a seed.

    Args:
        path: The folder or zip archive.
        settings: What the files mean; by default ``dataset.yaml`` says it.
        reader: Name of the settings, if they are a preset; part of the fingerprint.
        variant: What else tells the settings from others of that name.

    Raises:
        DataError: If there are no pictures, a label belongs to none, or ``dataset.yaml`` or the table of scene labels is wrong.
    """

    def __init__(
        self, path: Path | str, settings: FolderSettings | None = None, reader: str = "folder", variant: str = ""
    ) -> None:
        self._tree = open_tree(path)
        self._settings = settings or read_settings(self._tree)
        self._reader = {"reader": reader, "version": READER_VERSION, **({"labels": variant} if variant else {})}
        self._pictures = list_pictures(self._tree, self._settings)
        self._palettes: defaultdict[str, Palette] = defaultdict(dict)
        self._tasks = tuple(task for task in self._kinds if any(task in picture.labels for picture in self._pictures))
        if not self._tasks:
            folders = ", ".join(f"{self._settings.folder(task)}/" for task in self._kinds)
            raise DataError(
                f"{self._tree.path}: no picture has a label; labels lie in {folders}, named like their picture; {self._unread}"
            )
        self._scenes = self._read_scenes()
        split, group = self._settings.split, self._settings.table.group
        given = {part for part in self._parts if part}
        official = "test" in given and ("validation" in given or split.official_validation > 0)
        self.split_kinds = ("random", *filter(None, [group]), *(["official"] if official else []))

    @property
    def _kinds(self) -> dict[str, type[Task]]:
        # made anew where it is wanted: classes of a definition cannot be pickled
        return self._settings.kinds

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """Names of the classes: the first source that has them."""
        if SEMANTIC not in self._tasks:
            return ()
        largest = max(self._numbers.keys() - {IGNORE_INDEX}, default=-1)
        if not self._named and not self._levels and not 0 <= largest < IGNORE_INDEX:
            raise DataError(
                f"{self._numbers[largest][1]}: label {largest}, but labels are 0..254, and 255 where there is none; if it means "
                f"none, 'semantic: {{ignore: {largest}}}' in dataset.yaml; if classes have such numbers, "
                "'semantic: {values: {NAME: NUMBER}}'"
            )
        if not self._named and not self._levels and self._plain:
            check_strays(self._numbers)
        return self._named or tuple(f"class_{number}" for number in self._levels or range(largest + 1))

    @cached_property
    def _named(self) -> tuple[str, ...]:
        """The classes as the user names them, if so."""
        settings, file = self._settings, self._settings.class_file
        names = settings.classes or tuple(settings.class_files.colours or settings.class_files.values)
        # a list that the settings name has to be there
        if not names and (file in self._tree.names() or file != FolderSettings.class_file):
            names = tuple(self._tree.lines(file))
            wanted = settings.num_classes
            if not 1 <= len(names) <= IGNORE_INDEX or (wanted and len(names) != wanted):
                needed = wanted or f"1 to {IGNORE_INDEX}"
                raise DataError(f"{self._tree.describe(file)}: {len(names)} class names; needs {needed}")
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise DataError(
                    f"{self._tree.describe(file)}: class {twice[0]!r} stands twice; give every class its own name"
                )
        return names or tuple(f"class_{index}" for index in range(settings.num_classes))

    @cached_property
    def _numbers(self) -> dict[int, tuple[int, str]]:
        """The numbers in the label maps where nobody names the classes; see `label_numbers`."""
        files, palette = self._settings.class_files, self._palettes[SEMANTIC]
        return {} if self._named else label_numbers(self._tree, self._label_maps, files, palette)

    @cached_property
    def _levels(self) -> tuple[int, ...]:
        """The numbers in the label maps where these are shades and nobody says what they mean."""
        return grey_levels(self._numbers) if self._plain else ()

    @property
    def _plain(self) -> bool:
        """Whether nobody says what the numbers in the label maps mean."""
        files = self._settings.class_files
        return files == ClassFiles(files.folder, files.suffix)

    @cached_property
    def _class_files(self) -> ClassFiles:
        """Settings of the label maps, with what is found out if nothing says it: the first class, or numbers that are shades."""
        settings, classes = self._settings.class_files, self._classes
        if self._levels:
            return replace(settings, values=dict(zip(classes, self._levels, strict=True)))
        if settings.first != "auto":
            return settings
        for file in self._label_maps[:MOST_LOOKED_AT]:
            try:
                if (self._pixels(file, settings.pixels, SEMANTIC) == len(classes)).any():
                    return replace(settings, first=1)
            except DataError:  # reported when the sample is read
                continue
        return replace(settings, first=0)

    @cached_property
    def _colours(self) -> tuple[Colour, ...]:
        """Of the classes, from the settings or the palette of the first label map; empty where they can hardly be told apart."""
        if not self._classes:
            return ()
        files = self._class_files
        if files.colours:
            return tuple(files.colours[name] for name in self._classes)
        numbers = [files.values[name] for name in self._classes] if files.values else None
        first = int(files.first or 0)
        try:
            palette = [read_palette(self._tree.read(file), self._tree.describe(file)) for file in self._label_maps[:1]]
        except DataError:  # an array, or damaged, which is reported when the sample is read
            return ()
        known = dict(enumerate(palette[0])) if palette else {}
        found = [known.get(number) for number in numbers or range(first, first + len(self._classes))]
        colours = tuple(colour for colour in found if colour is not None)
        apart = (max(map(abs, np.subtract(one, other).tolist())) for one, other in combinations(colours, 2))
        return colours if len(colours) == len(self._classes) and all(gap > LEAST_GAP for gap in apart) else ()

    @property
    def info(self) -> DatasetInfo:
        """The tasks that any image has a label of."""
        settings, notes = self._settings, {"image": "squeezed to a square"}
        counts = {task: sum(task not in picture.labels for picture in self._pictures) for task in self._tasks}
        lacking = ", ".join(f"{count} without {task}" for task, count in counts.items() if count)
        if lacking:
            notes["files"] = f"{len(self)} images; {lacking}"
        if getattr(settings.files("normal"), "axes", "") == "opengl":
            notes["normal axes"] = "y and z turned, from opengl to opencv"
        if settings.class_files.first == "auto":
            first = self._class_files.first
            notes[SEMANTIC] = f"classes count from {first}{', 0 is unlabelled' if first else ''}"
        of_classes = settings.scenes == "classes"
        return DatasetInfo(
            name=settings.name or self._tree.path.resolve().name.removesuffix(".zip"),
            tasks=self._tasks,
            classes=self._classes,
            scenes=self._classes if of_classes else self._scenes.names,
            multi_hot=of_classes or self._scenes.multi_hot,
            notes={**notes, **settings.notes},
            colours=self._colours,
            own_tasks={name: own for name, own in settings.own_tasks.items() if name in self._tasks},
        )

    @property
    def fingerprint(self) -> dict[str, object]:
        """Reader, number of images, and a hash of all files."""
        return {**self._reader, "count": len(self), "files": self._digest}

    @cached_property
    def _digest(self) -> str:
        return self._tree.digest()

    def __len__(self) -> int:
        """Number of images."""
        return len(self._pictures)

    def read(self, index: int, size: int) -> Sample:
        """One sample squeezed to a square; see `DataSource.read`."""
        picture, settings = self._pictures[index], self._settings
        rgb = self._pixels(picture.rgb, "colours")
        window = self._window(rgb)
        mask = None
        if "mask" in picture.labels:
            mask = self._beside(rgb, picture, "mask", "colours").max(axis=2) >= 128
        targets, scene = {}, self._scenes.rows[index].copy()
        if settings.scenes == "classes":
            scene = np.full(len(self._classes), np.nan, np.float32)
        for task, kind in self._kinds.items():
            if task not in self._tasks:
                continue
            if task not in picture.labels:
                targets[task] = kind.missing_target(size)
                continue
            files = self._files(task)
            where = self._tree.describe(picture.labels[task])
            channels = kind.target_shape(1)[0]
            pixels = self._beside(rgb, picture, task, files.pixels)
            own = self._settings.own_tasks.get(task)
            classes = tuple(own.get("classes", ())) if own else self._classes
            values = files.decode(pixels, channels, classes, where)
            files.check_against(self._typical.get(task, float("nan")), values, where)
            if mask is not None and values.ndim == 3:
                values = np.where(mask[:, :, None], values, np.nan)
            if settings.scenes == "classes" and task == SEMANTIC:
                scene = classes_in_view(values, len(self._classes))
            targets[task] = resize_target(values[window], size)
        return Sample(planes(resize_rgb(rgb[window], size, size)), targets, scene, picture.name)

    def shape(self, index: int) -> tuple[int, int]:
        """That of the picture as far as it is used; see `DataSource.shape`."""
        rgb = self._pixels(self._pictures[index].rgb, "colours")
        height, width = rgb[self._window(rgb)].shape[:2]
        return height, width

    def splits(self, kind: str, seed: int) -> Splits:
        """Split the images.

        ``official``: as the table or the folders say, if a test set is given and a validation set is, too, or may be taken from
        the training images. ``random``: 70 / 15 / 15 % by default; a given test set stays as it is, and a validation set likewise,
        unless the settings say otherwise. A split called like the column of groups is random too, but keeps groups together.
        Images without any label are training images.

        Raises:
            ConfigError: If there is no such split.
            DataError: If there are too few labelled images.
        """
        if kind not in self.split_kinds:
            raise ConfigError(unknown(f"split of {self.info.name}", kind, self.split_kinds) + self._lacking(kind))
        part, options = self._parts, self._settings.split
        labelled = np.array([bool(picture.labels) for picture in self._pictures])
        groups = (
            [picture.group for picture in self._pictures] if self._settings.table.group and kind != "random" else []
        )
        if kind == "official":
            if (part == "validation").any():
                return _from_parts(part)
            train, test = np.flatnonzero(part != "test"), np.flatnonzero(part == "test")
            return official_split(train, test, max(1, round(options.official_validation * len(train))), groups, seed)
        if options.random == "all":
            part = np.full(len(self), "train", part.dtype)
            labelled[:] = True
        free = np.flatnonzero(labelled & ((part == "") | (part == "train")))
        wanted = {name: 0 if (part == name).any() else size for name, size in self._held_out(len(free)).items()}
        if groups:
            made = grouped_split([groups[index] for index in free], wanted["validation"], wanted["test"], seed)
        else:
            has = np.array([[task in self._pictures[index].labels for task in self._tasks] for index in free])
            made = random_split(len(free), wanted["validation"], wanted["test"], seed, has)
        part[free[made.validation]], part[free[made.test]] = "validation", "test"
        return _from_parts(part)

    def _lacking(self, kind: str) -> str:
        """What the official split lacks, in words, where some of it is given; begins with a semicolon."""
        given = set(self._parts) - {""}
        if kind != "official" or not given:
            return ""
        if "test" not in given:
            return "; no image is in the part 'test', which it needs (folders or the column split; see docs/data.md)"
        return (
            "; no image is in the part 'val', which it needs: make one, or let it be taken from the training images by "
            "'split: {official_validation: 0.15}' in dataset.yaml"
        )

    def remarks(self, index: int) -> tuple[str, ...]:
        """What looks wrong with the label files, such as normals that are not of unit length; see `DataSource.remarks`."""
        found = []
        for task, file in self._pictures[index].labels.items():
            if task in self._kinds and (files := self._files(task)).remarkable:
                found.append(files.remark(self._pixels(file, files.pixels), self._tree.describe(file)))
        return tuple(filter(None, found))

    def warnings(self) -> tuple[str, ...]:
        """Files that are not read, what is taken for something else than may be meant, and what a few images show."""
        found = [self._unread, parts_taken_for_scenes(self._pictures)]
        if not self._settings.mask.folder and any("mask" in picture.labels for picture in self._pictures):
            found.append(
                "mask/ says where numbers are valid; if it holds label maps, 'semantic: {folder: mask}' in dataset.yaml"
            )
        found += [self._scenes.unused, *_alike(self._scenes.names)]
        for task in self._tasks if self._reader["reader"] == "folder" else ():
            lossy = [
                file for picture in self._pictures if (file := picture.labels.get(task, "")).lower().endswith(JPEG)
            ]
            if lossy and self._files(task).pixels == "numbers":
                found.append(
                    f"{len(lossy)} files of {task} are JPEG, such as {lossy[0]}, whose compression changes numbers, most at "
                    "edges; if you have the originals, save them as PNG, TIFF or .npy"
                )
        if SEMANTIC in self._tasks and self._levels:
            numbers = ", ".join(map(str, self._levels))
            found.append(
                f"label maps hold the numbers {numbers}, each of which is taken for a class of its own; name them by "
                "'semantic: {values: {NAME: NUMBER}}' in dataset.yaml, or list what is none in 'semantic: {ignore: ...}'"
            )
        for task in self._settings.own_tasks:
            if task not in self._tasks:
                place = self._settings.folder(task)
                found.append(f"no image has a label of {task}, which dataset.yaml defines; they lie in {place}/")
        return tuple(filter(None, found + self._probe()))

    def _probe(self) -> list[str]:
        """What a few images tell: odd values, labels of another size than their image, label maps that were interpolated."""
        found: dict[str, str] = {}
        for task in self._tasks:
            maps = []
            for picture in self._probes(task):
                try:
                    values = self._pixels(picture.labels[task], self._files(task).pixels, task)
                    rgb = self._pixels(picture.rgb, "colours")
                except DataError:  # reported when the sample is read
                    continue
                maps.append(values)
                with suppress(DataError):
                    if remark := self._files(task).remark(values, self._tree.describe(picture.labels[task])):
                        found.setdefault(f"values of {task}", remark)
                if values.shape[:2] != rgb.shape[:2] and same_shape(values.shape[:2], rgb.shape[:2]):
                    (height, width), (rgb_height, rgb_width) = values.shape[:2], rgb.shape[:2]
                    found[task] = (
                        f"{task} is {width} x {height} pixels where the image is {rgb_width} x {rgb_height}: pixels of the image "
                        "take the nearest value"
                    )
            if self._kinds[task].categorical and self._files(task).pixels == "indices":
                share = interpolated_share(
                    [values for values in maps if values.ndim == 2 and values.dtype.kind in "iu"]
                )
                if share > INTERPOLATED:
                    found[f"classes of {task}"] = (
                        f"{100 * share:.0f} % of the edges in label maps pass through a third class: they look resampled with "
                        "interpolation, or were JPEG; make them again from their originals"
                    )
        return list(found.values())

    @cached_property
    def _unread(self) -> str:
        settings = self._settings
        return unread(self._tree, self._pictures, (FILE, settings.table.file, settings.class_file, settings.scene_file))

    @property
    def _parts(self) -> np.ndarray:
        """``[N]`` part of the split that each image belongs to; empty if none is given."""
        part = np.array([picture.part for picture in self._pictures], dtype="U10")
        return np.where(part == "validation", "test", part) if self._settings.split.val_is_test else part

    @property
    def _label_maps(self) -> list[str]:
        return [picture.labels[SEMANTIC] for picture in self._pictures if SEMANTIC in picture.labels]

    def _held_out(self, count: int) -> dict[str, int]:
        """Sizes of validation and test for so many images."""
        split = self._settings.split
        sizes = {
            name: max(1, round(share * count)) if share else 0
            for name, share in (("validation", split.validation), ("test", split.test))
        }
        if split.train and count - sum(sizes.values()) >= split.train:
            return dict.fromkeys(sizes, (count - split.train) // 2)
        return sizes

    def _window(self, rgb: np.ndarray) -> tuple[slice, slice]:
        """What of a picture of this size is used."""
        height, width = rgb.shape[:2]
        top, bottom, left, right = self._settings.crop.get(f"{width}x{height}", (0, height, 0, width))
        return np.s_[top:bottom, left:right]

    @cached_property
    def _typical(self) -> dict[str, float]:
        """Task whose files are compared with one another -> the median of some files, of which most have about that one."""
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
        """Some images that have a label of a task."""
        having = [picture for picture in self._pictures if task in picture.labels]
        places = np.unique(np.linspace(0, len(having) - 1, NUM_PROBES).round().astype(int))
        return [having[place] for place in places]

    def _files(self, task: str) -> FileSettings:
        return self._class_files if task == SEMANTIC else self._settings.files(task)

    def _beside(self, rgb: np.ndarray, picture: Picture, kind: str, pixels: Pixels) -> np.ndarray:
        """Values of a label file, which has to show the same as the image, at the size of the image."""
        file = picture.labels[kind]
        values = self._pixels(file, pixels, kind)
        return fitted(values, self._tree.describe(file), rgb, self._tree.describe(picture.rgb), scaled=True)

    def _pixels(self, file: str, kind: Pixels, task: str = "") -> np.ndarray:
        return read_pixels(self._tree, file, kind, self._palettes[task] if task else None)

    def _read_scenes(self) -> SceneTable:
        """Scene labels from where the settings say; the table also fills in the parts of the split and the groups."""
        settings, file = self._settings, self._settings.table.file
        present = file in self._tree.names() or file != "labels.csv"  # a table that the settings name has to be there
        table = read_table(self._tree, settings, self._pictures) if present else None
        if settings.scenes in ("none", "classes"):
            return no_scenes(len(self))
        if table is not None and table.names and settings.scenes == "auto":
            return table
        unused = table.unused if table is not None and settings.scenes == "auto" else ""
        return replace(
            scene_table([{picture.scene} if picture.scene else None for picture in self._pictures]), unused=unused
        )


def _alike(names: Sequence[str]) -> list[str]:
    """Scenes whose names differ in nothing but upper and lower case, in words."""
    first: dict[str, str] = {}
    pairs = [(first.setdefault(name.casefold(), name), name) for name in names]
    return [f"the scenes {one!r} and {two!r} differ in upper and lower case alone" for one, two in pairs if one != two]


def _from_parts(part: np.ndarray) -> Splits:
    validation, test = np.flatnonzero(part == "validation"), np.flatnonzero(part == "test")
    return Splits(np.setdiff1d(np.arange(len(part)), np.concatenate([validation, test])), validation, test)
